#include "communicator/decisions.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "os/memory.hpp"
#include "os/peer_memory.hpp"

namespace tenon {
namespace {

// With a core each, a waiting rank looks for as long as a sleep and a wake would cost. With fewer, each look delays the
// rank that is waited for.
constexpr std::uint32_t spins_with_cores = 20'000, spins_without = 20;
// Over a network each look is a system call as dear as a yield, and the core may be what the kernel needs for the
// message, or a rank of another container.
constexpr std::uint32_t spins_over_network = 3;
// A rank that sleeps on its sockets is woken by them, and sooner than one that only yields where others want the core;
// but by what comes through shared memory it is not.
constexpr std::uint64_t sleep_over_network_after_ns = 100'000, sleep_with_local_peers_us = 100;
// From here on, two more hops for one copy less pay; below, staging through a slot in the cache is as quick.
// With fewer cores than ranks a hop is a change of threads.
constexpr std::uint64_t direct_bytes_with_cores = 2 << 10, direct_bytes_without = 8 << 10;

Decision decide_spins(const Config& config, const Topology& topology, WaitPolicy& wait) {
    wait.cores_short = topology.cores_are_short();
    const bool network = !topology.has_boards;
    wait.spins = config.spins.value_or(network            ? spins_over_network
                                       : wait.cores_short ? spins_without
                                                          : spins_with_cores);
    if (network) wait.sleep_after_ns = sleep_over_network_after_ns;
    if (network && topology.rank_count > topology.hosts) wait.longest_sleep_us = sleep_with_local_peers_us;
    const std::string why = network
                                ? "ranks talk over a network, where a look is a system call"
                                : fmt::format("{} ranks may use {} cores", topology.rank_count, topology.cores);
    return {"looks before the core is given up", fmt::to_string(wait.spins), config.spins ? "TENON_SPIN" : why};
}

Decision decide_direct(const Config& config, const Topology& topology, AccessPolicy& access) {
    if (config.direct_access == DirectAccess::off) return {"memory of peers", "always staged", "TENON_DIRECT_ACCESS"};
    access.direct_min_bytes = topology.cores_are_short() ? direct_bytes_without : direct_bytes_with_cores;
    return {"memory that peers can address", fmt::format("reached directly from {} bytes on", access.direct_min_bytes),
            fmt::format("one copy less pays for two more hops{}",
                        topology.cores_are_short() ? ", each a change of threads" : "")};
}

Decision decide_kernel_copies(const Config& config, const Topology& topology, Decisions& all) {
    const std::string what = "ordinary memory of other processes";
    if (config.direct_access == DirectAccess::off || config.direct_access == DirectAccess::mapped)
        return {what, "staged", "TENON_DIRECT_ACCESS"};
    if (topology.one_process) return {what, "none", "all ranks are threads of one process"};
    if (!os::peer_memory_is_readable())
        return {what, "staged", "the system does not allow process_vm_readv between processes"};
    if (config.direct_access == DirectAccess::all) {
        all.access.copy_min_bytes = 0;
        return {what, "copied by the kernel", "TENON_DIRECT_ACCESS"};
    }
    all.try_kernel_copies = true;
    return {what,
            fmt::format("staged, or copied by the kernel for calls that move {} bytes or more", kernel_copy_bytes),
            "which is quicker is tried on the calls themselves, for each shape of call"};
}

Decision decide_streaming(const Config& config, Decisions& all) {
    const std::string what = "non-temporal stores";
    if (config.streaming_stores == StreamingStores::off) return {what, "never", "TENON_STREAMING_STORES"};
    const std::uint64_t cache = os::cache_sizes().level2.value;
    all.streaming_min_bytes = std::max<std::uint64_t>(2 * cache, 1 << 20);
    all.always_streams = config.streaming_stores == StreamingStores::on;
    all.try_streaming_stores = !all.always_streams;
    if (!all.always_streams)
        return {what, fmt::format("tried for calls of {} bytes or more: to slots, and from {} bytes on to the output",
                                  streaming_slot_bytes, small_bytes),
                "whether they are quicker is tried on the calls themselves, for each shape of call"};
    return {what,
            fmt::format("to slots, and to the output of calls that move {} bytes or more", all.streaming_min_bytes),
            fmt::format("TENON_STREAMING_STORES; twice the second-level cache of {} bytes", cache)};
}

}  // namespace

Decisions decide(const Config& config, const Topology& topology) {
    Decisions all;
    all.explained.push_back(decide_spins(config, topology, all.wait));
    all.explained.push_back(decide_direct(config, topology, all.access));
    all.explained.push_back(decide_kernel_copies(config, topology, all));
    all.explained.push_back(decide_streaming(config, all));
    all.explained.push_back(
        {"largest slot", fmt::format("{} bytes", topology.slot_bytes),
         fmt::format("{} ranks within {} bytes of slots each", topology.rank_count, config.slot_memory.value)});
    return all;
}

}  // namespace tenon
