// One-shot all-reduce: every rank gets every input and sums them all itself.
//
// Vocabulary: the board is where a rank writes once what all others read.
// Cost: 1 step; each rank writes its input once and reads ranks - 1 inputs. Best for small messages.
// Needs: scratch for ranks - 1 blocks, hence a limit on block and ranks; with two ranks none is used.
// Deterministic: one reduce step takes all inputs in the order of ranks.
// Source: the one-shot kernels of NVIDIA TensorRT-LLM and vLLM (custom all-reduce).
#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> one_shot_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    auto lane = plan.lane();

    if (request.rank_count == 2) {
        lane.exchange_reduce(plan.output(0), plan.input(0), ring.next()).completes();
        return plan.finish();
    }

    std::vector<Chunk> operands(static_cast<std::size_t>(request.rank_count), plan.input(0));
    lane.publish(plan.input(0));
    for (Rank steps = 1; steps < request.rank_count; steps++) {
        const Rank peer = ring.ahead(steps);
        Chunk& contribution = operands[static_cast<std::size_t>(peer)];
        contribution = plan.scratch(plan.input(0));
        lane.receive_published(contribution, peer);
    }
    lane.reduce(plan.output(0), operands).completes();
    return plan.finish();
}

}  // namespace tenon
