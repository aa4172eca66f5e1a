// Recursive doubling all-gather: in each round a rank and its partner exchange all they hold.
//
// Vocabulary: partners and runs are those of patterns/recursive.hpp, backwards.
// Cost: log2(ranks) rounds; each rank sends ranks - 1 blocks. Best for small and middle messages.
// Needs: a power of two of ranks (Bruck's takes the others).
// Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005.
//
// Runs of blocks meet parts of them, so chunks are not cut in tiles. Sends and receives have a lane each, so that a
// round never waits for room to send before it receives.
#include <ranges>

#include "algorithms/all_gather/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/recursive.hpp"

namespace tenon {

Result<Plan> recursive_doubling_all_gather(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    PlanBuilder plan{request};
    plan.tile_bytes(one_tile);
    const auto blocks = [&](Run run) {
        return plan.output(static_cast<ChunkIndex>(run.first), static_cast<std::uint32_t>(run.count));
    };

    auto sends = plan.lane();
    auto receives = plan.lane();
    sends.copy(plan.block_of_output(request.rank), plan.input(0));
    std::optional<StepRef> received;
    for (const auto& [partner, theirs, mine] : std::views::reverse(halving_rounds(request.rank, request.rank_count))) {
        auto step = sends.send(blocks(mine), partner).source_stable();
        if (received) step.after(*received);
        received = receives.receive(blocks(theirs), partner).destination_free().ref();
    }
    return plan.finish();
}

}  // namespace tenon
