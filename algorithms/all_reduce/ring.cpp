// Ring all-reduce: a reduce-scatter around the ring, then an all-gather around it.
//
// Vocabulary: there are as many pieces as ranks; piece r sets out from rank r, is summed on its way around, complete
// when it reaches rank r - 1, and then goes around once more.
// Cost: 2 (ranks - 1) steps; each rank sends 2 (ranks - 1) / ranks of the buffer, to one neighbour. Best for large
// messages where neighbours are near and others are not.
// Needs: nothing; every piece is summed in a different order of ranks, so it is not deterministic in Tenon's sense.
// Source: Patarasuk and Yuan, Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations, JPDC 2009.
#include "algorithms/patterns/ring.hpp"

#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {

Result<Plan> ring_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(request.rank_count)};
    const auto input_behind = [&](Rank steps) { return plan.input(static_cast<ChunkIndex>(ring.behind(steps))); };
    const auto output_behind = [&](Rank steps) { return plan.output(static_cast<ChunkIndex>(ring.behind(steps))); };
    const Rank last = request.rank_count - 1;
    auto lane = plan.lane();

    lane.send(input_behind(0), ring.next()).source_stable();
    for (Rank steps = 1; steps < last; steps++)
        lane.receive_reduce_send(input_behind(steps), ring.previous(), ring.next());
    lane.receive_reduce_copy_send(output_behind(last), input_behind(last), ring.previous(), ring.next())
        .completes()
        .source_stable();

    for (Rank steps = 0; steps < last - 1; steps++)
        lane.receive_send(output_behind(steps), ring.previous(), ring.next()).source_stable();
    lane.receive(output_behind(last - 1), ring.previous());
    return plan.finish();
}

}  // namespace tenon
