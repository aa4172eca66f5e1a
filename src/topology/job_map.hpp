// The map of a job: the machines of its hosts as the servers of one cluster, its ranks inside them, and how pairs of
// ranks are reached. A pure function of what hosts and ranks have said.
//
// A rank becomes a place of kind "process", inside the innermost place that has all processors that it may run on; the
// server itself where there is none. What leads from host to host joins the hosts'
// network cards to one network of the cluster; an interface that no card stands for (a container's, a bridge) becomes a
// card of the server.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "os/process.hpp"
#include "topology/map.hpp"

namespace tenon {

struct JobHost {
    std::string name;
    Map machine;
    // Over which sockets lead to other hosts; empty: not known, as where there are none.
    std::string interface {};
    std::uint64_t interface_bytes_per_s = 0;  // 0: not known
};

// Ranks that a rank reaches alike.
struct ReachedRanks {
    Rank first = 0, count = 0;
    std::string transport;
    std::vector<std::string> devices{};  // of its own host, on the way to other hosts: "eth0", "mlx5_0"
    friend bool operator==(const ReachedRanks&, const ReachedRanks&) = default;
};

struct JobRank {
    std::int32_t host = 0;
    os::CoreSet cores{};                  // that it may run on
    std::vector<ReachedRanks> reached{};  // all other ranks, in order
};

// The devices that a network names (Network::in_words): mlx5_0 and mlx5_1 in "rdma (mlx5_0, port 1; mlx5_1, port 1)".
inline constexpr std::size_t most_rank_devices = 64;
std::vector<std::string> devices_in_words(std::string_view words, std::string_view network);

// An error where a rank does not say how it reaches each other one, or a machine does not fit a map.
Result<Map> map_of_job(std::span<const JobHost> hosts, std::span<const JobRank> ranks);

}  // namespace tenon
