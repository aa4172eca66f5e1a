// Binomial broadcast: in each round every rank that has the data sends it to one that has not.
//
// Vocabulary: the tree is that of patterns/binomial_tree.hpp.
// Cost: ceil(log2(ranks)) rounds; the root sends the buffer log2(ranks) times. Best for small messages among many
// ranks.
// Needs: nothing.
// Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005.
#include <ranges>

#include "algorithms/broadcast/algorithms.hpp"
#include "algorithms/patterns/binomial_tree.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {

Result<Plan> binomial_broadcast(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const BinomialTree tree{request.rank, request.rank_count, request.root};
    PlanBuilder plan{request};
    auto lane = plan.lane();

    if (!tree.is_root()) lane.receive(plan.output(0), tree.parent()).destination_free();
    const Chunk data = tree.is_root() ? plan.input(0) : plan.output(0);
    // The largest subtree first, because it has the most rounds to go.
    const auto children = tree.children();
    for (const auto& child : std::views::reverse(children)) lane.send(data, child.rank).source_stable();
    if (tree.is_root()) lane.copy(plan.output(0), data);
    return plan.finish();
}

}  // namespace tenon
