// Binomial scatter: blocks descend a binomial tree from the root, each subtree's together.
//
// Vocabulary: tree and positions are those of patterns/binomial_tree.hpp, places those of patterns/subtree_blocks.hpp.
// Cost: ceil(log2(ranks)) rounds; the root sends ranks - 1 blocks in log2(ranks) messages. Best for small blocks among
// many ranks.
// Needs: scratch for the subtree's blocks at inner ranks.
// Source: Chan, Heimlich, Purkayastha and van de Geijn, Collective Communication: Theory, Practice and Experience,
// 2007.
//
// Runs meet parts of them, so chunks are not cut in tiles.
#include <ranges>

#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/subtree_blocks.hpp"
#include "algorithms/scatter/algorithms.hpp"

namespace tenon {

Result<Plan> binomial_scatter(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const BinomialTree tree{request.rank, request.rank_count, request.root};
    const auto children = tree.children();
    PlanBuilder plan{request};
    plan.tile_bytes(one_tile);
    auto lane = plan.lane();
    if (!tree.is_root() && children.empty()) {
        lane.receive(plan.output(0), tree.parent()).destination_free();
        return plan.finish();
    }

    const SubtreeBlocks blocks{plan, tree, BufferId::input};

    if (!tree.is_root())
        for (const Run ranks : tree.ranks_of(tree.positions()))
            if (ranks.count > 0) lane.receive(blocks.of(ranks), tree.parent()).destination_free();
    // The largest subtree first, because it has the most rounds to go.
    for (const auto& child : std::views::reverse(children))
        for (const Run ranks : tree.ranks_of(child.positions))
            if (ranks.count > 0) lane.send(blocks.of(ranks), child.rank).source_stable();
    lane.copy(plan.output(0), blocks.of({request.rank, 1}));
    return plan.finish();
}

}  // namespace tenon
