// Chain broadcast: the data runs along all ranks, tile after tile.
//
// Cost: ranks - 1 hops for the first tile, one more step for each further tile; each rank sends the buffer once. Best
// for large messages among few ranks.
// Needs: nothing.
// Source: Watts and van de Geijn, A Pipelined Broadcast for Multidimensional Meshes, Parallel Processing Letters 1995.
#include "algorithms/broadcast/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> chain_broadcast(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    auto lane = plan.lane();

    if (request.rank == request.root) {
        lane.send(plan.input(0), ring.next()).source_stable();
        lane.copy(plan.output(0), plan.input(0));
    } else if (ring.next() == request.root) {
        lane.receive(plan.output(0), ring.previous()).destination_free();
    } else {
        lane.receive_send(plan.output(0), ring.previous(), ring.next()).destination_free().source_stable();
    }
    return plan.finish();
}

}  // namespace tenon
