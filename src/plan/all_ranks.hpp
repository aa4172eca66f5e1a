// The plans of all ranks for one call: what a rank looks at to see more than its own.
#pragma once

#include <vector>

#include "tenon/plugin/algorithm.hpp"

namespace tenon {

// One for each rank, in order, whichever rank the request names; without boards where the topology has none. An error
// is the algorithm's own.
Result<std::vector<Plan>> plans_of_all_ranks(const Algorithm& algorithm, Request request, const Topology& topology);

}  // namespace tenon
