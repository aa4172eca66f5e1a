// What lies in an emulated machine's shared memory: a header, the links, a bank for each device, the devices' memory.
// All zero means empty, as the memory is when it is made.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "transports/device_link/emulated/machine.hpp"
#include "transports/device_link/emulated/timeline.hpp"

namespace tenon::emulated {

struct LinkState {
    device::Link link{};
    Timeline timeline{};
};

struct Allocation {
    std::uint64_t offset = 0, bytes = 0;
    device::ProcessNumber owner = 0;
    device::Reach reach = device::Reach::server;
};

inline constexpr std::size_t importer_limit = 64;
struct ImportRecord {
    device::ProcessNumber process = 0;
    std::uint32_t count = 0;
};

struct Machine::Share {
    std::uint64_t id = 0;  // 0: nothing is shared here
    bool is_notify = false;
    device::Reach reach = device::Reach::server;
    device::ProcessNumber owner = 0;
    std::uint64_t offset = 0, bytes = 0;  // a notify: its number
    std::uint32_t allowed_count = 0;      // 0: everybody who has the key
    std::array<device::ProcessNumber, importer_limit> allowed{};
    std::array<ImportRecord, importer_limit> imports{};
};

struct NotifyState {
    std::atomic<std::uint32_t> is_set{0};
    device::ProcessNumber owner = 0;  // 0: free
    std::uint64_t time_ns = 0;
};

struct Machine::Bank {
    SharedLock lock;
    std::uint64_t last_id = 0;
    std::uint32_t server = 0;
    std::uint32_t allocation_count = 0;
    std::array<Allocation, 1024> allocations{};  // by offset
    std::uint32_t share_count = 0;               // entries from here on have never been used
    std::array<Share, 2048> shares{};
    Timeline from_host, to_host;
    std::atomic<std::uint64_t> until_failure;  // operations, and one; 0: it does not fail
    NotifyState* notifies() { return reinterpret_cast<NotifyState*>(this + 1); }
};

struct Machine::Header {
    std::uint64_t layout = 0;
    std::uint64_t id = 0;
    std::uint32_t device_count = 0, notify_limit = 0;
    std::uint64_t memory_bytes = 0, task_ns = 0;
    bool reduces_from_peers = false;
    device::Link host_link{};
    std::uint64_t links_at = 0, banks_at = 0, bank_bytes = 0, memory_at = 0, file_bytes = 0;
};

}  // namespace tenon::emulated
