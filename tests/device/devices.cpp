#include "tests/device/devices.hpp"

#include "library/device_providers.hpp"
#include "os/process.hpp"
#include "tests/device/acl_machine.hpp"
#include "transports/device_link/cuda/provider.hpp"

namespace tenon::support {

Result<std::unique_ptr<device::Provider>> fake_cuda_provider(std::shared_ptr<FakeMachine> machine) {
    // Each is a process of its own, though all are threads of this one.
    os::ProcessToken token;
    if (auto random = os::fill_random(std::as_writable_bytes(std::span{&token, 1})); !random)
        return std::unexpected(random.error());
    return cuda::make_provider(make_fake_cuda(std::move(machine)), token);
}

Result<std::unique_ptr<device::Provider>> make_device_provider(const std::string& name) {
    if (name == "emulated") {
        const device::Link link{device::LinkClass::server, 100'000'000'000, 700};
        auto machine = emulated::Machine::create(emulated::MachineDescription::uniform(2, link));
        if (!machine) return std::unexpected(machine.error());
        return emulated_devices(*machine);
    }
    if (name == "fake_cuda") return fake_cuda_provider(std::make_shared<FakeMachine>());
    if (name == "emulated_acl") return AclMachine{}.provider();
    if (name == "ascend") return ascend_devices();
    return cuda_devices();
}

DeviceBench::DeviceBench(device::Provider& provider, device::DeviceIndex index)
    : device{must(provider.open(index))}, stream{must(device->create_stream())} {}

std::unique_ptr<device::Memory> DeviceBench::allocate(std::size_t bytes) const {
    return must(device->allocate({.bytes = {bytes}}));
}

void DeviceBench::put(void* at, const std::vector<std::byte>& content) const {
    must(stream->copy(at, content.data(), {content.size()}));
    must(stream->synchronize(patience_ms));
}

std::vector<std::byte> DeviceBench::get(const void* at, std::size_t bytes) const {
    std::vector<std::byte> content(bytes);
    must(stream->copy(content.data(), at, {bytes}));
    must(stream->synchronize(patience_ms));
    return content;
}

std::vector<std::byte> numbered_bytes(std::size_t count, unsigned first) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; i++) bytes[i] = static_cast<std::byte>(first + i * 7 + i / 251);
    return bytes;
}

}  // namespace tenon::support
