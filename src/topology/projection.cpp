#include "topology/projection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "topology/routes.hpp"

namespace tenon {
namespace {

using Groups = std::vector<std::int32_t>;  // by rank; numbered in the order of their lowest ranks

struct Candidate {
    std::string name;
    std::vector<std::optional<PlaceIndex>> place_of;  // by rank
    std::uint64_t depth_sum = 0;
    std::size_t holders = 0;  // ranks that lie in such a place

    double mean_depth() const { return static_cast<double>(depth_sum) / static_cast<double>(holders); }
};

struct FoundLevel {
    std::string name;
    Groups groups;
};

std::int32_t group_count(const Groups& groups) { return groups.empty() ? 0 : std::ranges::max(groups) + 1; }

// Numbers things by their first appearance.
template <class Key>
Groups numbered(const std::vector<Key>& keys) {
    std::map<Key, std::int32_t> numbers;
    Groups groups;
    for (const Key& key : keys)
        groups.push_back(numbers.try_emplace(key, static_cast<std::int32_t>(numbers.size())).first->second);
    return groups;
}

// Every kind of place that holds ranks; a kind that lies inside itself counts as several.
std::vector<Candidate> candidates_of(const Map& map, std::span<const PlaceIndex> ranks) {
    std::map<std::pair<std::string_view, int>, Candidate> found;
    std::vector<PlaceIndex> outwards;
    for (std::size_t rank = 0; rank < ranks.size(); rank++) {
        outwards.clear();
        for (auto outer = map[ranks[rank]].parent; outer; outer = map[*outer].parent) outwards.push_back(*outer);
        std::map<std::string_view, int> seen;
        for (std::size_t depth = 0; depth < outwards.size(); depth++) {
            const PlaceIndex place = outwards[outwards.size() - 1 - depth];
            const int ordinal = seen[map[place].kind]++;
            Candidate& candidate = found[{map[place].kind, ordinal}];
            candidate.place_of.resize(ranks.size());
            candidate.place_of[rank] = place;
            candidate.depth_sum += depth;
            candidate.holders++;
        }
    }
    std::vector<Candidate> candidates;
    for (auto& [key, candidate] : found) {
        candidate.name = key.second == 0 ? std::string(key.first) : fmt::format("{} {}", key.first, key.second + 1);
        candidates.push_back(std::move(candidate));
    }
    std::ranges::sort(candidates, [](const Candidate& one, const Candidate& other) {
        return std::pair{-one.mean_depth(), one.name} < std::pair{-other.mean_depth(), other.name};
    });
    return candidates;
}

// The candidate's groups; ranks that lie in no such place stay in their group of the level inside.
Groups groups_of(const Candidate& candidate, const Groups& inside) {
    std::vector<std::pair<bool, std::uint32_t>> keys;
    for (std::size_t rank = 0; rank < inside.size(); rank++) {
        const auto& place = candidate.place_of[rank];
        keys.emplace_back(place.has_value(), place ? place->value : static_cast<std::uint32_t>(inside[rank]));
    }
    return numbered(keys);
}

bool keeps_together(const Groups& outer, const Groups& inside) {
    std::vector<std::int32_t> outer_of(static_cast<std::size_t>(group_count(inside)), -1);
    for (std::size_t rank = 0; rank < inside.size(); rank++) {
        std::int32_t& known = outer_of[static_cast<std::size_t>(inside[rank])];
        if (known != -1 && known != outer[rank]) return false;
        known = outer[rank];
    }
    return true;
}

// Ranks that links of their own join, directly or through other ranks: the hives of GPUs between which is only PCIe.
Groups islands_of(const Map& map, std::span<const PlaceIndex> ranks) {
    std::map<PlaceIndex, std::size_t> rank_at;
    std::vector<std::size_t> first_of(ranks.size());
    for (std::size_t rank = 0; rank < ranks.size(); rank++) {
        rank_at[ranks[rank]] = rank;
        first_of[rank] = rank;
    }
    const auto find_first = [&](std::size_t rank) {
        while (first_of[rank] != rank) rank = first_of[rank] = first_of[first_of[rank]];
        return rank;
    };
    for (const Link& link : map.links()) {
        const auto one = rank_at.find(link.from), other = rank_at.find(link.to);
        if (one == rank_at.end() || other == rank_at.end()) continue;
        const std::size_t low = find_first(one->second), high = find_first(other->second);
        first_of[std::max(low, high)] = std::min(low, high);
    }
    for (std::size_t rank = 0; rank < ranks.size(); rank++) first_of[rank] = find_first(rank);
    return numbered(first_of);
}

// Islands of several ranks, of which a server has several, are a level; what lies across them inside a server is none,
// because links of their own say more of how ranks reach each other than where their slots are.
void add_islands(const Map& map, std::span<const PlaceIndex> ranks, std::vector<FoundLevel>& levels) {
    const auto server = std::ranges::find(levels, kinds::server, &FoundLevel::name);
    if (server == levels.end()) return;
    Groups islands = islands_of(map, ranks);
    const Groups& servers = server->groups;
    if (!keeps_together(servers, islands) || islands == servers ||
        group_count(islands) == static_cast<std::int32_t>(ranks.size()))
        return;
    const auto lies_across = [&](const FoundLevel& level) {
        return !keeps_together(level.groups, islands) && !keeps_together(islands, level.groups);
    };
    levels.erase(std::remove_if(levels.begin(), server, lies_across), server);
    const auto place =
        std::ranges::find_if(levels, [&](const FoundLevel& level) { return keeps_together(level.groups, islands); });
    if (place != levels.end() && place->groups == islands) return;
    levels.insert(place, {"island", std::move(islands)});
}

std::vector<FoundLevel> levels_in(const Map& map, std::span<const PlaceIndex> ranks) {
    Groups inside(ranks.size());
    for (std::size_t rank = 0; rank < ranks.size(); rank++) inside[rank] = static_cast<std::int32_t>(rank);
    std::vector<FoundLevel> levels;
    for (const Candidate& candidate : candidates_of(map, ranks)) {
        Groups groups = groups_of(candidate, inside);
        if (!keeps_together(groups, inside)) continue;
        if (groups == inside) {
            // Of equal groups the innermost gives the name, but a server is called one.
            if (!levels.empty() && candidate.name == kinds::server) levels.back().name = candidate.name;
            continue;
        }
        inside = groups;
        levels.push_back({candidate.name, std::move(groups)});
    }
    add_islands(map, ranks, levels);
    return levels;
}

// Measures levels by routes between representatives.
class Measure {
public:
    Measure(const Map& map, std::span<const PlaceIndex> ranks) : ranks_(ranks), routes_(map, ranks) {}

