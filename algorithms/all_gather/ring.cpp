// Ring all-gather: every block travels once around the ring.
//
// Cost: ranks - 1 steps; each rank sends ranks - 1 blocks, all to one neighbour. Best for large messages where
// neighbours are near and others are not.
// Needs: nothing.
// Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005.
#include "algorithms/patterns/ring.hpp"

#include "algorithms/all_gather/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {

Result<Plan> ring_all_gather(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    const Rank last = request.rank_count - 1;
    PlanBuilder plan{request};
    auto lane = plan.lane();

    lane.send(plan.input(0), ring.next()).source_stable();
    lane.copy(plan.block_of_output(request.rank), plan.input(0));
    for (Rank steps = 1; steps < last; steps++)
        lane.receive_send(plan.block_of_output(ring.behind(steps)), ring.previous(), ring.next())
            .destination_free()
            .source_stable();
    lane.receive(plan.block_of_output(ring.behind(last)), ring.previous()).destination_free();
    return plan.finish();
}

}  // namespace tenon
