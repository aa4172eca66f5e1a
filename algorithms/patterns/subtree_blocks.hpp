// Where the blocks of a binomial subtree lie: the root has all in a user's buffer in the order of ranks, an inner rank
// keeps its subtree's in scratch in the order of positions.
//
// A run of ranks that wraps around the last one is two runs all the way, because at the root it is two places.
#pragma once

#include "algorithms/patterns/binomial_tree.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace tenon {

class SubtreeBlocks {
public:
    // `at_root`: the root's buffer.
    SubtreeBlocks(PlanBuilder& plan, const BinomialTree& tree, BufferId at_root)
        : tree_(tree), at_root_(at_root), subtree_(tree.positions()) {
        if (!tree.is_root()) first_ = plan.scratch({.count = static_cast<std::uint32_t>(subtree_.count)}).index;
    }

    // Of ranks within this rank's subtree.
    Chunk of(Run ranks) const {
        const auto count = static_cast<std::uint32_t>(ranks.count);
        if (tree_.is_root()) return {at_root_, static_cast<ChunkIndex>(ranks.first), count, 0};
        const Rank position = tree_.position_of(ranks.first);
        return {BufferId::scratch, first_ + static_cast<ChunkIndex>(position - subtree_.first), count, 0};
    }

private:
    BinomialTree tree_;
    BufferId at_root_;
    Run subtree_;
    ChunkIndex first_ = 0;
};

}  // namespace tenon
