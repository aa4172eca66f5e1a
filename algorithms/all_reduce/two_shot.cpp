// Two-shot all-reduce: a direct reduce-scatter, then a direct all-gather.
//
// Vocabulary: there are as many pieces as ranks; rank r owns piece r, that is, sums it for all.
// Cost: 2 steps; each rank sends and receives 2 (ranks - 1) / ranks of the buffer. Best for middle and large messages
// where every rank reaches every other directly.
// Deterministic: the owner sums all contributions in one step, in the order of ranks.
// Source: the two-shot kernels of NVIDIA TensorRT-LLM and vLLM (custom all-reduce).
//
// Three lanes flow independently: contributions out, my piece, results in.
#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/contributions.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/results.hpp"

namespace tenon {
namespace {

constexpr Channel contributions = 0;
constexpr Channel results = 1;

// With one peer its contribution can be summed, stored and sent back in one pass over memory.
Result<Plan> two_ranks(const Request& request) {
    PlanBuilder plan{request, 2};
    const auto mine = static_cast<ChunkIndex>(request.rank);
    const ChunkIndex theirs = 1 - mine;
    const Rank peer = 1 - request.rank;
    plan.lane().send(plan.input(theirs), peer, contributions).source_stable().answered();
    plan.lane()
        .receive_reduce_copy_send(plan.output(mine), plan.input(mine), peer, peer, contributions, results)
        .completes()
        .source_stable();
    plan.lane().receive(plan.output(theirs), peer, results).destination_free();
    return plan.finish();
}

}  // namespace

Result<Plan> two_shot_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    if (request.rank_count == 2) return two_ranks(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(request.rank_count)};
    const auto piece_of = [](Rank rank) { return static_cast<ChunkIndex>(rank); };

    give_contributions(plan, ring, [&](Rank owner) { return plan.input(piece_of(owner)); }, contributions, true);

    auto summing = plan.lane();
    const auto operands = take_contributions(plan, summing, ring, plan.input(piece_of(request.rank)), contributions);
    summing.reduce_publish(plan.output(piece_of(request.rank)), operands).completes().source_stable();

    take_results(plan, ring, [&](Rank owner) { return plan.output(piece_of(owner)); });
    return plan.finish();
}

}  // namespace tenon
