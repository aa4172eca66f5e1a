// The flat topology of one host, from what the ranks said of themselves when they met.
#pragma once

#include <span>

#include "os/process.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

// `cores[r]` are the cores that rank r may run on. Cores are short where the ranks cannot all have one of their own.
Topology flat_topology(std::span<const os::CoreSet> cores, bool one_process, std::uint64_t slot_bytes);

}  // namespace tenon
