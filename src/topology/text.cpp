#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "topology/likeness.hpp"
#include "topology/printer.hpp"

namespace tenon {
namespace {

// Three digits are as many as such figures have.
std::string in_unit(double value, std::string_view unit) {
    return fmt::format("{} {}", value >= 99.95 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value), unit);
}

template <class Counts>
std::string counted(const Counts& counts) {
    std::string text;
    for (const auto& [kind, count] : counts) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, kind);
    return text;
}

// "ranks 0 .. 7", or one by one where they do not follow one another.
std::string ranks_of(const Map& map, const LikePlaces& like) {
    constexpr std::size_t most = 8;
    const Rank first = *map[like.places.front()].rank;
    if (like.places.size() == 1) return fmt::format("rank {}", first);
    std::string one_by_one;
    bool is_run = true;
    for (std::size_t i = 0; i < like.places.size(); i++) {
        const Rank rank = *map[like.places[i]].rank;
        is_run = is_run && rank == first + static_cast<Rank>(i);
        if (i < most) one_by_one += fmt::format("{}{}", i == 0 ? "" : ", ", rank);
    }
    if (is_run) return fmt::format("ranks {} .. {}", first, *map[like.places.back()].rank);
    return fmt::format("ranks {}{}", one_by_one, like.places.size() > most ? ", ..." : "");
}

std::string named(const Map& map, const LikePlaces& like) {
    const MapPlace &first = map[like.places.front()], &last = map[like.places.back()];
    const std::size_t count = like.places.size();
    std::string text = fmt::format("{} {}", first.kind, first.name);
    // Of two, both are named: they need not be neighbours.
    if (count > 1) text += fmt::format("{}{} ({} alike)", count == 2 ? ", " : " .. ", last.name, count);
    if (first.rank) text += ", " + ranks_of(map, like);
    return text;
}

std::string words_for(const LikePairs& pairs) {
    std::string text = fmt::format("{}: {}", pairs.is_between_servers ? "between servers" : "within a server",
                                   pairs.transport);
    if (!pairs.over.empty()) text += " over " + pairs.over;
    if (pairs.bytes_per_s != 0) text += ", at most " + rate_words(pairs.bytes_per_s);
    return text + (pairs.count == 1 ? fmt::format(" (ranks {} and {})", pairs.first, pairs.second)
                                    : fmt::format(" ({} pairs, such as ranks {} and {})", pairs.count, pairs.first,
                                                  pairs.second));
}

class Tree {
public:
    explicit Tree(const Map& map) : map_(map), shapes_(shapes_of(map)), links_(map.place_count()) {
        for (const Link& link : map.links())
            for (const PlaceIndex end : {link.from, link.to}) links_[end.value].push_back(&link);
    }

    void write(PlaceIndex place, const std::string& indent, std::string& text) const {
        for (const LikePlaces& like : like_children(map_, place, shapes_)) {
            text += fmt::format("{}{}{}\n", indent, named(map_, like), links_of(like.places.front()));
            write(like.places.front(), indent + "  ", text);
        }
    }

private:
    // "; 7 ub 24.3 GB/s, 1 sio 210 GB/s"
    std::string links_of(PlaceIndex place) const {
        std::map<std::tuple<std::string_view, std::uint64_t>, std::uint64_t> counts;
        for (const Link* link : links_[place.value]) counts[{link->kind, link->bytes_per_s}] += link->count;
        std::string text;
        for (const auto& [link, count] : counts) {
            const auto& [kind, rate] = link;
            text += fmt::format("{}{} {}{}", text.empty() ? "; " : ", ", count, kind,
                                rate == 0 ? "" : " " + rate_words(rate));
        }
        return text;
    }

    const Map& map_;
    std::vector<std::uint32_t> shapes_;
    std::vector<std::vector<const Link*>> links_;
};

}  // namespace

std::string rate_words(std::uint64_t bytes_per_s) {
    const auto value = static_cast<double>(bytes_per_s);
    if (bytes_per_s == 0) return "?";
    if (value >= 999.5e9) return in_unit(value / 1e12, "TB/s");
    if (value >= 999.5e6) return in_unit(value / 1e9, "GB/s");
    return in_unit(value / 1e6, "MB/s");
}

std::string latency_words(std::uint64_t latency_ns) {
    const auto value = static_cast<double>(latency_ns);
    if (latency_ns == 0) return "?";
    if (latency_ns < 1000) return in_unit(value, "ns");
    return value < 999.5e3 ? in_unit(value / 1e3, "us") : in_unit(value / 1e6, "ms");
}

std::string text_of(const Map& map) {
    std::map<std::string_view, std::size_t> places;
    std::map<std::tuple<std::string_view, std::uint64_t, std::uint64_t>, std::uint64_t> links;
    for (const MapPlace& place : map.places()) places[place.kind]++;
    for (const Link& link : map.links()) links[{link.kind, link.bytes_per_s, link.latency_ns}] += link.count;
    std::string text = fmt::format("{} {}\n  ranks   {}\n  places  {}\n", map[outermost].kind, map.name(),
                                   map.ranks().empty() ? "none" : std::to_string(map.ranks().size()), counted(places));
    bool is_first = true;
    for (const auto& [link, count] : links) {
        const auto& [kind, rate, latency] = link;
        text += fmt::format("  {}  {} {}, {} each way, {}\n", is_first ? "links " : "      ", count, kind,
                            rate_words(rate), latency_words(latency));
        is_first = false;
    }
    for (const LikePairs& pairs : map.pairs())
        text += fmt::format("  {}   {}\n", &pairs == map.pairs().data() ? "pairs" : "     ", words_for(pairs));
    for (const Fact& fact : map[outermost].facts) text += fmt::format("  {}: {}\n", fact.name, fact.value);
    text += "\n";
    Tree{map}.write(outermost, "  ", text);
    return text;
}

std::string text_of(const Topology& topology) {
    std::string text = fmt::format("as algorithms see it: {} rank{} on {} host{}\n", topology.rank_count,
                                   topology.rank_count == 1 ? "" : "s", topology.hosts, topology.hosts == 1 ? "" : "s");
    text += fmt::format("  {:<12} {:>7} {:>10} {:>10} {:>11} {:>11} {:>11}\n", "level", "groups", "of ranks", "latency",
                        "one to one", "one to all", "part to all");
    for (const Level& level : topology.levels) {
        std::map<std::int32_t, std::size_t> sizes;
        for (const std::int32_t group : level.group_of) sizes[group]++;
        std::set<std::size_t> distinct;
        for (const auto& [group, size] : sizes) distinct.insert(size);
        const std::string size = distinct.size() == 1 ? std::to_string(*distinct.begin())
                                                      : fmt::format("{}-{}", *distinct.begin(), *distinct.rbegin());
        text += fmt::format("  {:<12} {:>7} {:>10} {:>10} {:>11} {:>11} {:>11}\n", level.name, sizes.size(), size,
                            latency_words(level.link.latency_ns), rate_words(level.link.pair_bytes_per_s),
                            rate_words(level.link.rank_bytes_per_s), rate_words(level.link.part_bytes_per_s));
    }
    return text;
}

}  // namespace tenon
