// What a piece of memory holds, as an expression over the ranks' inputs. Equal expressions have equal numbers, whatever
// the order of the two sides of an operation, so that thousands of ranks can be compared cheaply. Not thread-safe.
//
// The whole lives as long as one verification; nothing is ever removed.
#pragma once

#include <span>
#include <vector>

#include "tenon/plugin/plan.hpp"

namespace tenon {

using Expression = std::uint32_t;

class Expressions {
public:
    explicit Expressions(std::span<const Plan> plans);

    Expression input(Rank rank, std::uint32_t piece) const {
        return first_input_[static_cast<std::size_t>(rank)] + piece;
    }
    Expression combine(Expression a, Expression b);
    // The tree over ranks of the design: [0, n) splits at the largest power of two below n.
    Expression tree(std::span<const Expression> operands);

    bool is_input(Expression e) const { return e < first_input_.back(); }
    // Whose input, and which piece of it.
    Rank rank_of_input(Expression e) const;
    std::uint32_t piece_of_input(Expression e) const;

    // Every rank's contribution to one piece, each exactly once: which piece is the caller's to compare.
    bool is_complete(Expression e);
    // Any input in it, as a sample of which piece it sums.
    Expression leftmost_input(Expression e) const;
    // "rank 0's input 3 + rank 2's input 3 (twice)", shortened.
    std::string describe(Expression e) const;

private:
    struct Pair {
        Expression smaller, larger;
    };
    const Pair& sides(Expression e) const { return pairs_[e - first_input_.back()]; }
    // The inputs in an expression, with repetitions, up to a limit.
    std::vector<Expression> inputs_of(Expression e, std::size_t limit) const;
    bool sums_every_rank_once(Expression e) const;
    void grow();

    Rank rank_count_;
    std::vector<Expression> first_input_;  // by rank, and one past the last
    std::vector<Pair> pairs_;
    std::vector<std::uint8_t> completeness_;  // by pair: not asked yet, no, yes
    std::vector<std::uint32_t> table_;        // open addressing: index of a pair, plus one
};

}  // namespace tenon
