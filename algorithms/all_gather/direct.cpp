// Direct all-gather: every rank publishes its block once and reads all others.
//
// Vocabulary: the board is where a rank writes once what all others read.
// Cost: 1 step; each rank writes one block and reads ranks - 1. Best wherever every rank reaches every other directly.
// Needs: nothing.
// Source: folklore; the flat algorithm of shared-memory MPI collectives.
//
// The own block is copied right after it was sent, while it is in the cache.
#include "algorithms/all_gather/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> direct_all_gather(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    const bool two_ranks = request.rank_count == 2;

    auto outgoing = plan.lane();
    if (two_ranks)
        outgoing.send(plan.input(0), ring.next()).source_stable();
    else
        outgoing.publish(plan.input(0)).source_stable();
    outgoing.copy(plan.block_of_output(request.rank), plan.input(0));

    auto incoming = plan.lane();
    for (Rank steps = 1; steps < request.rank_count; steps++) {
        const Rank peer = ring.ahead(steps);
        const Chunk block = plan.block_of_output(peer);
        (two_ranks ? incoming.receive(block, peer) : incoming.receive_published(block, peer)).destination_free();
    }
    return plan.finish();
}

}  // namespace tenon
