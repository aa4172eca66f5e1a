// Direct reduce-scatter: every rank sends each block to its owner, which sums all contributions.
//
// Vocabulary: rank r owns block r.
// Cost: 1 step; each rank sends and receives ranks - 1 blocks. Best wherever every rank reaches every other directly.
// Needs: scratch for ranks - 1 blocks, which is less than the input; with two ranks none is used.
// Deterministic: the owner sums all contributions in one step, in the order of ranks.
// Source: folklore; the first half of a two-shot all-reduce.
#include "algorithms/patterns/contributions.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/reduce_scatter/algorithms.hpp"

namespace tenon {

Result<Plan> direct_reduce_scatter(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    const Chunk mine = plan.block_of_input(request.rank);

    give_contributions(plan, ring, [&](Rank owner) { return plan.block_of_input(owner); }, 0, false);

    auto summing = plan.lane();
    if (request.rank_count == 2) {
        summing.receive_reduce(plan.output(0), mine, ring.next()).completes();
        return plan.finish();
    }
    summing.reduce(plan.output(0), take_contributions(plan, summing, ring, mine)).completes();
    return plan.finish();
}

}  // namespace tenon