    LevelLink between_parts(const Groups& groups, const Groups* parts) const {
        LevelLink slowest;
        bool is_first = true;
        for (const auto& members : group_parts(groups, parts)) {
            const LevelLink link = in_group(members);
            if (is_first)
                slowest = link;
            else
                slowest = {.latency_ns = std::max(slowest.latency_ns, link.latency_ns),
                           .rank_bytes_per_s = std::min(slowest.rank_bytes_per_s, link.rank_bytes_per_s),
                           .part_bytes_per_s = std::min(slowest.part_bytes_per_s, link.part_bytes_per_s),
                           .pair_bytes_per_s = std::min(slowest.pair_bytes_per_s, link.pair_bytes_per_s)};
            is_first = false;
        }
        return slowest;
    }

private:
    using Members = std::vector<PlaceIndex>;
    using Parts = std::vector<Members>;

    // The parts of the first and of the last group that have several.
    std::vector<Parts> group_parts(const Groups& groups, const Groups* parts) const {
        std::vector<std::map<std::int32_t, Members>> by_group(static_cast<std::size_t>(group_count(groups)));
        for (std::size_t rank = 0; rank < groups.size(); rank++)
            by_group[static_cast<std::size_t>(groups[rank])]
                    [parts == nullptr ? static_cast<std::int32_t>(rank) : (*parts)[rank]]
                        .push_back(ranks_[rank]);
        std::vector<Parts> several;
        for (const auto& group : by_group) {
            if (group.size() < 2) continue;
            if (several.size() == 2) several.pop_back();
            several.emplace_back();
            for (const auto& [part, members] : group) several.back().push_back(members);
        }
        return several;
    }

    LevelLink in_group(const Parts& parts) const {
        Members others;
        for (std::size_t part = 1; part < parts.size(); part++)
            others.insert(others.end(), parts[part].begin(), parts[part].end());
        const std::span<const PlaceIndex> alone{parts[0].data(), 1};
        LevelLink link;
        bool is_first = true;
        // The next part, one in the middle and the last are at different distances where distance matters.
        const std::set<std::size_t> peers{1, parts.size() / 2, parts.size() - 1};
        for (const std::size_t peer : peers) {
            if (peer == 0) continue;
            const auto route = routes_.between(alone, std::span{parts[peer]}.first(1));
            if (!route) return {};
            link.latency_ns = std::max(link.latency_ns, route->latency_ns);
            link.pair_bytes_per_s = is_first ? route->bytes_per_s : std::min(link.pair_bytes_per_s, route->bytes_per_s);
            is_first = false;
        }
        if (const auto route = routes_.between(alone, others)) link.rank_bytes_per_s = route->bytes_per_s;
        if (const auto route = routes_.between(parts[0], others)) link.part_bytes_per_s = route->bytes_per_s;
        return link;
    }

