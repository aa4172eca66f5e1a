// Binomial reduce: partial sums climb a binomial tree to the root.
//
// Vocabulary: the tree is that of patterns/binomial_tree.hpp.
// Cost: ceil(log2(ranks)) rounds, each of the whole buffer. Best for small messages among many ranks.
// Needs: scratch for one block at inner ranks.
// Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005.
#include "algorithms/patterns/binomial_tree.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/reduce/algorithms.hpp"

namespace tenon {

Result<Plan> binomial_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const BinomialTree tree{request.rank, request.rank_count, request.root};
    const auto children = tree.children();
    PlanBuilder plan{request};
    auto lane = plan.lane();
    Chunk partial = plan.input(0);

    if (children.empty()) {
        lane.send(partial, tree.parent()).source_stable();
        return plan.finish();
    }
    const Chunk sum = tree.is_root() ? plan.output(0) : children.size() > 1 ? plan.scratch(partial) : Chunk{};
    const Rank last = children.back().rank;
    for (const auto& child : children) {
        if (child.rank != last || tree.is_root())
            lane.receive_reduce(sum, partial, child.rank).completes(tree.is_root() && child.rank == last);
        else
            lane.receive_reduce_send(partial, child.rank, tree.parent());
        partial = sum;
    }
    return plan.finish();
}

}  // namespace tenon
