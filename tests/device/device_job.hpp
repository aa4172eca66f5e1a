// The ranks of a communicator of the C API, each with a device and a thread of its own; and what they do with memory
// there.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tenon/device.h"
#include "tests/support/c_calls.hpp"
#include "tests/support/rank_processes.hpp"
#include "tests/support/rank_threads.hpp"

namespace tenon::support {

// Throws what went wrong.
inline void require(tenonResult_t result) {
    if (result != tenonSuccess) throw std::runtime_error(outcome(result));
}

// What a rank has, on the device "KIND:n".
class DeviceUser {
public:
    explicit DeviceUser(const std::string& name) {
        require(tenonDeviceOpen(&device_, name.c_str()));
        require(tenonDeviceStreamCreate(device_, &stream_));
    }
    ~DeviceUser() {
        tenonStreamDestroy(stream_);
        tenonDeviceClose(device_);
    }
    DeviceUser(const DeviceUser&) = delete;
    DeviceUser& operator=(const DeviceUser&) = delete;

    tenonDevice_t device() const { return device_; }
    tenonStream_t stream() const { return stream_; }
    // Freed with the device.
    std::byte* allocate(std::size_t bytes) const {
        void* memory = nullptr;
        require(tenonDeviceMemAlloc(device_, &memory, std::max<std::size_t>(bytes, 1)));
        return static_cast<std::byte*>(memory);
    }
    void put(std::byte* at, const std::vector<std::byte>& bytes) const {
        require(tenonDeviceMemcpyAsync(at, bytes.data(), bytes.size(), stream_));
        require(tenonStreamSynchronize(stream_));
    }
    std::vector<std::byte> get(const std::byte* from, std::size_t bytes) const {
        std::vector<std::byte> got(bytes);
        require(tenonDeviceMemcpyAsync(got.data(), from, bytes, stream_));
        require(tenonStreamSynchronize(stream_));
        return got;
    }

private:
    tenonDevice_t device_ = nullptr;
    tenonStream_t stream_ = nullptr;
};

struct DeviceRankHandles {
    int rank = 0, rank_count = 1;
    const DeviceUser& on;
    tenonComm_t comm = nullptr;
};

inline tenonConfig_t device_config(const DeviceUser& user, std::int64_t timeout_ms) {
    tenonConfig_t config = TENON_CONFIG_INITIALIZER;
    config.device = user.device();
    config.timeoutMs = timeout_ms;
    return config;
}

using DeviceRankBody = std::function<void(const DeviceRankHandles&)>;

inline void on_device_rank(const std::string& kind, int rank, int rank_count, const tenonUniqueId& id,
                           const DeviceRankBody& body, std::int64_t timeout_ms) {
    int devices = 0;
    require(tenonDeviceGetCount(kind.c_str(), &devices));
    const DeviceUser user{kind + ":" + std::to_string(rank % devices)};
    tenonConfig_t config = device_config(user, timeout_ms);
    tenonComm_t comm = nullptr;
    require(tenonCommInitRankConfig(&comm, rank_count, id, rank, &config));
    const std::shared_ptr<void> ended{comm, [](void* made) { tenonCommDestroy(static_cast<tenonComm_t>(made)); }};
    body({rank, rank_count, user, comm});
}

// Runs the body of each rank in a thread. Rank r is on device r, or as many as there are, by turns.
inline void on_device_ranks(const std::string& kind, int rank_count, const DeviceRankBody& body,
                            std::int64_t timeout_ms = 30'000) {
    tenonUniqueId id;
    require(tenonGetUniqueId(&id));
    on_rank_threads(rank_count, [&](Rank rank) { on_device_rank(kind, rank, rank_count, id, body, timeout_ms); });
}

// The same in a process each, which ranks that share a GPU need. This one must not have opened a device.
inline void on_device_processes(const std::string& kind, int rank_count, const DeviceRankBody& body,
                                std::int64_t timeout_ms = 30'000) {
    RankProcesses processes{rank_count, [&](RankProcess& process) -> std::string {
        tenonUniqueId id;
        if (process.rank() == 0) require(tenonGetUniqueId(&id));
        process.share(std::as_writable_bytes(std::span{&id, 1}));
        on_device_rank(kind, process.rank(), rank_count, id, body, timeout_ms);
        return ::testing::Test::HasFailure() ? "failed: see above" : "";
    }};
    EXPECT_EQ(processes.results(), std::vector<std::string>(static_cast<std::size_t>(rank_count)));
}

}  // namespace tenon::support
