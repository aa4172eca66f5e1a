// The topology of a job, from what the ranks said of themselves when they met.
#pragma once

#include <span>
#include <vector>

#include "os/process.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

struct RankFacts {
    os::CoreSet cores{};    // that it may run on
    std::int32_t host = 0;  // numbered from 0
};

struct JobFacts {
    bool one_process = false;
    bool has_boards = true;
    std::uint64_t slot_bytes = 0;
    std::vector<std::uint32_t> speeds_mbps{};  // of what joins each host to the others, by host; 0: not known
};

// Levels: the servers, which are the hosts, and, where there are several, the cluster. The cluster's link is as fast as
// its slowest host's. Cores are short where the ranks of a host cannot all have one of their own.
Topology topology_of(std::span<const RankFacts> ranks, const JobFacts& job);

}  // namespace tenon
