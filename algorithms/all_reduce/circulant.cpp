// Circulant all-reduce: a reduce-scatter over halving distances around the circle, then an all-gather over doubling
// ones. What Rabenseifner's does for powers of two, for any number of ranks and without a fold.
//
// Vocabulary: there are as many pieces as ranks; a piece's *way* is how far ahead of this rank the rank of its number
// is. Before the round of distance d this rank has partial sums of all ways below a window of at most 2 d; it sends
// those from d on to the rank d ahead.
// Cost: 2 ceil(log2(ranks)) rounds; each rank sends 2 (ranks - 1) / ranks of the buffer. Best for middle messages among
// many ranks that are not a power of two.
// Needs: nothing.
// Source: Träff, Optimal, Non-pipelined Reduce-scatter and Allreduce Algorithms, 2024; its all-gather is Bruck's.
//
// A run that wraps around the last piece travels as two messages. Runs meet parts of them, so chunks are not cut in
// tiles. Sends and receives have a lane each, so that a round never waits for room to send before it receives.
#include <ranges>

#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/distances.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"
#include "algorithms/patterns/run.hpp"

namespace tenon {

Result<Plan> circulant_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(request.rank_count)};
    plan.tile_bytes(one_tile);
    const auto pieces = [&](BufferId buffer, Run run) {
        return plan.chunk(buffer, static_cast<ChunkIndex>(run.first), static_cast<std::uint32_t>(run.count));
    };
    const auto distances = doubling_distances(request.rank_count);

    auto sends = plan.lane();
    auto receives = plan.lane();
    std::optional<StepRef> received;
    const auto send = [&](BufferId buffer, Run ways, Rank to) {
        for (const Run run : wrapped({ring.ahead(ways.first), ways.count}, ring.rank_count)) {
            if (run.count == 0) continue;
            auto step = sends.send(pieces(buffer, run), to).source_stable();
            if (received) step.after(*received);
        }
    };
    // What the first round adds nothing to joins the partial sums as it is.
    const Rank untouched = ring.rank_count - distances.back();
    for (const Run run : wrapped({ring.ahead(untouched), distances.back() - untouched}, ring.rank_count))
        if (run.count > 0) receives.copy(pieces(BufferId::output, run), pieces(BufferId::input, run));
    BufferId partial = BufferId::input;
    Rank window = ring.rank_count;
    for (const Rank distance : std::views::reverse(distances)) {
        send(partial, {distance, window - distance}, ring.ahead(distance));
        for (const Run run : wrapped({ring.rank, window - distance}, ring.rank_count))
            if (run.count > 0)
                received = receives
                               .receive_reduce(pieces(BufferId::output, run), pieces(partial, run),
                                               ring.behind(distance))
                               .completes(distance == 1)
                               .ref();
        partial = BufferId::output;
        window = distance;
    }
    for (const Rank distance : distances) {
        const Rank count = std::min(distance, ring.rank_count - distance);
        send(BufferId::output, {0, count}, ring.behind(distance));
        for (const Run run : wrapped({ring.ahead(distance), count}, ring.rank_count))
            if (run.count > 0) received = receives.receive(pieces(BufferId::output, run), ring.ahead(distance)).ref();
    }
    return plan.finish();
}

}  // namespace tenon
