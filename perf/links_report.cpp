#include "perf/links_report.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "perf/heat_map.hpp"
#include "perf/links.hpp"
#include "perf/report.hpp"

namespace tenon::perf {
namespace {

constexpr std::size_t most_named = 8;

std::string name_of(const RankFacts& rank) { return rank.host; }

void name_slow(std::span<const SlowLink> links, std::span<const RankFacts> ranks, std::string_view what,
               std::string_view unit, std::string_view arrow) {
    if (links.empty()) fmt::print("# No pair's {} stands out.\n", what);
    for (std::size_t i = 0; i < std::min(links.size(), most_named); i++) {
        const SlowLink& l = links[i];
        fmt::print("# slow: {} ({}) {} {} ({}): {} {:.2f} {}, {:.1f} times worse than the median\n", l.from,
                   name_of(ranks[static_cast<std::size_t>(l.from)]), arrow, l.to,
                   name_of(ranks[static_cast<std::size_t>(l.to)]), what, l.value, unit, l.times_slower);
    }
    if (links.size() > most_named) fmt::print("# ... and {} more\n", links.size() - most_named);
}

void print_lines(const LinkFigures& figures, std::span<const RankFacts> ranks) {
    for (Rank from = 0; from < figures.latency_us.ranks(); from++)
        for (Rank to = 0; to < figures.latency_us.ranks(); to++)
            if (from != to)
                fmt::print(R"({{"peer":"tenon","version":"{}","collective":"links","from":{},"to":{},"from_host":"{}",)"
                           R"("to_host":"{}","latency_us":{:.3f},"bandwidth_GBs":{:.4f}}})"
                           "\n",
                           library_version(), from, to, name_of(ranks[static_cast<std::size_t>(from)]),
                           name_of(ranks[static_cast<std::size_t>(to)]), figures.latency_us.at(from, to),
                           figures.bandwidth_GBs.at(from, to));
}

}  // namespace

void show_links(const Options& options, Team& team, std::span<const RankFacts> ranks) {
    Progress progress;
    const LinkFigures figures = measure_links(team, [&](Rank a, Rank b) {
        progress.show(fmt::format("link between rank {} and rank {} ...", a, b));
    });
    if (team.rank() != 0) return;
    progress.clear();
    const HeatMap maps[] = {{"latency of 8 bytes, one way (us)", figures.latency_us, true},
                            {"bandwidth of 1 MiB messages (GB/s)", figures.bandwidth_GBs, false}};
    if (options.format == Format::table) {
        fmt::print("# {} ranks; rows send, columns receive\n", team.rank_count());
        for (std::size_t r = 0; r < ranks.size(); r++)
            fmt::print("# Rank {:2} Pid {:6} on {:>10}\n", r, ranks[r].process, name_of(ranks[r]));
        for (const HeatMap& map : maps) fmt::print("{}", as_text(map, ::isatty(STDOUT_FILENO) == 1));
        name_slow(slow_latencies(figures), ranks, "latency", "us", "and");
        name_slow(slow_bandwidths(figures), ranks, "bandwidth", "GB/s", "to");
    } else {
        print_lines(figures, ranks);
    }
    std::fflush(stdout);
    if (options.picture.empty()) return;
    std::vector<std::string> names;
    for (const RankFacts& rank : ranks) names.push_back(name_of(rank));
    std::ofstream file(options.picture);
    file << as_svg(maps, names);
    if (!file.flush()) throw std::runtime_error(fmt::format("cannot write {}", options.picture));
}

}  // namespace tenon::perf
