// Memory of the program, registered with all devices of a rank, for both directions.
#pragma once

#include <array>

#include "transports/mirrors/registrations.hpp"
#include "transports/rdma/device.hpp"

namespace tenon::rdma {

struct DeviceRegions {
    std::array<Region, most_paths> regions{};  // by path; of a device, the first has it
    Keys local{}, remote{};
};
// One device for each path, those that are the same behind each other. An error where one of them cannot.
Result<DeviceRegions> register_with_all(const std::vector<Device*>& devices, std::span<std::byte> range);

using Registrations = tenon::Registrations<DeviceRegions>;
using InUse = Registrations::InUse;

}  // namespace tenon::rdma
