#include "plan/representatives.hpp"

#include <algorithm>
#include <map>

#include "base/assert.hpp"

namespace tenon {
namespace {

std::size_t group_count(const Level& level) {
    return static_cast<std::size_t>(*std::ranges::max_element(level.group_of)) + 1;
}

// Hosts are the smallest groups of which there are no more than hosts.
std::size_t count_local_levels(const Topology& topology, const std::vector<Level>& levels) {
    if (topology.has_boards) return levels.size();
    std::size_t local = 0;
    while (local < levels.size() && group_count(levels[local]) >= static_cast<std::size_t>(topology.hosts)) local++;
    return topology.hosts > 1 ? local : 0;
}

}  // namespace

LevelMap::LevelMap(const Topology& topology) : rank_count_(topology.rank_count), levels_(topology.levels) {
    if (levels_.empty())
        levels_.push_back({topology.has_boards ? "host" : "cluster",
                           std::vector<std::int32_t>(static_cast<std::size_t>(rank_count_), 0),
                           {}});
    local_levels_ = count_local_levels(topology, levels_);
    for (const Level& level : levels_)
        TENON_ASSERT(level.group_of.size() == static_cast<std::size_t>(rank_count_), "a level places every rank");
}

std::size_t LevelMap::level_between(Rank a, Rank b) const {
    for (std::size_t i = 0; i + 1 < levels_.size(); i++)
        if (levels_[i].group_of[static_cast<std::size_t>(a)] == levels_[i].group_of[static_cast<std::size_t>(b)])
            return i;
    return levels_.size() - 1;
}

std::size_t LevelMap::part_count(std::size_t level) const {
    return level == 0 ? static_cast<std::size_t>(rank_count_) : group_count(levels_[level - 1]);
}

std::size_t LevelMap::host_of(Rank rank) const {
    return local_levels_ == 0
               ? static_cast<std::size_t>(rank)
               : static_cast<std::size_t>(levels_[local_levels_ - 1].group_of[static_cast<std::size_t>(rank)]);
}

Representatives Representatives::everybody(const LevelMap& map) {
    Representatives made;
    made.are_everybody_ = true;
    for (Rank r = 0; r < map.rank_count(); r++) {
        made.all_.push_back({r, 1, std::vector<double>(map.level_count(), 1)});
        made.stand_in_.push_back(static_cast<std::size_t>(r));
    }
    return made;
}

namespace {

enum class Position : std::uint8_t { first, between, last };

// By rank and level: where the rank's part is among those of its group.
class Positions {
public:
    explicit Positions(const LevelMap& map) : ranks_(static_cast<std::size_t>(map.rank_count())) {
        by_level_.resize(map.level_count());
        for (std::size_t level = 0; level < map.level_count(); level++) place(map, level);
    }

    Position at(std::size_t level, Rank rank) const { return by_level_[level][static_cast<std::size_t>(rank)]; }
    // Levels that are told apart no more, from the innermost on, have no part in the kind.
    std::uint64_t kind_of(Rank rank, std::size_t from_level) const {
        std::uint64_t kind = 0;
        for (std::size_t level = from_level; level < by_level_.size(); level++)
            kind = kind * 3 + static_cast<std::uint64_t>(at(level, rank));
        return kind;
    }

private:
    void place(const LevelMap& map, std::size_t level) {
        // Parts are numbered in the order of their lowest ranks, so a group's first and last are its least and most.
        const std::vector<std::int32_t>& group_of = map.level(level).group_of;
        std::vector<std::size_t> first(group_count(map.level(level)), SIZE_MAX), last(first.size(), 0);
        for (std::size_t r = 0; r < ranks_; r++) {
            const auto group = static_cast<std::size_t>(group_of[r]);
            const std::size_t part = map.part_of(level, static_cast<Rank>(r));
            first[group] = std::min(first[group], part);
            last[group] = std::max(last[group], part);
        }
        by_level_[level].resize(ranks_);
        for (std::size_t r = 0; r < ranks_; r++) {
            const auto group = static_cast<std::size_t>(group_of[r]);
            const std::size_t part = map.part_of(level, static_cast<Rank>(r));
            by_level_[level][r] = part == first[group]  ? Position::first
                                  : part == last[group] ? Position::last
                                                        : Position::between;
        }
    }

    std::size_t ranks_;
    std::vector<std::vector<Position>> by_level_;
};

}  // namespace

Representatives Representatives::some(const LevelMap& map, Rank root, std::size_t most) {
    const Positions positions(map);
    Representatives made;
    std::map<std::uint64_t, std::size_t> of_kind;
    // Innermost levels differ least; where there are too many kinds, they are told apart no more.
    for (std::size_t from = 0; from <= map.level_count(); from++) {
        of_kind.clear();
        made.all_.clear();
        made.stand_in_.assign(static_cast<std::size_t>(map.rank_count()), 0);
        for (Rank r = 0; r < map.rank_count(); r++) {
            const auto [at, is_new] = of_kind.try_emplace(positions.kind_of(r, from), made.all_.size());
            if (is_new) made.all_.push_back({r, 0, std::vector<double>(map.level_count(), 0)});
            made.all_[at->second].like++;
            made.stand_in_[static_cast<std::size_t>(r)] = at->second;
        }
        if (made.all_.size() <= most) break;
    }
    for (Rank r = 0; r < map.rank_count(); r++) {
        Representative& like = made.all_[made.stand_in(r)];
        for (std::size_t level = 0; level < map.level_count(); level++)
            if (map.part_of(level, r) == map.part_of(level, like.rank)) like.like_in_part[level]++;
    }
    if (root != no_rank && made.all_[made.stand_in(root)].rank != root) {
        made.stand_in_[static_cast<std::size_t>(root)] = made.all_.size();
        made.all_.push_back({root, 1, std::vector<double>(map.level_count(), 1)});
    }
    return made;
}

}  // namespace tenon
