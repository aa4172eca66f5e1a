// `tenon-perf moe`: dispatch and combine of a model's shape with a router's choice, checked, timed by the method of
// timing.hpp, and shown; rank 0 alone writes.
//
// The experts do nothing: what they return is what they were given, so that a combine gives each token times the sum of
// its weights. Values and weights are such that every order of the sums is exact.
#pragma once

#include "perf/options.hpp"
#include "perf/team.hpp"

namespace tenon::perf {

// All ranks call. How many elements were wrong, on all ranks.
std::uint64_t run_moe(const Options& options, Team& team);

}  // namespace tenon::perf
