// Double binary tree all-reduce: each half of the buffer is summed up one binary tree and sent back down it.
//
// Vocabulary: the trees are those of patterns/double_binary_tree.hpp; piece and channel t belong to tree t.
// Cost: 2 log2(ranks) steps; a rank sends and receives about twice the buffer in all, as an inner node of one tree and
// a leaf of the other. Best for middle messages among many ranks: near full bandwidth at the latency of a tree.
// Needs: nothing; sums follow the trees' order.
// Source: Sanders, Speck and Träff, Two-tree Algorithms for Full Bandwidth Broadcast, Reduction and Scan, 2009.
//
// Up and down have a lane each, so that later tiles climb while earlier ones descend. A result overwrites a partial sum
// only after the root had it.
#include "algorithms/patterns/double_binary_tree.hpp"

#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {
namespace {

// The root has one child: sums what comes up and sends it straight down again.
void add_root(PlanBuilder& plan, ChunkIndex tree, Rank child) {
    const auto channel = static_cast<Channel>(tree);
    plan.lane()
        .receive_reduce_copy_send(plan.output(tree), plan.input(tree), child, child, channel, channel)
        .completes()
        .source_stable();
}

void add_leaf(PlanBuilder& plan, ChunkIndex tree, Rank parent) {
    const auto channel = static_cast<Channel>(tree);
    plan.lane().send(plan.input(tree), parent, channel).source_stable();
    plan.lane().receive(plan.output(tree), parent, channel).destination_free();
}

void add_inner(PlanBuilder& plan, ChunkIndex tree, const BinaryTreeNode& node) {
    const auto channel = static_cast<Channel>(tree);
    const Chunk output = plan.output(tree);
    const bool two_children = node.children.size() == 2;

    auto up = plan.lane();
    if (two_children) up.receive_reduce(output, plan.input(tree), node.children.front(), channel);
    up.receive_reduce_send(two_children ? output : plan.input(tree), node.children.back(), node.parent, channel);

    auto down = plan.lane();
    down.receive_send(output, node.parent, node.children.front(), channel).source_stable();
    if (two_children) down.send(output, node.children.back(), channel).source_stable();
}

}  // namespace

Result<Plan> double_binary_tree_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    PlanBuilder plan{request, 2};
    for (const ChunkIndex tree : {0u, 1u}) {
        const auto node = double_binary_tree(static_cast<int>(tree), request.rank, request.rank_count);
        if (node.parent == no_rank)
            add_root(plan, tree, node.children.front());
        else if (node.children.empty())
            add_leaf(plan, tree, node.parent);
        else
            add_inner(plan, tree, node);
    }
    return plan.finish();
}

}  // namespace tenon
