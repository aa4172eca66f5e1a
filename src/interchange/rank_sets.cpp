#include "interchange/rank_sets.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tenon {

RankSets::RankSets(Rank rank_count) {
    const auto ranks = static_cast<std::size_t>(rank_count);
    for (std::size_t rank = 0; rank < ranks; rank++) {
        Bits bits(ranks);
        bits[rank] = true;
        number(std::move(bits));
    }
    all_ = number(Bits(ranks, true));
}

RankSet RankSets::number(Bits bits) {
    const auto [found, is_new] = numbers_.emplace(std::move(bits), static_cast<RankSet>(sets_.size()));
    if (is_new) sets_.push_back(found->first);
    return found->second;
}

std::optional<RankSet> RankSets::disjoint_union(RankSet a, RankSet b) {
    const auto key = std::minmax(a, b);
    if (const auto known = unions_.find(key); known != unions_.end()) return known->second;
    Bits bits = sets_[a];
    for (std::size_t rank = 0; rank < bits.size(); rank++) {
        if (!sets_[b][rank]) continue;
        if (bits[rank]) return std::nullopt;
        bits[rank] = true;
    }
    return unions_.emplace(key, number(std::move(bits))).first->second;
}

bool RankSets::includes(RankSet set, RankSet part) const {
    for (std::size_t rank = 0; rank < sets_[set].size(); rank++)
        if (sets_[part][rank] && !sets_[set][rank]) return false;
    return true;
}

std::string RankSets::describe(RankSet set) const {
    constexpr std::size_t longest = 60;
    std::string ranks;
    for (std::size_t rank = 0; rank < sets_[set].size(); rank++) {
        if (!sets_[set][rank]) continue;
        if (ranks.size() > longest) return ranks + ", ...";
        ranks += fmt::format("{}{}", ranks.empty() ? "" : ", ", rank);
    }
    return ranks;
}

}  // namespace tenon
