#include "plan/expressions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>

#include "base/assert.hpp"

namespace tenon {
namespace {

std::size_t hash(Expression a, Expression b) {
    const std::uint64_t mixed = (std::uint64_t{a} << 32 | b) * 0x9e3779b97f4a7c15u;
    return static_cast<std::size_t>(mixed ^ mixed >> 29);
}

}  // namespace

Expressions::Expressions(std::span<const Plan> plans)
    : rank_count_(static_cast<Rank>(plans.size())), first_input_{0}, table_(1u << 12) {
    for (const Plan& plan : plans) first_input_.push_back(first_input_.back() + plan.input_blocks * plan.pieces);
}

Expression Expressions::combine(Expression a, Expression b) {
    const Pair pair{std::min(a, b), std::max(a, b)};
    if (pairs_.size() * 2 >= table_.size()) grow();
    const std::size_t mask = table_.size() - 1;
    std::size_t slot = hash(pair.smaller, pair.larger) & mask;
    for (; table_[slot] != 0; slot = (slot + 1) & mask) {
        const Pair& found = pairs_[table_[slot] - 1];
        if (found.smaller == pair.smaller && found.larger == pair.larger) return first_input_.back() + table_[slot] - 1;
    }
    pairs_.push_back(pair);
    table_[slot] = static_cast<std::uint32_t>(pairs_.size());
    return first_input_.back() + table_[slot] - 1;
}

void Expressions::grow() {
    table_.assign(table_.size() * 2, 0);
    const std::size_t mask = table_.size() - 1;
    for (std::uint32_t i = 0; i < pairs_.size(); i++) {
        std::size_t slot = hash(pairs_[i].smaller, pairs_[i].larger) & mask;
        while (table_[slot] != 0) slot = (slot + 1) & mask;
        table_[slot] = i + 1;
    }
}

Expression Expressions::tree(std::span<const Expression> operands) {
    TENON_ASSERT(!operands.empty(), "a tree has at least one operand");
    if (operands.size() == 1) return operands.front();
    const std::size_t split = std::bit_floor(operands.size() - 1);
    return combine(tree(operands.first(split)), tree(operands.subspan(split)));
}

Rank Expressions::rank_of_input(Expression e) const {
    return static_cast<Rank>(std::ranges::upper_bound(first_input_, e) - first_input_.begin() - 1);
}

std::uint32_t Expressions::piece_of_input(Expression e) const {
    return e - first_input_[static_cast<std::size_t>(rank_of_input(e))];
}

Expression Expressions::leftmost_input(Expression e) const {
    while (!is_input(e)) e = sides(e).smaller;
    return e;
}

std::vector<Expression> Expressions::inputs_of(Expression e, std::size_t limit) const {
    std::vector<Expression> inputs, open{e};
    while (!open.empty() && inputs.size() < limit) {
        const Expression next = open.back();
        open.pop_back();
        if (is_input(next)) {
            inputs.push_back(next);
        } else {
            open.push_back(sides(next).larger);
            open.push_back(sides(next).smaller);
        }
    }
    return inputs;
}

bool Expressions::sums_every_rank_once(Expression e) const {
    const auto rank_count = static_cast<std::size_t>(rank_count_);
    const std::vector<Expression> inputs = inputs_of(e, rank_count + 1);
    if (inputs.size() != rank_count) return false;
    const std::uint32_t piece = piece_of_input(inputs.front());
    std::vector<bool> seen(rank_count);
    for (const Expression input : inputs) {
        const auto rank = static_cast<std::size_t>(rank_of_input(input));
        if (seen[rank] || piece_of_input(input) != piece) return false;
        seen[rank] = true;
    }
    return true;
}

bool Expressions::is_complete(Expression e) {
    if (is_input(e)) return rank_count_ == 1;
    completeness_.resize(pairs_.size());
    std::uint8_t& known = completeness_[e - first_input_.back()];
    if (known == 0) known = sums_every_rank_once(e) ? 2 : 1;
    return known == 2;
}

std::string Expressions::describe(Expression e) const {
    std::map<Expression, int> times;
    constexpr std::size_t looked_at = 4096, shown = 12;
    for (const Expression input : inputs_of(e, looked_at)) times[input]++;
    std::string words;
    std::size_t listed = 0;
    for (const auto& [input, count] : times) {
        if (listed++ == shown) return words + fmt::format(" + {} more", times.size() - shown);
        words += fmt::format("{}rank {}'s input {}{}", listed == 1 ? "" : " + ", rank_of_input(input),
                             piece_of_input(input), count == 1 ? "" : fmt::format(" ({} times)", count));
    }
    return words;
}

}  // namespace tenon
