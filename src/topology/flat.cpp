#include "topology/flat.hpp"

namespace tenon {

Topology flat_topology(std::span<const os::CoreSet> cores, bool one_process, std::uint64_t slot_bytes) {
    os::CoreSet together;
    for (const os::CoreSet& c : cores) together |= c;
    return {.rank_count = static_cast<Rank>(cores.size()), .cores = static_cast<std::int32_t>(together.count()),
            .one_process = one_process, .slot_bytes = slot_bytes};
}

}  // namespace tenon
