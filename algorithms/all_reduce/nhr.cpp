// NHR all-reduce: HCCL's non-uniform hierarchical ring, a reduce-scatter over doubling distances and an all-gather
// back.
//
// Vocabulary: there are as many pieces as ranks; rounds and ways are those of patterns/nhr.hpp.
// Cost: 2 ceil(log2(ranks)) rounds; each rank sends 2 (ranks - 1) / ranks of the buffer, half of it to its neighbour.
// Best for middle and large messages among any number of ranks whose neighbours are nearer than others.
// Needs: nothing.
// Source: Huawei, HCCL's documentation (coll_algo_intro, NHR).
//
// Every piece travels by itself, in tiles, so that later rounds begin with the first tiles. A piece is sent once its
// last contribution is in; sends and receives have a lane each.
#include "algorithms/patterns/nhr.hpp"

#include <ranges>

#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> nhr_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(request.rank_count)};
    const auto rounds = nhr_rounds(request.rank_count);
    std::vector<std::optional<StepRef>> changed(static_cast<std::size_t>(request.rank_count));  // by way

    auto sends = plan.lane();
    auto receives = plan.lane();
    const auto piece = [&](BufferId buffer, Rank way) {
        return plan.chunk(buffer, static_cast<ChunkIndex>(ring.behind(way)), 1);
    };
    const auto partial = [&](Rank way) {
        return piece(changed[static_cast<std::size_t>(way)] ? BufferId::output : BufferId::input, way);
    };
    const auto send = [&](Rank way, Rank to) {
        auto step = sends.send(partial(way), to).source_stable();
        if (const auto& change = changed[static_cast<std::size_t>(way)]) step.after(*change);
    };
    for (const auto& [distance, far, near] : rounds) {
        for (const Rank way : far) send(way, ring.behind(distance));
        for (const Rank way : near)
            changed[static_cast<std::size_t>(way)] =
                receives.receive_reduce(piece(BufferId::output, way), partial(way), ring.ahead(distance))
                    .completes(distance == rounds.back().distance)
                    .ref();
    }
    for (const auto& [distance, far, near] : std::views::reverse(rounds)) {
        for (const Rank way : near) send(way, ring.ahead(distance));
        for (const Rank way : far)
            changed[static_cast<std::size_t>(way)] =
                receives.receive(piece(BufferId::output, way), ring.behind(distance)).ref();
    }
    return plan.finish();
}

}  // namespace tenon
