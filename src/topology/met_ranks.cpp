#include "topology/met_ranks.hpp"

#include <algorithm>

namespace tenon {
namespace {

std::vector<Level> levels_of(std::span<const RankFacts> ranks, std::size_t hosts, const JobFacts& job) {
    Level servers{.name = "server", .group_of = {}};
    for (const RankFacts& rank : ranks) servers.group_of.push_back(rank.host);
    if (hosts == 1) return {std::move(servers)};
    Level cluster{.name = "cluster", .group_of = std::vector(ranks.size(), 0)};
    if (job.speeds_mbps.size() == hosts) {
        // Nobody knows how many ranks it takes to fill the link; one may.
        cluster.link.part_bytes_per_s = std::uint64_t{std::ranges::min(job.speeds_mbps)} * 1'000'000 / 8;
        cluster.link.rank_bytes_per_s = cluster.link.part_bytes_per_s;
    }
    return {std::move(servers), std::move(cluster)};
}

}  // namespace

Topology topology_of(std::span<const RankFacts> ranks, const JobFacts& job) {
    struct Host {
        os::CoreSet cores{};
        std::size_t ranks = 0;
    };
    std::vector<Host> hosts(1);
    for (const RankFacts& rank : ranks) {
        const auto host = static_cast<std::size_t>(rank.host);
        hosts.resize(std::max(hosts.size(), host + 1));
        hosts[host].cores |= rank.cores;
        hosts[host].ranks++;
    }
    Topology made{.rank_count = static_cast<Rank>(ranks.size()), .hosts = static_cast<std::int32_t>(hosts.size()),
                  .cores = 0, .one_process = job.one_process, .has_boards = job.has_boards,
                  .slot_bytes = job.slot_bytes, .levels = levels_of(ranks, hosts.size(), job)};
    for (const Host& host : hosts) {
        made.cores += static_cast<std::int32_t>(host.cores.count());
        made.cores_short |= host.ranks > host.cores.count();
    }
    return made;
}

}  // namespace tenon
