// Bruck's all-gather: the run of blocks that a rank holds doubles in every round, for any number of ranks.
//
// Vocabulary: before the round of distance d, rank r holds the blocks r .. r + d - 1 (modulo ranks).
// Cost: ceil(log2(ranks)) rounds; each rank sends ranks - 1 blocks. Best for small messages among many ranks.
// Needs: nothing.
// Source: Bruck, Ho, Kipnis, Upfal and Weathersby, Efficient Algorithms for All-to-All Communications in Multiport
// Message-Passing Systems, IEEE TPDS 1997.
//
// The paper gathers in a rotated buffer and rotates it at the end. Here blocks go to their place at once, and a run
// that wraps around the last rank travels as two messages. Runs meet parts of them, so chunks are not cut in tiles.
// Sends and receives have a lane each, so that a round never waits for room to send before it receives.
#include "algorithms/all_gather/algorithms.hpp"
#include "algorithms/patterns/distances.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"
#include "algorithms/patterns/run.hpp"

namespace tenon {

Result<Plan> bruck_all_gather(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    plan.tile_bytes(one_tile);
    const auto blocks = [&](Run run) {
        return plan.output(static_cast<ChunkIndex>(run.first), static_cast<std::uint32_t>(run.count));
    };

    auto sends = plan.lane();
    auto receives = plan.lane();
    sends.copy(plan.block_of_output(request.rank), plan.input(0));
    std::optional<StepRef> received;
    for (const Rank distance : doubling_distances(request.rank_count)) {
        const Rank count = std::min(distance, request.rank_count - distance);
        for (const Run run : wrapped({request.rank, count}, request.rank_count)) {
            if (run.count == 0) continue;
            auto step = sends.send(blocks(run), ring.behind(distance)).source_stable();
            if (received) step.after(*received);
        }
        for (const Run run : wrapped({ring.ahead(distance), count}, request.rank_count))
            if (run.count > 0) received = receives.receive(blocks(run), ring.ahead(distance)).destination_free().ref();
    }
    return plan.finish();
}

}  // namespace tenon
