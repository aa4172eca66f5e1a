// Board barrier: every rank says that it has come, once for all, and waits until all others have said so.
//
// Vocabulary: a token is a message without data: a step whose chunk is empty. The board is where a rank writes once
// what all others read.
// Cost: 1 step; each rank writes one token and reads ranks - 1. Best for ranks on one host.
// Needs: nothing.
// Source: folklore; the flag barrier of Mellor-Crummey and Scott, Algorithms for Scalable Synchronization, TOCS 1991.
#include "algorithms/barrier/algorithms.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> board_barrier(const Request& request, const Topology&) {
    PlanBuilder plan{request};
    if (request.rank_count == 1) return plan.finish();
    const Ring ring{request.rank, request.rank_count};
    const Chunk token{};
    auto lane = plan.lane();
    lane.publish(token);
    for (Rank steps = 1; steps < request.rank_count; steps++) lane.receive_published(token, ring.ahead(steps));
    return plan.finish();
}

}  // namespace tenon
