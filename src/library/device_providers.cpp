#include "library/device_providers.hpp"

#include "os/process.hpp"
#include "reduction/kernels.hpp"
#include "transports/device_link/ascend/provider.hpp"
#include "transports/device_link/cuda/provider.hpp"
#include "transports/device_link/emulated/provider.hpp"

namespace tenon {
namespace {

ProviderState state_of(std::string name, const Result<std::unique_ptr<device::Provider>>& provider) {
    ProviderState state{.name = std::move(name), .obstacle = {}, .devices = {}, .links = {}};
    if (!provider) {
        state.obstacle = provider.error().message;
        return state;
    }
    const device::DeviceIndex count = (*provider)->device_count();
    for (device::DeviceIndex from = 0; from < count; from++) {
        state.devices.push_back((*provider)->facts(from).value_or(device::DeviceFacts{}));
        for (device::DeviceIndex to = 0; to < count; to++)
            state.links.push_back((*provider)->link(from, to).value_or(device::Link{}));
    }
    return state;
}

}  // namespace

std::unique_ptr<device::Provider> emulated_devices(std::shared_ptr<emulated::Machine> machine) {
    return emulated::make_provider(std::move(machine), reduce_into);
}

Result<std::unique_ptr<device::Provider>> cuda_devices() {
    auto driver = cuda::open_driver();
    if (!driver) return std::unexpected(driver.error());
    return cuda::make_provider(std::move(*driver), os::process_token());
}

Result<std::unique_ptr<device::Provider>> ascend_devices(const std::string& library) {
    const auto acl = ascend::open_acl(library);
    if (!acl) return std::unexpected(acl.error());
    return ascend::make_provider(*acl, os::process_token());
}

std::vector<ProviderState> provider_states() {
    std::vector<ProviderState> states;
    states.push_back(state_of("ascend", ascend_devices()));
    states.push_back(state_of("cuda", cuda_devices()));
    return states;
}

}  // namespace tenon
