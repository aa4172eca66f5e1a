// Direct all-to-all: every rank sends each block straight to its receiver, all at once.
//
// Cost: 1 step; each rank sends and receives ranks - 1 blocks. Best wherever every rank reaches every other directly.
// Needs: nothing.
// Source: folklore; the order of peers, rotated by rank, is that of the basic linear algorithm of MPICH and Open MPI.
//
// The own block is copied while the peers are at work.
#include "algorithms/all_to_all/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> direct_all_to_all(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};

    auto outgoing = plan.lane();
    for (Rank steps = 1; steps < request.rank_count; steps++)
        outgoing.send(plan.block_of_input(ring.ahead(steps)), ring.ahead(steps)).source_stable();
    outgoing.copy(plan.block_of_output(request.rank), plan.block_of_input(request.rank));

    auto incoming = plan.lane();
    for (Rank steps = 1; steps < request.rank_count; steps++)
        incoming.receive(plan.block_of_output(ring.behind(steps)), ring.behind(steps)).destination_free();
    return plan.finish();
}

}  // namespace tenon
