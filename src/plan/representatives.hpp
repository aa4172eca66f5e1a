// Ranks that stand for others like them, when a world is too large to look at each.
//
// A rank's place is its position at every level: which rank of its innermost group, which of the parts of the group
// around it, and so on. Ranks are taken to be alike where they are, at every level, both first, both last, or both in
// between. The root of a rooted collective stands for itself.
#pragma once

#include <vector>

#include "tenon/plugin/request.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

// A topology's levels with what the arithmetic needs; one level of all ranks where the topology has none.
class LevelMap {
public:
    explicit LevelMap(const Topology& topology);

    std::size_t level_count() const { return levels_.size(); }
    const Level& level(std::size_t index) const { return levels_[index]; }
    // Do ranks that this level joins share memory?
    bool is_local(std::size_t level) const { return level < local_levels_; }
    std::size_t local_levels() const { return local_levels_; }  // they are the innermost
    // The level whose links join the two.
    std::size_t level_between(Rank a, Rank b) const;
    // The part of a level's group that the rank is in, numbered over all groups.
    std::size_t part_of(std::size_t level, Rank rank) const {
        return level == 0 ? static_cast<std::size_t>(rank)
                          : static_cast<std::size_t>(levels_[level - 1].group_of[static_cast<std::size_t>(rank)]);
    }
    std::size_t part_count(std::size_t level) const;
    Rank rank_count() const { return rank_count_; }
    // Of what shares cores: a host, or the rank's number where there is nothing to share.
    std::size_t host_of(Rank rank) const;

private:
    Rank rank_count_;
    std::vector<Level> levels_;
    std::size_t local_levels_ = 0;
};

struct Representative {
    Rank rank = 0;
    double like = 1;                   // ranks of the world that it stands for, itself included
    std::vector<double> like_in_part;  // by level: those of them that are in its part there
};

class Representatives {
public:
    static Representatives everybody(const LevelMap& map);
    // At most about `most`; `root` is no_rank where there is none.
    static Representatives some(const LevelMap& map, Rank root, std::size_t most);

    const std::vector<Representative>& all() const { return all_; }
    bool are_everybody() const { return are_everybody_; }
    // Which of all() is like the rank.
    std::size_t stand_in(Rank rank) const { return stand_in_[static_cast<std::size_t>(rank)]; }

private:
    bool are_everybody_ = false;
    std::vector<Representative> all_;
    std::vector<std::size_t> stand_in_;  // by rank
};

}  // namespace tenon
