// Recursive halving reduce-scatter: in each round a rank sends its partner the half of its partial sums that the
// partner is nearer to, and keeps the other.
//
// Vocabulary: the fold, core and extra ranks are those of patterns/recursive.hpp. Core rank r works for block r and,
// for its extra rank, for block core + r; so a run of core ranks stands for two runs of blocks.
// Cost: log2(ranks) rounds; each rank sends ranks - 1 blocks, and all its input for the fold where the ranks are not a
// power of two. Best for small and middle messages among many ranks.
// Needs: scratch as large as the input; any number of ranks.
// Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005.
//
// Runs of blocks meet parts of them, so chunks are not cut in tiles. Sends and receives have a lane each, so that a
// round never waits for room to send before it receives.
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/recursive.hpp"
#include "algorithms/reduce_scatter/algorithms.hpp"

namespace tenon {
namespace {

// The blocks of a run of core ranks: their own, and those of their extra ranks.
std::array<Run, 2> blocks_of(Run run, Rank core, Rank rank_count) {
    const Rank first = std::min(run.first + core, rank_count);
    const Rank end = std::min(run.first + run.count + core, rank_count);
    return {run, Run{first, end - first}};
}

Chunk part(const Chunk& whole, Run run) {
    return {whole.buffer, whole.index + static_cast<ChunkIndex>(run.first), static_cast<std::uint32_t>(run.count), 0};
}

}  // namespace

Result<Plan> recursive_halving_reduce_scatter(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Fold fold{request.rank, request.rank_count};
    PlanBuilder plan{request};
    plan.tile_bytes(one_tile);
    const Chunk input = plan.input(0, static_cast<std::uint32_t>(request.rank_count));

    auto sends = plan.lane();
    auto receives = plan.lane();
    if (fold.is_extra) {
        sends.send(input, fold.partner).source_stable();
        receives.receive(plan.output(0), fold.partner).destination_free();
        return plan.finish();
    }

    const Chunk sums = plan.scratch(input);
    Chunk partial = input;
    std::optional<StepRef> received;
    if (fold.has_extra) {
        received = receives.receive_reduce(sums, input, fold.partner).ref();
        partial = sums;
    }
    for (const auto& [partner, sent, kept] : halving_rounds(request.rank, fold.core)) {
        for (const Run run : blocks_of(sent, fold.core, request.rank_count)) {
            if (run.count == 0) continue;
            auto step = sends.send(part(partial, run), partner).source_stable();
            if (received) step.after(*received);
        }
        const bool last = kept.count == 1;
        for (const Run run : blocks_of(kept, fold.core, request.rank_count)) {
            if (run.count == 0) continue;
            const bool own = last && run.first == request.rank;
            const Chunk destination = own ? plan.output(0) : part(sums, run);
            received = receives.receive_reduce(destination, part(partial, run), partner).completes(last).ref();
        }
        partial = sums;
    }
    if (fold.has_extra) sends.send(part(sums, {fold.partner, 1}), fold.partner).source_stable().after(*received);
    return plan.finish();
}

}  // namespace tenon
