#include "algorithms/patterns/double_binary_tree.hpp"

#include <bit>

namespace tenon {
namespace {

BinaryTreeNode in_order_tree(Rank rank, Rank rank_count) {
    if (rank == 0) return {no_rank, {static_cast<Rank>(std::bit_floor(static_cast<std::uint32_t>(rank_count - 1)))}};

    const Rank height = rank & -rank;
    BinaryTreeNode node;
    const Rank above = (rank ^ height) | (height << 1);
    node.parent = above < rank_count ? above : rank ^ height;
    if (height > 1) node.children.push_back(rank - height / 2);
    // The right subtree may be cut short by the last rank; its root is then lower.
    for (Rank distance = height / 2; distance > 0; distance /= 2)
        if (rank + distance < rank_count) {
            node.children.push_back(rank + distance);
            break;
        }
    return node;
}

}  // namespace

BinaryTreeNode double_binary_tree(int tree, Rank rank, Rank rank_count) {
    if (tree == 0) return in_order_tree(rank, rank_count);

    // Both maps are one to one; each is undone by the one below it.
    const bool odd = rank_count % 2 == 1;
    const Rank there = odd ? (rank + rank_count - 1) % rank_count : rank_count - 1 - rank;
    const auto back = [&](Rank r) { return odd ? (r + 1) % rank_count : rank_count - 1 - r; };
    BinaryTreeNode node = in_order_tree(there, rank_count);
    if (node.parent != no_rank) node.parent = back(node.parent);
    for (Rank& child : node.children) child = back(child);
    return node;
}

}  // namespace tenon
