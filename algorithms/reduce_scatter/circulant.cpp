// Circulant reduce-scatter: partial sums travel over halving distances around the circle, for any number of ranks and
// without a fold.
//
// Vocabulary: a block's *way* is how far ahead of this rank its owner is. Before the round of distance d this rank has
// partial sums of all ways below a window of at most 2 d; it sends those from d on to the rank d ahead.
// Cost: ceil(log2(ranks)) rounds; each rank sends ranks - 1 blocks. Best for small and middle messages among many ranks
// that are not a power of two.
// Needs: scratch as large as the input.
// Source: Träff, Optimal, Non-pipelined Reduce-scatter and Allreduce Algorithms, 2024.
//
// A run that wraps around the last block travels as two messages. Runs meet parts of them, so chunks are not cut in
// tiles. Sends and receives have a lane each, so that a round never waits for room to send before it receives.
#include <ranges>

#include "algorithms/patterns/distances.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"
#include "algorithms/patterns/run.hpp"
#include "algorithms/reduce_scatter/algorithms.hpp"

namespace tenon {
namespace {

Chunk part(const Chunk& whole, Run run) {
    return {whole.buffer, whole.index + static_cast<ChunkIndex>(run.first), static_cast<std::uint32_t>(run.count), 0};
}

}  // namespace

Result<Plan> circulant_reduce_scatter(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    plan.tile_bytes(one_tile);
    const Chunk input = plan.input(0, static_cast<std::uint32_t>(request.rank_count));
    const Chunk sums = plan.scratch(input);
    const auto distances = doubling_distances(request.rank_count);

    auto sends = plan.lane();
    auto receives = plan.lane();
    // What the first round adds nothing to joins the partial sums as it is.
    const Rank untouched = ring.rank_count - distances.back();
    for (const Run run : wrapped({ring.ahead(untouched), distances.back() - untouched}, ring.rank_count))
        if (run.count > 0) receives.copy(part(sums, run), part(input, run));
    Chunk partial = input;
    Rank window = ring.rank_count;
    std::optional<StepRef> received;
    for (const Rank distance : std::views::reverse(distances)) {
        for (const Run run : wrapped({ring.ahead(distance), window - distance}, ring.rank_count)) {
            if (run.count == 0) continue;
            auto step = sends.send(part(partial, run), ring.ahead(distance)).source_stable();
            if (received) step.after(*received);
        }
        const bool last = distance == 1;
        for (const Run run : wrapped({ring.rank, window - distance}, ring.rank_count))
            if (run.count > 0)
                received = receives
                               .receive_reduce(last ? plan.output(0) : part(sums, run), part(partial, run),
                                               ring.behind(distance))
                               .completes(last)
                               .ref();
        partial = sums;
        window = distance;
    }
    return plan.finish();
}

}  // namespace tenon
