// Proves that what steps claim to exchange (Step::exchanged) is exchanged: two ranks decide, each for itself but alike,
// how they do it.
#pragma once

#include "plan/world.hpp"

namespace tenon {

Result<void> check_exchanges(const World& world);

}  // namespace tenon
