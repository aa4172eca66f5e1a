// The providers that the suite runs over, and what its tests do again and again with a device.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "library/device_providers.hpp"
#include "tests/device/fake_cuda.hpp"
#include "transports/device_link/emulated/machine.hpp"

namespace tenon::support {

inline constexpr std::uint64_t patience_ms = 30'000;

// A provider to test, by name: "emulated", "fake_cuda", "emulated_acl" (`ascend` over the emulated library), "cuda" or
// "ascend". An error says why it cannot be used here.
Result<std::unique_ptr<device::Provider>> make_device_provider(const std::string& name);
// The fake on a machine that the caller has.
Result<std::unique_ptr<device::Provider>> fake_cuda_provider(std::shared_ptr<FakeMachine> machine);

// The value, or a failed test with the error's words.
template <class T>
T must(Result<T> result) {
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message);
    if constexpr (!std::is_void_v<T>) {
        if (!result) throw std::runtime_error{result.error().message};
        return std::move(*result);
    }
}
// The error's words, or a failed test.
template <class T>
std::string refused(const Result<T>& result, Status status) {
    EXPECT_FALSE(result.has_value()) << "nothing was refused";
    if (result) return {};
    EXPECT_EQ(result.error().status, status) << result.error().message;
    return result.error().message;
}

// A device with a stream and some memory.
struct DeviceBench {
    explicit DeviceBench(device::Provider& provider, device::DeviceIndex index = 0);
    std::unique_ptr<device::Memory> allocate(std::size_t bytes) const;
    void put(void* at, const std::vector<std::byte>& content) const;
    std::vector<std::byte> get(const void* at, std::size_t bytes) const;

    std::unique_ptr<device::Device> device;
    std::unique_ptr<device::Stream> stream;
};

std::vector<std::byte> numbered_bytes(std::size_t count, unsigned first);

}  // namespace tenon::support
