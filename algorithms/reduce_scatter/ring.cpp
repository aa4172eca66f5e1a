// Ring reduce-scatter: every block travels once around the ring to its owner and is summed on its way.
//
// Vocabulary: rank r owns block r, which sets out from rank r + 1.
// Cost: ranks - 1 steps; each rank sends ranks - 1 blocks, all to one neighbour. Best for large messages where
// neighbours are near and others are not.
// Needs: nothing; every block is summed in a different order of ranks, so it is not deterministic in Tenon's sense.
// Source: Patarasuk and Yuan, Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations, JPDC 2009.
#include "algorithms/patterns/ring.hpp"

#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/reduce_scatter/algorithms.hpp"

namespace tenon {

Result<Plan> ring_reduce_scatter(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    auto lane = plan.lane();

    lane.send(plan.block_of_input(ring.previous()), ring.next()).source_stable();
    for (Rank steps = 2; steps < request.rank_count; steps++)
        lane.receive_reduce_send(plan.block_of_input(ring.behind(steps)), ring.previous(), ring.next());
    lane.receive_reduce(plan.output(0), plan.block_of_input(request.rank), ring.previous()).completes();
    return plan.finish();
}

}  // namespace tenon
