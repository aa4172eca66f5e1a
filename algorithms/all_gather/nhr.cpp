// NHR all-gather: HCCL's non-uniform hierarchical ring.
//
// Vocabulary: rounds and ways are those of patterns/nhr.hpp, backwards.
// Cost: ceil(log2(ranks)) rounds; each rank sends ranks - 1 blocks, half of them to its neighbour. Best for middle and
// large messages among any number of ranks whose neighbours are nearer than others.
// Needs: nothing.
// Source: Huawei, HCCL's documentation (coll_algo_intro, NHR).
//
// Every block travels by itself, in tiles, and is sent on once it is there; sends and receives have a lane each.
#include "algorithms/patterns/nhr.hpp"

#include <ranges>

#include "algorithms/all_gather/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> nhr_all_gather(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    std::vector<std::optional<StepRef>> arrived(static_cast<std::size_t>(request.rank_count));  // by way

    auto sends = plan.lane();
    auto receives = plan.lane();
    for (const auto& [distance, far, near] : std::views::reverse(nhr_rounds(request.rank_count))) {
        for (const Rank way : near) {
            const Chunk block = way == 0 ? plan.input(0) : plan.block_of_output(ring.behind(way));
            auto step = sends.send(block, ring.ahead(distance)).source_stable();
            if (const auto& there = arrived[static_cast<std::size_t>(way)]) step.after(*there);
        }
        for (const Rank way : far)
            arrived[static_cast<std::size_t>(way)] =
                receives.receive(plan.block_of_output(ring.behind(way)), ring.behind(distance))
                    .destination_free()
                    .ref();
    }
    sends.copy(plan.block_of_output(request.rank), plan.input(0));
    return plan.finish();
}

}  // namespace tenon
