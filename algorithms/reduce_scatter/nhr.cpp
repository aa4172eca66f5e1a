// NHR reduce-scatter: HCCL's non-uniform hierarchical ring.
//
// Vocabulary: rank r owns block r; rounds and ways are those of patterns/nhr.hpp.
// Cost: ceil(log2(ranks)) rounds; each rank sends ranks - 1 blocks, half of them to its neighbour. Best for middle and
// large messages among any number of ranks whose neighbours are nearer than others.
// Needs: scratch for about ranks / 2 blocks.
// Source: Huawei, HCCL's documentation (coll_algo_intro, NHR).
//
// Every block travels by itself, in tiles. A block is sent once its last contribution is in; sends and receives have a
// lane each.
#include "algorithms/patterns/nhr.hpp"

#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"
#include "algorithms/reduce_scatter/algorithms.hpp"

namespace tenon {

Result<Plan> nhr_reduce_scatter(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    const auto rounds = nhr_rounds(request.rank_count);
    struct Partial {
        Chunk at;
        std::optional<StepRef> changed;
    };
    std::vector<Partial> partials;  // by way
    for (Rank way = 0; way < request.rank_count; way++) partials.push_back({plan.input(
        static_cast<ChunkIndex>(ring.behind(way))), {}});

    auto sends = plan.lane();
    auto receives = plan.lane();
    for (const auto& [distance, far, near] : rounds) {
        for (const Rank way : far) {
            const auto& [at, changed] = partials[static_cast<std::size_t>(way)];
            auto step = sends.send(at, ring.behind(distance)).source_stable();
            if (changed) step.after(*changed);
        }
        const bool last = distance == rounds.back().distance;
        for (const Rank way : near) {
            auto& [at, changed] = partials[static_cast<std::size_t>(way)];
            const Chunk sum = last ? plan.output(0) : changed ? at : plan.scratch(at);
            changed = receives.receive_reduce(sum, at, ring.ahead(distance)).completes(last).ref();
            at = sum;
        }
    }
    return plan.finish();
}

}  // namespace tenon
