// Ranks that run plans on device streams: each with a device, its links to the others, and a stream.
#pragma once

#include <memory>

#include "device_execution/stream_execution.hpp"
#include "tests/device/devices.hpp"
#include "tests/support/reference.hpp"

namespace tenon::support {

struct DeviceRankOptions {
    Rank rank = 0, rank_count = 1;
    DeviceLinkOptions links{};
    DeviceIntroductions introduce;
};

class DeviceRank {
public:
    DeviceRank(device::Provider& provider, const DeviceRankOptions& options);
    void close();

    // Prepares its own of the plans, issues it twice in a row without waiting between, and says what is wrong with the
    // second result; "" where nothing is. The inputs are the reference's.
    std::string run(std::span<const Plan> plans, const Request& request, const Reference& reference, bool in_place);
    StreamExecution& execution() { return *execution_; }
    DeviceBench& bench() { return bench_; }

private:
    Rank rank_;
    DeviceIntroductions introduce_;
    DeviceBench bench_;
    std::unique_ptr<DeviceLinks> links_;
    std::unique_ptr<StreamExecution> execution_;
};

}  // namespace tenon::support
