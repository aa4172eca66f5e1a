// The first thing to check of a plan from anywhere: that every index in it may be followed. Stateless, thread-safe.
#pragma once

#include "tenon/plugin/plan.hpp"

namespace tenon {

inline constexpr std::uint32_t max_pieces = 1u << 20;  // per block
inline constexpr std::uint32_t max_scratch_cells = 1u << 24;
inline constexpr Rank max_plan_ranks = 1 << 20;

// Fields of one plan are in range and make sense together: kinds, chunks, operands, dependencies, peers, channels,
// claims. After it, a plan may be read without further checks. Names rank, lane and step.
Result<void> check_bounds(const Plan& plan);

// "rank 3, lane 0, step 12 (send)".
std::string name_of_step(const Plan& plan, StepRef at);

}  // namespace tenon
