// Two-shot reduce: a direct reduce-scatter, then a gather of the sums at the root.
//
// Vocabulary: there are as many pieces as ranks; rank r owns piece r, that is, sums it.
// Cost: 2 steps; each rank sends and receives (ranks - 1) / ranks of the buffer, and the sums go to the root. Best for
// middle and large messages: the work of summing is shared.
// Needs: scratch for one block.
// Deterministic: the owner sums all contributions in one step, in the order of ranks.
// Source: Rabenseifner, Optimization of Collective Reduction Operations, ICCS 2004, with direct exchanges.
#include "algorithms/patterns/contributions.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/reduce/algorithms.hpp"

namespace tenon {
namespace {

constexpr Channel contributions = 0;
constexpr Channel results = 1;

}  // namespace

Result<Plan> two_shot_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(request.rank_count)};
    const auto piece_of = [](Rank rank) { return static_cast<ChunkIndex>(rank); };
    const Chunk mine = plan.input(piece_of(request.rank));
    const bool is_root = request.rank == request.root;

    give_contributions(plan, ring, [&](Rank owner) { return plan.input(piece_of(owner)); }, contributions, false);

    auto summing = plan.lane();
    const auto operands = take_contributions(plan, summing, ring, mine, contributions);
    if (!is_root) {
        summing.reduce_send(plan.scratch(mine), operands, request.root, results).completes().source_stable();
        return plan.finish();
    }
    summing.reduce(plan.output(piece_of(request.rank)), operands).completes();

    auto incoming = plan.lane();
    for (Rank steps = 1; steps < request.rank_count; steps++) {
        const Rank owner = ring.ahead(steps);
        incoming.receive(plan.output(piece_of(owner)), owner, results).destination_free();
    }
    return plan.finish();
}

}  // namespace tenon
