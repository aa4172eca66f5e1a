#include "algorithms/patterns/hierarchy.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace tenon {
namespace {

std::size_t at(Rank rank) { return static_cast<std::size_t>(rank); }

// Are groups numbered by their lowest ranks, as a topology's should be?
bool are_numbered(const std::vector<std::int32_t>& groups) {
    std::int32_t next = 0;
    for (const std::int32_t group : groups) {
        if (group < 0 || group > next) return false;
        if (group == next) next++;
    }
    return true;
}

// So numbered, whatever they were called. Most need no more than a look, which every plan takes.
std::vector<std::int32_t> renumbered(const std::vector<std::int32_t>& names) {
    if (are_numbered(names)) return names;
    std::map<std::int32_t, std::int32_t> numbers;
    std::vector<std::int32_t> groups;
    for (const std::int32_t name : names)
        groups.push_back(numbers.try_emplace(name, static_cast<std::int32_t>(numbers.size())).first->second);
    return groups;
}

}  // namespace

Result<Hierarchy> Hierarchy::of(const Topology& topology, Rank rank_count) {
    Hierarchy made;
    auto& levels = made.group_of_;
    levels.emplace_back(at(rank_count));
    std::iota(levels[0].begin(), levels[0].end(), 0);
    for (const Level& level : topology.levels) {
        if (level.group_of.size() != levels[0].size())
            return fail(Status::invalid_argument, "the topology's level '" + level.name + "' groups " +
                                                      std::to_string(level.group_of.size()) + " ranks, but there are " +
                                                      std::to_string(rank_count));
        auto groups = renumbered(level.group_of);
        if (groups != levels.back()) levels.push_back(std::move(groups));
    }
    const std::vector<std::int32_t> all(levels[0].size(), 0);
    if (levels.back() != all || levels.size() == 1) levels.push_back(all);

    made.parts_.resize(levels.size());
    made.place_.resize(levels.size());
    for (std::size_t k = 1; k < levels.size(); k++) {
        std::vector<std::int32_t> group_of_part;
        for (std::size_t rank = 0; rank < levels[0].size(); rank++) {
            const std::int32_t group = levels[k][rank], part = levels[k - 1][rank];
            if (at(part) == group_of_part.size())
                group_of_part.push_back(group);
            else if (group_of_part[at(part)] != group)
                return fail(Status::invalid_argument, "the topology's groups do not nest: ranks that level " +
                                                          std::to_string(k - 1) + " joins, the next one parts");
        }
        made.parts_[k] = Parts::of(group_of_part);
        const auto& [first, members] = made.parts_[k];
        made.place_[k].resize(members.size());
        for (std::size_t i = 0; i < members.size(); i++)
            made.place_[k][at(members[i])] = i - first[at(group_of_part[at(members[i])])];
    }
    return made;
}

// Sorted by group, by counting.
Hierarchy::Parts Hierarchy::Parts::of(std::span<const std::int32_t> group_of_part) {
    Parts made;
    made.first.resize(at(std::ranges::max(group_of_part)) + 2);
    for (const std::int32_t group : group_of_part) made.first[at(group) + 1]++;
    std::partial_sum(made.first.begin(), made.first.end(), made.first.begin());
    made.members.resize(group_of_part.size());
    auto next = made.first;
    for (std::size_t part = 0; part < group_of_part.size(); part++)
        made.members[next[at(group_of_part[part])]++] = static_cast<std::int32_t>(part);
    return made;
}

Rank Hierarchy::carrier(std::size_t level, std::int32_t group, Rank target) const {
    for (; level > 0; level--) {
        const auto here = parts(level, group);
        const std::size_t there = parts(level, group_of(level, target)).size();
        group = here[part_index(level, target) * here.size() / there];
    }
    return group;
}

std::vector<Circle> Hierarchy::circles(std::size_t level, Rank rank, std::span<const Rank> targets) const {
    const std::int32_t group = group_of(level, rank), own = group_of(level - 1, rank);
    const auto all_parts = parts(level, group);
    if (all_parts.size() == 1) return {};
    std::map<std::vector<Rank>, Circle> found;
    Circle* circle = nullptr;
    for (Item item = 0; item < targets.size(); item++) {
        const Rank target = targets[item];
        if (carrier(level - 1, own, target) != rank) continue;
        // A single rank carries everything: all of it in one circle.
        if (circle == nullptr || level > 1) {
            std::vector<Rank> members;
            for (const std::int32_t part : all_parts) members.push_back(carrier(level - 1, part, target));
            circle = &found[members];
            circle->items.resize(all_parts.size());
            circle->me = static_cast<Rank>(part_index(level, rank));
        }
        circle->items[part_index(level, carrier(level, group, target))].push_back(item);
    }
    std::vector<Circle> circles;
    for (auto& [members, one] : found) {
        one.members = members;
        circles.push_back(std::move(one));
    }
    return circles;
}

// Sorted from the outermost level's places to the innermost's, each time by counting.
std::vector<Rank> Hierarchy::by_place() const {
    std::vector<Rank> ranks(at(rank_count())), sorted(ranks.size());
    std::iota(ranks.begin(), ranks.end(), 0);
    std::vector<std::size_t> first;
    for (std::size_t level = depth(); level >= 1; level--) {
        first.assign(ranks.size() + 1, 0);
        for (const Rank rank : ranks) first[part_index(level, rank) + 1]++;
        std::partial_sum(first.begin(), first.end(), first.begin());
        for (const Rank rank : ranks) sorted[first[part_index(level, rank)]++] = rank;
        ranks.swap(sorted);
    }
    return ranks;
}

std::vector<Rank> Hierarchy::of_largest_part() const {
    std::vector<std::size_t> sizes(parts(depth(), 0).size());
    for (Rank rank = 0; rank < rank_count(); rank++) sizes[part_index(depth(), rank)]++;
    const auto largest = static_cast<std::size_t>(std::ranges::max_element(sizes) - sizes.begin());
    std::vector<Rank> ranks = by_place();
    std::erase_if(ranks, [&](Rank rank) { return part_index(depth(), rank) != largest; });
    return ranks;
}

}  // namespace tenon
