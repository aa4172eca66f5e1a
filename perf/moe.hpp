// `tenon-perf moe`: dispatch and combine of a model's shape with a router's choice, checked, timed by the method of
// timing.hpp, and shown; rank 0 alone writes.
#pragma once

#include "perf/options.hpp"
#include "perf/team.hpp"

namespace tenon::perf {

// All ranks call. How many elements were wrong, on all ranks. Throws std::runtime_error where a routing cannot be made
// or the picture cannot be written.
std::uint64_t run_moe(const Options& options, Team& team, std::span<const RankFacts> ranks);

}  // namespace tenon::perf
