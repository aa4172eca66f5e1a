// Direct scatter: the root sends every rank its block.
//
// Cost: 1 step; the root sends ranks - 1 blocks. Best wherever the root reaches every rank directly.
// Needs: nothing.
// Source: folklore; the basic linear algorithm of Open MPI.
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"
#include "algorithms/scatter/algorithms.hpp"

namespace tenon {

Result<Plan> direct_scatter(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    auto lane = plan.lane();
    if (request.rank != request.root) {
        // Not said to be free: all take their blocks at once, rather than the root puts one after the other.
        lane.receive(plan.output(0), request.root);
        return plan.finish();
    }
    for (Rank steps = 1; steps < request.rank_count; steps++)
        lane.send(plan.block_of_input(ring.ahead(steps)), ring.ahead(steps)).source_stable();
    lane.copy(plan.output(0), plan.block_of_input(request.rank));
    return plan.finish();
}

}  // namespace tenon
