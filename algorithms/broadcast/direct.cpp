// Direct broadcast: the root publishes its input once and all others read it.
//
// Vocabulary: the board is where a rank writes once what all others read.
// Cost: 1 step; the root writes the buffer once, every other rank reads it. Best wherever every rank reaches the root's
// memory directly.
// Needs: nothing.
// Source: folklore; the flat algorithm of shared-memory MPI collectives.
#include "algorithms/broadcast/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {

Result<Plan> direct_broadcast(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    PlanBuilder plan{request};
    auto lane = plan.lane();
    if (request.rank == request.root) {
        lane.publish(plan.input(0)).source_stable();
        lane.copy(plan.output(0), plan.input(0));
    } else {
        lane.receive_published(plan.output(0), request.root).destination_free();
    }
    return plan.finish();
}

}  // namespace tenon
