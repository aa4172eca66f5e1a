#include "topology/flat.hpp"

#include <algorithm>
#include <vector>

namespace tenon {

Topology flat_topology(std::span<const RankFacts> ranks, bool one_process, bool has_boards, std::uint64_t slot_bytes) {
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
                  .cores = 0, .one_process = one_process, .has_boards = has_boards, .slot_bytes = slot_bytes};
    for (const Host& host : hosts) {
        made.cores += static_cast<std::int32_t>(host.cores.count());
        made.cores_short |= host.ranks > host.cores.count();
    }
    return made;
}

}  // namespace tenon
