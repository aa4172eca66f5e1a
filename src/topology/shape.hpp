// Levels of a topology from a shape in words, for plans that nobody runs here and experiments on one machine.
#pragma once

#include <string_view>
#include <vector>

#include "tenon/plugin/topology.hpp"

namespace tenon {

// "4x2": 4 servers of 2 ranks each; "2x3x4": 2 supernodes of 3 servers of 4 ranks; "3,1,4": servers of 3, 1 and 4
// ranks; "8": one server. Ranks follow each other. An error says what a shape looks like.
Result<std::vector<Level>> levels_of_shape(std::string_view shape);

}  // namespace tenon
