// Sets of ranks, numbered: equal sets have equal numbers, so that sums of contributions are compared and joined
// cheaply.
//
// Nothing is removed; the whole lives as long as one reading. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon {

using RankSet = std::uint32_t;

class RankSets {
public:
    explicit RankSets(Rank rank_count);

    RankSet single(Rank rank) const { return static_cast<RankSet>(rank); }
    RankSet all() const { return all_; }
    // Nothing where the two share a rank.
    std::optional<RankSet> disjoint_union(RankSet a, RankSet b);
    bool includes(RankSet set, RankSet part) const;
    std::string describe(RankSet set) const;  // "0, 2, 3", shortened

private:
    using Bits = std::vector<bool>;
    RankSet number(Bits bits);

    std::vector<Bits> sets_;
    std::map<Bits, RankSet> numbers_;
    std::map<std::pair<RankSet, RankSet>, RankSet> unions_;
    RankSet all_ = 0;
};

}  // namespace tenon
