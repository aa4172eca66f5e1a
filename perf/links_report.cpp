#include "perf/links_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>

#include "perf/heat_map.hpp"
#include "perf/links.hpp"
#include "perf/report.hpp"

namespace tenon::perf {
namespace {

constexpr std::size_t most_named = 3;  // of each reach
constexpr double stands_out = 1.5;     // times as slow as the best

// How a figure is told of.
struct Measure {
    HeatMap map;
    std::string_view what, unit;
    bool is_both_ways;
};

void name_slowest(const Measure& measure, Reach reach) {
    const Comparison& compared = measure.map.compared;
    const auto links = compared.slowest_first(reach, measure.is_both_ways);
    if (links.empty()) return;
    const auto slow = std::ranges::count_if(links, [](const auto& link) { return link.times_slower >= stands_out; });
    fmt::print("# {} {}: best {:.2f} {}, median {:.2f}, worst {:.2f}; "
               "{} of {} {} at least {} times as slow as the best\n",
               measure.what, reach == Reach::one_host ? "on one host" : "between hosts", compared.best(reach),
               measure.unit, compared.median(reach), compared.worst(reach), slow, links.size(),
               links.size() == 1 ? "pair is" : "pairs are", stands_out);
    const auto host = [&](Rank rank) { return compared.hosts()[static_cast<std::size_t>(rank)]; };
    // Those that stand out; else the slowest of them.
    const auto named = std::clamp(static_cast<std::size_t>(slow), std::size_t{1}, most_named);
    for (std::size_t i = 0; i < named; i++)
        fmt::print("#   {}: {} ({}) {} {} ({}): {:.2f} {}, {:.1f} times as slow\n",
                   links[i].times_slower >= stands_out ? "slow" : "slowest", links[i].from, host(links[i].from),
                   measure.is_both_ways ? "and" : "to", links[i].to, host(links[i].to), links[i].value, measure.unit,
                   links[i].times_slower);
}

void print_lines(const LinkFigures& figures, std::span<const std::string> hosts) {
    for (Rank from = 0; from < figures.latency_us.ranks(); from++)
        for (Rank to = 0; to < figures.latency_us.ranks(); to++)
            if (from != to)
                fmt::print(R"({{"peer":"tenon","version":"{}","collective":"links","from":{},"to":{},"from_host":"{}",)"
                           R"("to_host":"{}","latency_us":{:.3f},"bandwidth_GBs":{:.4f}}})"
                           "\n",
                           library_version(), from, to, hosts[static_cast<std::size_t>(from)],
                           hosts[static_cast<std::size_t>(to)], figures.latency_us.at(from, to),
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
    std::vector<std::string> hosts;
    for (const RankFacts& rank : ranks) hosts.emplace_back(rank.host);
    const Measure measures[] = {
        {{.title = "latency of 8 bytes, one way (us)", .compared = {figures.latency_us, hosts, true}},
         "latency",
         "us",
         true},
        {{.title = "bandwidth of 1 MiB messages (GB/s)", .compared = {figures.bandwidth_GBs, hosts, false}},
         "bandwidth",
         "GB/s",
         false}};
    if (options.format == Format::table) {
        fmt::print("# {} ranks; rows send, columns receive\n", team.rank_count());
        for (std::size_t r = 0; r < ranks.size(); r++)
            fmt::print("# Rank {:2} Pid {:6} on {:>10}\n", r, ranks[r].process, hosts[r]);
        for (const Measure& measure : measures) fmt::print("{}", as_text(measure.map, options.in_colour));
        for (const Measure& measure : measures)
            for (const Reach reach : reaches) name_slowest(measure, reach);
    } else {
        print_lines(figures, hosts);
    }
    std::fflush(stdout);
    if (options.picture.empty()) return;
    std::ofstream file(options.picture);
    file << as_svg(std::array{measures[0].map, measures[1].map});
    if (!file.flush()) throw std::runtime_error(fmt::format("cannot write {}", options.picture));
}

}  // namespace tenon::perf
