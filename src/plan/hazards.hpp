// Proves that no two steps of a rank meet in memory unordered, and that what steps claim of their memory holds.
#pragma once

#include "plan/world.hpp"

namespace tenon {

// Chunks that meet with a write among them start at the same element, so that their tiles meet one by one; unless the
// plan says one_tile. Scratch chunks that go on into another block, whose pieces are packed, meet only the same chunk.
Result<void> check_alignment(const World& world, bool in_place);

// Of two accesses to one piece from two lanes, with a write among them, one happens before the other; and
// source_stable, destination_free and answered are true as plan.hpp defines them.
Result<void> check_order_of_accesses(const World& world, std::span<const StepId> order, bool in_place);

}  // namespace tenon
