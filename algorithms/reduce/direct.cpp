// Direct reduce: every rank sends its input to the root, which sums them all.
//
// Cost: 1 step; the root receives ranks - 1 buffers. Best for small messages.
// Needs: scratch for ranks - 1 blocks at the root, hence a limit on block and ranks; with two ranks none is used.
// Deterministic: the root sums all contributions in one step, in the order of ranks.
// Source: folklore; the basic linear algorithm of Open MPI.
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"
#include "algorithms/reduce/algorithms.hpp"

namespace tenon {

Result<Plan> direct_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    const Chunk input = plan.input(0);
    auto lane = plan.lane();
    if (request.rank != request.root) {
        lane.send(input, request.root).source_stable();
        return plan.finish();
    }
    if (request.rank_count == 2) {
        lane.receive_reduce(plan.output(0), input, ring.next()).completes();
        return plan.finish();
    }
    std::vector<Chunk> operands(static_cast<std::size_t>(request.rank_count), input);
    for (Rank steps = 1; steps < request.rank_count; steps++) {
        const Rank peer = ring.ahead(steps);
        Chunk& contribution = operands[static_cast<std::size_t>(peer)];
        contribution = plan.scratch(input);
        lane.receive(contribution, peer);
    }
    lane.reduce(plan.output(0), operands).completes();
    return plan.finish();
}

}  // namespace tenon
