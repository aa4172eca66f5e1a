// The flat topology of a job, from what the ranks said of themselves when they met.
#pragma once

#include <span>

#include "os/process.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

struct RankFacts {
    os::CoreSet cores{};    // that it may run on
    std::int32_t host = 0;  // numbered from 0
};

// Cores are short where the ranks of a host cannot all have one of their own.
Topology flat_topology(std::span<const RankFacts> ranks, bool one_process, bool has_boards, std::uint64_t slot_bytes);

}  // namespace tenon
