// The providers of devices that there are: the one place that names them.
#pragma once

#include <memory>

#include "tenon/plugin/device.hpp"
#include "transports/device_link/emulated/machine.hpp"

namespace tenon {

std::unique_ptr<device::Provider> emulated_devices(std::shared_ptr<emulated::Machine> machine);
// An error says why there is no GPU that can be used. To be called after a fork, never before: the driver does not
// survive one.
Result<std::unique_ptr<device::Provider>> cuda_devices();

}  // namespace tenon
