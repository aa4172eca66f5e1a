// Split broadcast: the root gives every rank one piece itself and publishes the others, which all read.
//
// Vocabulary: there are as many pieces as ranks; piece 0 is the one the root gives.
// Cost: 1 step; the root writes (ranks - 1) / ranks of the buffer and every other rank reads as much, all at once. Best
// for middle and large messages where copying is the limit: the root's core copies too, instead of waiting.
// Needs: nothing.
// Source: folklore; parallel reads and parallel writes of the root's buffer, here at once, are compared in Chakraborty,
// Subramoni and Panda, Contention-aware Kernel-assisted MPI Collectives for Multi-/Many-core Systems, CLUSTER 2017.
#include "algorithms/broadcast/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> split_broadcast(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    const auto pieces = static_cast<std::uint32_t>(request.rank_count);
    PlanBuilder plan{request, pieces};
    if (request.rank == request.root) {
        plan.lane().publish(plan.input(1, pieces - 1)).source_stable();
        auto giving = plan.lane();
        for (Rank steps = 1; steps < request.rank_count; steps++)
            giving.send(plan.input(0), ring.ahead(steps)).source_stable();
        giving.copy(plan.output(0, pieces), plan.input(0, pieces));
    } else {
        plan.lane().receive_published(plan.output(1, pieces - 1), request.root).destination_free();
        plan.lane().receive(plan.output(0), request.root).destination_free();
    }
    return plan.finish();
}

}  // namespace tenon
