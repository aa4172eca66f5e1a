// Chain reduce: partial sums run along all ranks to the root, tile after tile.
//
// Cost: ranks - 1 hops for the first tile, one more step for each further tile; each rank sends the buffer once. Best
// for large messages among few ranks.
// Needs: nothing.
// Source: Watts and van de Geijn, A Pipelined Broadcast for Multidimensional Meshes, Parallel Processing Letters 1995,
// backwards.
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"
#include "algorithms/reduce/algorithms.hpp"

namespace tenon {

Result<Plan> chain_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    auto lane = plan.lane();
    if (ring.previous() == request.root)
        lane.send(plan.input(0), ring.next()).source_stable();
    else if (request.rank == request.root)
        lane.receive_reduce(plan.output(0), plan.input(0), ring.previous()).completes();
    else
        lane.receive_reduce_send(plan.input(0), ring.previous(), ring.next());
    return plan.finish();
}

}  // namespace tenon
