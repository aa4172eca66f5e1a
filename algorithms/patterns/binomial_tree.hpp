// The binomial tree over ranks, for any root: after round k, 2^(k+1) ranks are reached.
//
// A *position* is a rank counted from the root: the root is at 0. The subtree of a position is a run of positions that
// starts with it, so what a subtree holds is contiguous in positions, and wraps at most once in ranks.
#pragma once

#include <algorithm>
#include <vector>

#include "algorithms/patterns/run.hpp"

namespace tenon {

class BinomialTree {
public:
    struct Node {
        Rank rank;
        Run positions;  // of its subtree
    };

    BinomialTree(Rank rank, Rank rank_count, Rank root)
        : rank_count_(rank_count), root_(root), position_(position_of(rank)) {}

    bool is_root() const { return position_ == 0; }
    Rank parent() const { return rank_at(position_ & (position_ - 1)); }
    Run positions() const { return {position_, std::min(reach(), rank_count_ - position_)}; }

    // The smallest subtree first.
    std::vector<Node> children() const {
        std::vector<Node> nodes;
        for (Rank distance = 1; distance < reach() && position_ + distance < rank_count_; distance *= 2) {
            const Rank child = position_ + distance;
            nodes.push_back({rank_at(child), {child, std::min(distance, rank_count_ - child)}});
        }
        return nodes;
    }

    Rank rank_at(Rank position) const { return (position + root_) % rank_count_; }
    Rank position_of(Rank rank) const { return (rank - root_ + rank_count_) % rank_count_; }
    // The ranks of a run of positions, in that order: one run, or two where it wraps around the last rank.
    std::array<Run, 2> ranks_of(Run positions) const {
        return wrapped({rank_at(positions.first), positions.count}, rank_count_);
    }

private:
    // Positions from this one up to the next that is not in its subtree, were there enough ranks.
    Rank reach() const { return is_root() ? rank_count_ : position_ & -position_; }

    Rank rank_count_, root_, position_;
};

}  // namespace tenon
