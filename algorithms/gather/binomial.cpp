// Binomial gather: subtrees' blocks climb a binomial tree to the root, each subtree's together.
//
// Vocabulary: tree and positions are those of patterns/binomial_tree.hpp, places those of patterns/subtree_blocks.hpp.
// Cost: ceil(log2(ranks)) rounds; the root receives ranks - 1 blocks in log2(ranks) messages. Best for small blocks
// among many ranks.
// Needs: scratch for the subtree's blocks at inner ranks.
// Source: Chan, Heimlich, Purkayastha and van de Geijn, Collective Communication: Theory, Practice and Experience,
// 2007.
//
// Runs meet parts of them, so chunks are not cut in tiles.
#include "algorithms/gather/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/subtree_blocks.hpp"

namespace tenon {

Result<Plan> binomial_gather(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const BinomialTree tree{request.rank, request.rank_count, request.root};
    const auto children = tree.children();
    PlanBuilder plan{request};
    plan.tile_bytes(one_tile);
    auto lane = plan.lane();
    if (!tree.is_root() && children.empty()) {
        lane.send(plan.input(0), tree.parent()).source_stable();
        return plan.finish();
    }

    const SubtreeBlocks blocks{plan, tree, BufferId::output};

    lane.copy(blocks.of({request.rank, 1}), plan.input(0));
    for (const auto& child : children)
        for (const Run ranks : tree.ranks_of(child.positions))
            if (ranks.count > 0) lane.receive(blocks.of(ranks), child.rank).destination_free();
    if (tree.is_root()) return plan.finish();
    for (const Run ranks : tree.ranks_of(tree.positions()))
        if (ranks.count > 0) lane.send(blocks.of(ranks), tree.parent()).source_stable();
    return plan.finish();
}

}  // namespace tenon
