// Proves of the plans of all ranks what plan.hpp promises of a Plan, without running them; or says what is wrong where.
//
//   auto proved = verify(plans, {.in_place = true});
//   if (!proved) log(LogLevel::error, "{}", proved.error().message);  // "rank 3, lane 0, step 12 (send) ..."
//
// Proved, for every element count: indices in bounds; sends and receives agree in number and length; no deadlock with
// bounded channels (nor, with one_tile, with messages larger than a channel); every output ends with exactly the right
// contributions; each sum is completed once; chunks that meet have tiles that meet; no race between lanes; the claims
// of memory hold. Takes seconds for a thousand ranks. Stateless, thread-safe; borrows the plans for the length of the
// call.
#pragma once

#include <span>

#include "tenon/plugin/plan.hpp"

namespace tenon {

struct VerifyOptions {
    bool in_place = false;            // input and output are the same memory, as the collective defines it
    std::uint32_t channel_depth = 2;  // messages (one tile each) that a channel or the board buffers
    Rank most_ranks_for_order = 100;   // races and claims are proved in worlds of at most so many ranks
};

struct VerifiedPlan {
    std::uint64_t steps = 0;          // of all ranks
    std::uint64_t messages = 0;       // of all ranks; a publication counts once
    std::uint32_t message_chain = 0;  // the most messages of which each waits for the one before
    bool accesses_ordered = false;    // races and claims were looked at, and are right
    bool tree = false;                // each output's sum is the one tree over ranks (design, invariant 2)
    bool tree_in_one_step = false;    // and one step forms it from raw inputs: narrow types are rounded once
};

// `plans`: one per rank, in order. An invalid_argument error names the call, the rank, the lane, the step and the
// fault.
Result<VerifiedPlan> verify(std::span<const Plan> plans, const VerifyOptions& options = {});

}  // namespace tenon
