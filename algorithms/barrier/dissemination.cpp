// Dissemination barrier: in the round of distance d a rank tells the rank d ahead that it, and all it has heard of,
// have come.
//
// Vocabulary: a token is a message without data: a step whose chunk is empty.
// Cost: ceil(log2(ranks)) rounds of one token each. Best among many ranks and across hosts.
// Needs: nothing.
// Source: Hensgen, Finkel and Manber, Two Algorithms for Barrier Synchronization, IJPP 1988.
#include "algorithms/barrier/algorithms.hpp"
#include "algorithms/patterns/distances.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> dissemination_barrier(const Request& request, const Topology&) {
    PlanBuilder plan{request};
    if (request.rank_count == 1) return plan.finish();
    const Ring ring{request.rank, request.rank_count};
    const Chunk token{};
    auto lane = plan.lane();
    for (const Rank distance : doubling_distances(request.rank_count)) {
        lane.send(token, ring.ahead(distance));
        lane.receive(token, ring.behind(distance));
    }
    return plan.finish();
}

}  // namespace tenon
