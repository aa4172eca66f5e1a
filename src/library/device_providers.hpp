// The providers of devices that there are: the one place that names them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tenon/plugin/device.hpp"
#include "transports/device_link/emulated/machine.hpp"

namespace tenon {

std::unique_ptr<device::Provider> emulated_devices(std::shared_ptr<emulated::Machine> machine);
// An error says why there is no GPU that can be used. To be called after a fork, never before: the driver does not
// survive one.
Result<std::unique_ptr<device::Provider>> cuda_devices();
// An error says why there is no NPU that can be used. After a fork, too. `library`: ACL's runtime.
Result<std::unique_ptr<device::Provider>> ascend_devices(const std::string& library = "libascendcl.so");

// What this machine has, for `tenon info`. Asks every provider, so not to be called before a fork either.
struct ProviderState {
    std::string name;
    std::string obstacle;  // why it cannot be used; empty where it can
    std::vector<device::DeviceFacts> devices;
    std::vector<device::Link> links;  // one way, from * devices + to
};
std::vector<ProviderState> provider_states();

}  // namespace tenon
