// Loads modules with algorithms (include/tenon/plugin/module.hpp) and says what they bring.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/algorithm.hpp"

namespace tenon {

// The algorithms of these modules, in order. Modules stay loaded to the end of the process. A module that cannot be
// loaded, has another version or build tag, or names an algorithm that `known` has already, is an error that says
// which.
Result<std::vector<Algorithm>> load_plugins(std::span<const std::string> paths, std::span<const Algorithm> known);

}  // namespace tenon
