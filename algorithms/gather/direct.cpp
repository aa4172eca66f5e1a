// Direct gather: every rank sends its block to the root.
//
// Cost: 1 step; the root receives ranks - 1 blocks. Best wherever the root reaches every rank directly.
// Needs: nothing.
// Source: folklore; the basic linear algorithm of Open MPI.
#include "algorithms/gather/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> direct_gather(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    auto lane = plan.lane();
    if (request.rank != request.root) {
        lane.send(plan.input(0), request.root).source_stable();
        return plan.finish();
    }
    lane.copy(plan.block_of_output(request.rank), plan.input(0));
    for (Rank steps = 1; steps < request.rank_count; steps++)
        lane.receive(plan.block_of_output(ring.ahead(steps)), ring.ahead(steps)).destination_free();
    return plan.finish();
}

}  // namespace tenon