    std::span<const PlaceIndex> ranks_;
    Routes routes_;
};

// Among the parts of groups that have several.
std::size_t largest_part(const Groups& groups, const Groups& parts) {
    std::vector<std::map<std::int32_t, std::size_t>> sizes(static_cast<std::size_t>(group_count(groups)));
    for (std::size_t rank = 0; rank < groups.size(); rank++)
        sizes[static_cast<std::size_t>(groups[rank])][parts[rank]]++;
    std::size_t largest = 1;
    for (const auto& of_group : sizes)
        for (const auto& [part, size] : of_group)
            if (of_group.size() > 1) largest = std::max(largest, size);
    return largest;
}

// Whether ranks beyond the border of an inner level are reached as those within it.
bool border_costs_nothing(const Level& inside, const Level& outside) {
    const LevelLink &inner = inside.link, &outer = outside.link;
    return inner.pair_bytes_per_s != 0 && inner.pair_bytes_per_s == outer.pair_bytes_per_s &&
           inner.latency_ns == outer.latency_ns &&
           outer.part_bytes_per_s / largest_part(outside.group_of, inside.group_of) >= outer.pair_bytes_per_s;
}

std::vector<Level> measured(const Map& map, std::span<const PlaceIndex> ranks, std::vector<FoundLevel> found) {
    const Measure measure{map, ranks};
    const auto server = std::ranges::find(found, kinds::server, &FoundLevel::name);
    auto inside_server = server == found.end() ? 0 : server - found.begin();
    std::vector<Level> levels;
    const Groups* parts = nullptr;
    for (std::size_t at = 0; at < found.size(); at++) {
        Level level{found[at].name, found[at].groups, measure.between_parts(found[at].groups, parts)};
        while (!levels.empty() && inside_server > 0 && border_costs_nothing(levels.back(), level)) {
            levels.pop_back();
            level.link = measure.between_parts(level.group_of, levels.empty() ? nullptr : &levels.back().group_of);
        }
        if (std::cmp_greater_equal(at, inside_server)) inside_server = 0;
        levels.push_back(std::move(level));
        parts = &levels.back().group_of;
    }
    return levels;
}

}  // namespace

Result<std::vector<PlaceIndex>> rank_places(const Map& map, std::optional<Rank> rank_count) {
    std::vector<PlaceIndex> places{map.ranks().begin(), map.ranks().end()};
    std::string_view kind = "rank";
    constexpr std::array instead{kinds::die, kinds::device, kinds::core};
    for (std::size_t i = 0; i < instead.size() && places.empty(); i++) {
        kind = instead[i];
        for (PlaceIndex place{0}; place.value < map.place_count(); place.value++)
            if (map[place].kind == kind) places.push_back(place);
    }
    if (places.empty())
        return fail(Status::invalid_argument,
                    fmt::format("{} has no ranks, dies, devices or cores; it cannot be a job's topology", map.name()));
    if (!rank_count) return places;
    if (*rank_count < 1 || std::cmp_greater(*rank_count, places.size()))
        return fail(Status::invalid_argument, fmt::format("{} has {} {}s, but {} ranks were asked for; ask for 1 to {}",
                                                          map.name(), places.size(), kind, *rank_count, places.size()));
    places.resize(static_cast<std::size_t>(*rank_count));
    return places;
}

Result<Topology> topology_of(const Map& map, std::optional<Rank> rank_count) {
    const auto ranks = rank_places(map, rank_count);
    if (!ranks) return std::unexpected(ranks.error());
    std::set<PlaceIndex> servers;
    for (const PlaceIndex rank : *ranks)
        for (auto outer = map[rank].parent; outer; outer = map[*outer].parent)
            if (map[*outer].kind == kinds::server) servers.insert(*outer);
    Topology topology{.rank_count = static_cast<Rank>(ranks->size()),
                      .hosts = std::max(static_cast<std::int32_t>(servers.size()), 1),
                      .cores = static_cast<std::int32_t>(ranks->size())};
    topology.has_boards = topology.hosts == 1;
    topology.levels = measured(map, *ranks, levels_in(map, *ranks));
    return topology;
}

}  // namespace tenon
