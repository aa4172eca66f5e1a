// Devices by name, for the communicator: see communicator/surroundings.hpp.
#include <fmt/format.h>

#include <charconv>
#include <map>
#include <mutex>

#include "communicator/surroundings.hpp"
#include "library/device_providers.hpp"
#include "library/emulated_machine.hpp"

namespace tenon {
namespace {

// Kept until the process ends: a vendor's library does not like to be opened again.
struct Known {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<device::Provider>> providers;
    std::map<std::string, std::weak_ptr<OpenDevice>> open;
};
Known& known() {
    static auto* const all = new Known;
    return *all;
}

Result<std::shared_ptr<device::Provider>> make_provider(const std::string& kind) {
    const auto shared =
        [](Result<std::unique_ptr<device::Provider>> made) -> Result<std::shared_ptr<device::Provider>> {
        if (!made) return std::unexpected(made.error());
        return std::shared_ptr<device::Provider>{std::move(*made)};
    };
    if (kind == "cuda") return shared(cuda_devices());
    if (kind == "ascend") return shared(ascend_devices());
    if (kind == "emulated") {
        const auto config = read_config();
        if (!config) return std::unexpected(config.error());
        auto machine = emulated_machine(*config);
        if (!machine) return std::unexpected(machine.error());
        return shared(emulated_devices(std::move(*machine)));
    }
    return fail(Status::invalid_argument,
                fmt::format("there are no devices of kind '{}': there are ascend, cuda and emulated", kind));
}

Result<std::shared_ptr<device::Provider>> provider_of(Known& all, const std::string& kind) {
    if (const auto made = all.providers.find(kind); made != all.providers.end()) return made->second;
    auto provider = make_provider(kind);
    if (provider) all.providers.emplace(kind, *provider);
    return provider;
}

}  // namespace

Result<std::shared_ptr<OpenDevice>> open_device(const std::string& name) {
    const std::size_t colon = name.find(':');
    device::DeviceIndex index = 0;
    const char* const end = name.data() + name.size();
    const bool is_named = colon != std::string::npos && colon + 1 < name.size() && [&] {
        const auto [parsed, problem] = std::from_chars(name.data() + colon + 1, end, index);
        return problem == std::errc{} && parsed == end;
    }();
    if (!is_named)
        return fail(Status::invalid_argument,
                    fmt::format("'{}' names no device: it is a kind and a number, such as cuda:0, ascend:0 or "
                                "emulated:0",
                                name));
    Known& all = known();
    const std::scoped_lock lock(all.mutex);
    std::weak_ptr<OpenDevice>& open = all.open[name];
    if (auto device = open.lock()) return device;
    auto provider = provider_of(all, name.substr(0, colon));
    if (!provider) return std::unexpected(provider.error());
    void* const before = (*provider)->current();
    auto device = (*provider)->open(index);
    (*provider)->make_current(before);
    if (!device) return std::unexpected(device.error());
    auto opened = std::make_shared<OpenDevice>(OpenDevice{name, std::move(*provider), std::move(*device)});
    open = opened;
    return opened;
}

Result<device::DeviceIndex> count_devices(const std::string& kind) {
    Known& all = known();
    const std::scoped_lock lock(all.mutex);
    const auto provider = provider_of(all, kind);
    if (!provider) return std::unexpected(provider.error());
    return (*provider)->device_count();
}

}  // namespace tenon
