// Ring and direct all-reduce: a reduce-scatter around the ring, then a direct all-gather.
//
// Vocabulary: there are as many pieces as ranks; piece r sets out from rank r + 1, is summed on its way around, and is
// complete when it reaches rank r, which publishes it.
// Cost: ranks steps; each rank sends 2 (ranks - 1) / ranks of the buffer, the first half to one neighbour. Against
// two_shot no contribution waits in scratch; against ring no result is handed on. Best for middle and large messages
// where all reach all and cores are fewer than ranks.
// Needs: nothing; every piece is summed in a different order of ranks, so it is not deterministic in Tenon's sense.
// Source: the two halves are those of Patarasuk and Yuan, Bandwidth Optimal All-reduce Algorithms for Clusters of
// Workstations, JPDC 2009, and of the two-shot kernels of NVIDIA TensorRT-LLM and vLLM (custom all-reduce).
#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/results.hpp"

namespace tenon {

Result<Plan> ring_direct_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(request.rank_count)};
    const auto piece_of = [](Rank rank) { return static_cast<ChunkIndex>(rank); };
    const ChunkIndex mine = piece_of(request.rank);

    auto summing = plan.lane();
    summing.send(plan.input(piece_of(ring.previous())), ring.next()).source_stable().answered();
    for (Rank steps = 2; steps < request.rank_count; steps++)
        summing.receive_reduce_send(plan.input(piece_of(ring.behind(steps))), ring.previous(), ring.next());
    summing.receive_reduce_publish(plan.output(mine), plan.input(mine), ring.previous()).completes().source_stable();

    take_results(plan, ring, [&](Rank owner) { return plan.output(piece_of(owner)); });
    return plan.finish();
}

}  // namespace tenon
