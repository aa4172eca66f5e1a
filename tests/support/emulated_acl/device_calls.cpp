// Starting, devices and their contexts, what joins devices.
#include <fmt/format.h>

#include "os/process.hpp"
#include "reduction/kernels.hpp"
#include "tests/support/emulated_acl/state.hpp"

using namespace tenon;
using namespace tenon::support::acl;
using device::LinkClass;

namespace {

Code no_such_device(const Call& call, std::int64_t device) {
    return call.misuse(abi::invalid_device, fmt::format("there is no device {}", device));
}

bool is_there(const State& state, std::int64_t device) { return device >= 0 && device < state.devices_per_server; }

LinkClass class_between(const State& state, std::uint32_t from, std::uint32_t to) {
    return state.machine->link(state.whole_number(from), state.whole_number(to)).link_class;
}

}  // namespace

Code aclInit(const char* configuration_path) {
    const Call call{"aclInit"};
    if (call.end()) return *call.end();
    if (configuration_path != nullptr) return call.misuse(abi::feature_unsupported, "the emulated one reads no file");
    if (std::exchange(call.state().is_initialized, true)) return abi::repeated_initialize;
    return abi::success;
}

Code aclrtGetVersion(std::int32_t* major, std::int32_t* minor, std::int32_t* patch) {
    const Call call{"aclrtGetVersion"};
    if (call.end()) return *call.end();
    *major = 1;
    *minor = 17;
    *patch = 0;
    return abi::success;
}

const char* aclrtGetSocName() {
    const Call call{"aclrtGetSocName"};
    return call.end() ? nullptr : "Ascend910_9392";
}

Code aclrtGetDeviceCount(std::uint32_t* count) {
    const Call call{"aclrtGetDeviceCount"};
    if (call.end()) return *call.end();
    *count = call.state().devices_per_server;
    return abi::success;
}

Code aclrtSetDevice(std::int32_t device) {
    const Call call{"aclrtSetDevice"};
    if (call.end()) return *call.end();
    State& state = call.state();
    if (!is_there(state, device)) return no_such_device(call, device);
    auto& context = state.contexts[device];
    if (context == nullptr) {
        context = std::make_shared<AclContext>();
        context->number = device;
        context->device = std::make_shared<emulated::DeviceState>();
        context->device->machine = state.machine;
        context->device->index = state.whole_number(static_cast<std::uint32_t>(device));
        context->device->reducer = reduce_into;
        context->device->peers = std::uint64_t{1} << context->device->index;
    }
    context->users++;
    make_current(context);
    return abi::success;
}

Code aclrtResetDevice(std::int32_t device) {
    const Call call{"aclrtResetDevice"};
    if (call.end()) return *call.end();
    State& state = call.state();
    const auto found = state.contexts.find(device);
    if (found == state.contexts.end())
        return call.misuse(abi::invalid_device, fmt::format("device {} was not set", device));
    if (--found->second->users > 0) return abi::success;
    for (const auto& [handle, stream] : state.streams)
        if (stream->context == found->second) {
            call.misuse(abi::success, fmt::format("device {} is given back while it has streams", device));
            break;
        }
    state.contexts.erase(found);
    return abi::success;
}

Code aclrtGetCurrentContext(Handle* context) {
    const Call call{"aclrtGetCurrentContext"};
    if (call.end()) return *call.end();
    const auto current = call.context();
    if (current == nullptr) return abi::no_context;
    *context = current.get();
    return abi::success;
}

Code aclrtSetCurrentContext(Handle context) {
    const Call call{"aclrtSetCurrentContext"};
    if (call.end()) return *call.end();
    for (const auto& [device, known] : call.state().contexts)
        if (known.get() == context) {
            make_current(known);
            return abi::success;
        }
    return call.misuse(abi::no_context, "there is no such context (any more)");
}

Code aclrtGetDeviceInfo(std::uint32_t device, abi::DeviceAttribute attribute, std::int64_t* value) {
    const Call call{"aclrtGetDeviceInfo"};
    if (call.end()) return *call.end();
    const State& state = call.state();
    if (!is_there(state, device)) return no_such_device(call, device);
    switch (attribute) {
        case abi::DeviceAttribute::total_memory:
            *value = static_cast<std::int64_t>(state.machine->memory_of_each().value);
            return abi::success;
        case abi::DeviceAttribute::physical_chip: *value = device / 2; return abi::success;
        case abi::DeviceAttribute::supernode_server: *value = state.server; return abi::success;
        case abi::DeviceAttribute::supernode: *value = 0; return abi::success;
    }
    return call.misuse(abi::invalid_parameter, fmt::format("the emulated one has no attribute {}",
                                                           static_cast<std::uint32_t>(attribute)));
}

Code aclrtGetDevicesTopo(std::uint32_t device, std::uint32_t other, std::uint64_t* value) {
    const Call call{"aclrtGetDevicesTopo"};
    if (call.end()) return *call.end();
    if (!is_there(call.state(), device)) return no_such_device(call, device);
    if (!is_there(call.state(), other)) return no_such_device(call, other);
    const LinkClass between = class_between(call.state(), device, other);
    *value = between == LinkClass::package  ? abi::topology_sio
             : between == LinkClass::server ? abi::topology_hccs
                                            : 0;
    return abi::success;
}

Code aclrtDeviceCanAccessPeer(std::int32_t* can, std::int32_t device, std::int32_t peer) {
    const Call call{"aclrtDeviceCanAccessPeer"};
    if (call.end()) return *call.end();
    if (!is_there(call.state(), device)) return no_such_device(call, device);
    if (!is_there(call.state(), peer)) return no_such_device(call, peer);
    *can = device == peer ? 0 : 1;
    return abi::success;
}

Code aclrtDeviceEnablePeerAccess(std::int32_t peer, std::uint32_t flags) {
    const Call call{"aclrtDeviceEnablePeerAccess"};
    if (call.end()) return *call.end();
    const auto context = call.context();
    if (context == nullptr) return abi::no_context;
    if (!is_there(call.state(), peer)) return no_such_device(call, peer);
    if (flags != 0 || peer == context->number)
        return call.misuse(abi::invalid_parameter, "the peer is the device itself, or flags are not 0");
    context->device->peers |= std::uint64_t{1} << call.state().whole_number(static_cast<std::uint32_t>(peer));
    return abi::success;
}

Code aclrtDeviceGetBareTgid(std::int32_t* process) {
    const Call call{"aclrtDeviceGetBareTgid"};
    if (call.end()) return *call.end();
    *process = os::process_id();
    return abi::success;
}
