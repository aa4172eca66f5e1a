// Rabenseifner's all-reduce: a reduce-scatter by recursive halving, then an all-gather by recursive doubling.
//
// Vocabulary: there are as many pieces as core ranks, and core rank r ends the halving with the sum of piece r; the
// fold, core and extra ranks are those of patterns/recursive.hpp.
// Cost: 2 log2(ranks) rounds; a core rank sends 2 (core - 1) / core of the buffer, and as much again for the fold where
// the ranks are not a power of two. Best for middle messages among many ranks.
// Needs: nothing; any number of ranks.
// Source: Rabenseifner, Optimization of Collective Reduction Operations, ICCS 2004.
//
// Runs of pieces meet parts of them, so chunks are not cut in tiles. Sends and receives have a lane each, so that a
// round never waits for room to send before it receives. All that is sent is stable: a run sent while halving is
// overwritten only by its sum, which comes from the rank that took it.
#include <ranges>

#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/recursive.hpp"

namespace tenon {

Result<Plan> rabenseifner_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Fold fold{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(fold.core)};
    plan.tile_bytes(one_tile);
    const auto run_of = [&](BufferId buffer, Run run) {
        return plan.chunk(buffer, static_cast<ChunkIndex>(run.first), static_cast<std::uint32_t>(run.count));
    };
    const Run whole{0, fold.core};

    auto sends = plan.lane();
    auto receives = plan.lane();
    if (fold.is_extra) {
        sends.send(run_of(BufferId::input, whole), fold.partner).source_stable();
        receives.receive(run_of(BufferId::output, whole), fold.partner).destination_free();
        return plan.finish();
    }

    std::optional<StepRef> received;
    const auto send = [&](const Chunk& source, Rank to) {
        auto step = sends.send(source, to).source_stable();
        if (received) step.after(*received);
    };
    BufferId partial = BufferId::input;
    if (fold.has_extra) {
        received =
            receives.receive_reduce(run_of(BufferId::output, whole), run_of(BufferId::input, whole), fold.partner)
                .ref();
        partial = BufferId::output;
    }
    const auto rounds = halving_rounds(request.rank, fold.core);
    for (const auto& [partner, sent, kept] : rounds) {
        send(run_of(partial, sent), partner);
        const bool last = kept.count == 1;
        received = receives.receive_reduce(run_of(BufferId::output, kept), run_of(partial, kept), partner)
                       .completes(last)
                       .ref();
        partial = BufferId::output;
    }
    for (const auto& [partner, sent, kept] : std::views::reverse(rounds)) {
        send(run_of(BufferId::output, kept), partner);
        received = receives.receive(run_of(BufferId::output, sent), partner).ref();
    }
    if (fold.has_extra) send(run_of(BufferId::output, whole), fold.partner);
    return plan.finish();
}

}  // namespace tenon
