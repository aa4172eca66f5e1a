// One collective of one size by one algorithm on device streams: checked, then timed.
#pragma once

#include "device_execution/stream_execution.hpp"
#include "perf/devices/ranks.hpp"
#include "tenon/plugin/algorithm.hpp"

namespace tenon::perf {

struct DevicePerfFigures {
    double device_us = 0;   // of a call, by the device's clock, calls back to back
    double host_us = 0;     // of a call, from enqueueing it to knowing that it is done, one at a time
    double enqueue_us = 0;  // of that, what it took to enqueue it
    std::uint64_t wrong = 0;
};

class DevicePerf {
public:
    DevicePerf(DevicePerfRank& rank, device::Device& device, StreamExecution& execution, std::uint64_t timeout_ms)
        : rank_{rank}, device_{device}, execution_{execution}, timeout_ms_{timeout_ms} {}
    // Every rank gets the slowest one's figures and the sum of what is wrong.
    Result<DevicePerfFigures> measure(const Algorithm& algorithm, const Request& request, unsigned calls);

private:
    Result<std::uint64_t> wrong_elements(const Request& request, const std::vector<std::byte>& output) const;

    DevicePerfRank& rank_;
    device::Device& device_;
    StreamExecution& execution_;
    std::uint64_t timeout_ms_;
};

}  // namespace tenon::perf
