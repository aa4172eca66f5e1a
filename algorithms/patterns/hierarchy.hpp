// The groups of a topology as algorithms walk them: which ranks stand for the data of which others at each level.
//
// Vocabulary: level 0's groups are single ranks; the *parts* of a group of level k are the groups of level k - 1 that
// it holds; the last level is one group of all. An *item* is what an algorithm moves as a whole (a block, a slice), and
// its *target* the rank that it is named after. A target's *carrier* in a group is the rank there that stands for it:
// the target itself in its own groups, and in others the one at the same place among the parts, level by level. Where
// groups are of unequal size places are scaled, so that neighbours share a carrier or some ranks carry nothing.
//
// A *circle* of a level is one carrier in each part of a group, all for the same items; in groups of equal size these
// are the ranks that differ only in the part they are in ("same-index peers"), so that every rank has its own circle,
// and all ways out of a group are used side by side.
//
// Immutable. Made in time proportional to ranks times levels; the circles of a rank in ranks times levels, too.
#pragma once

#include <span>
#include <vector>

#include "tenon/plugin/topology.hpp"

namespace tenon {

using Item = std::uint32_t;

struct Circle {
    std::vector<Rank> members;             // by part
    Rank me = 0;                           // the place of the rank that asked
    std::vector<std::vector<Item>> items;  // by part: those whose carrier in the whole group is this member
};

class Hierarchy {
public:
    // Levels that tell nothing new are left out. An error where groups do not nest.
    static Result<Hierarchy> of(const Topology& topology, Rank rank_count);

    Rank rank_count() const { return static_cast<Rank>(group_of_[0].size()); }
    std::size_t depth() const { return group_of_.size() - 1; }
    std::int32_t group_of(std::size_t level, Rank rank) const {
        return group_of_[level][static_cast<std::size_t>(rank)];
    }
    std::span<const std::int32_t> parts(std::size_t level, std::int32_t group) const {
        const Parts& all = parts_[level];
        const std::size_t first = all.first[static_cast<std::size_t>(group)];
        return std::span(all.members).subspan(first, all.first[static_cast<std::size_t>(group) + 1] - first);
    }
    // Of the part that the rank is in, within its group of this level.
    std::size_t part_index(std::size_t level, Rank rank) const {
        return place_[level][static_cast<std::size_t>(group_of(level - 1, rank))];
    }
    Rank carrier(std::size_t level, std::int32_t group, Rank target) const;

    // The circles of this level that the rank is in, of all items (`targets`: by item), in an order on which all agree.
    std::vector<Circle> circles(std::size_t level, Rank rank, std::span<const Rank> targets) const;

    // All ranks, by their places from the innermost level to the outermost: same-index peers follow each other.
    std::vector<Rank> by_place() const;
    // The same of the ranks of the largest part of the whole: a target for each way out of it.
    std::vector<Rank> of_largest_part() const;

private:
    // Behind one another by group: choosing an algorithm makes a hierarchy for each rank's plan.
    struct Parts {
        static Parts of(std::span<const std::int32_t> group_of_part);
        std::vector<std::size_t> first;  // by group, and the end of the last
        std::vector<std::int32_t> members;
    };
    std::vector<std::vector<std::int32_t>> group_of_;  // by level, by rank
    std::vector<Parts> parts_;                         // by level
    std::vector<std::vector<std::size_t>> place_;      // by level, by group of the level inside
};

}  // namespace tenon
