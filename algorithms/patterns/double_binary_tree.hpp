// Two binary trees over the same ranks such that a rank with children in one is a leaf of the other (but for one rank
// where the count is odd): each carries half of the data, so every rank's links are busy in both directions.
//
// The first tree is in order: the lowest set bit of a rank is its height, rank 0 is the root and has one child. The
// second is its mirror image, or, where the number of ranks is odd, the first moved on by one rank.
// Source: Sanders, Speck and Träff, Two-tree Algorithms for Full Bandwidth Broadcast, Reduction and Scan, 2009.
#pragma once

#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon {

struct BinaryTreeNode {
    Rank parent = no_rank;       // no_rank at the root
    std::vector<Rank> children;  // one at the root, otherwise up to two
};

// `tree` is 0 or 1; at least two ranks.
BinaryTreeNode double_binary_tree(int tree, Rank rank, Rank rank_count);

}  // namespace tenon
