#include <fmt/format.h>

#include <map>
#include <tuple>

#include "topology/printer.hpp"

namespace tenon {
namespace {

using Lines = std::map<std::tuple<std::string, std::string>, std::string>;  // what it is to what is said of it

std::string words(const std::vector<Fact>& facts) {
    std::string text;
    for (const Fact& fact : facts) text += fmt::format(" {}=\"{}\"", fact.name, fact.value);
    return text;
}

Lines lines_of(const Map& map) {
    Lines lines;
    const auto paths = map.paths();
    for (std::uint32_t place = 0; place < map.place_count(); place++) {
        const MapPlace& described = map[PlaceIndex{place}];
        lines[{"place", paths[place]}] =
            fmt::format("{}{}{}", described.kind, described.rank ? fmt::format(" rank={}", *described.rank) : "",
                        words(described.facts));
    }
    // Several links of one kind between the same ends are one line, so that none of them hides another.
    for (const Link& link : map.links()) {
        std::string& line =
            lines[{"link", fmt::format("{} -- {} {}", paths[link.from.value], paths[link.to.value], link.kind)}];
        line += fmt::format("{}{} x {} bytes/s, {} ns{}", line.empty() ? "" : "; ", link.count, link.bytes_per_s,
                            link.latency_ns, words(link.facts));
    }
    for (const LikePairs& pairs : map.pairs()) {
        const char* where = pairs.is_between_servers ? "between servers" : "within a server";
        std::string& line = lines[{"pairs", fmt::format("{} {}", where, pairs.transport)}];
        line += fmt::format("{}{} such as {} and {}{}, {} bytes/s", line.empty() ? "" : "; ", pairs.count, pairs.first,
                            pairs.second, pairs.over.empty() ? "" : " over " + pairs.over, pairs.bytes_per_s);
    }
    return lines;
}

}  // namespace

std::string difference_of(const Map& one, const Map& other) {
    Lines ours = lines_of(one), theirs = lines_of(other);
    std::string text;
    for (const auto& [what, line] : ours) {
        const auto& [kind, name] = what;
        const auto found = theirs.find(what);
        if (found == theirs.end())
            text += fmt::format("- {} {}: {}\n", kind, name, line);
        else if (found->second != line)
            text += fmt::format("~ {} {}: {} -> {}\n", kind, name, line, found->second);
    }
    for (const auto& [what, line] : theirs)
        if (!ours.contains(what)) text += fmt::format("+ {} {}: {}\n", std::get<0>(what), std::get<1>(what), line);
    if (text.empty() && one != other) text = "~ the order of places, links or pairs\n";
    return text;
}

}  // namespace tenon
