// Devices, their memory and streams, and on which of them a call runs.
#include "tenon/device.h"

#include <fmt/format.h>

#include <algorithm>

#include "c_api/handles.hpp"

namespace tenon::c_api {
namespace {

// All that this process has opened, for pointers that are in the wrong place.
struct Opened {
    std::mutex mutex;
    std::vector<std::weak_ptr<OpenDevice>> devices;
    std::vector<std::shared_ptr<device::Provider>> providers;
};
Opened& opened() {
    static auto* const all = new Opened;
    return *all;
}

void remember(const std::shared_ptr<OpenDevice>& device) {
    const std::scoped_lock lock(opened().mutex);
    std::erase_if(opened().devices, [&](const auto& known) { return known.expired() || known.lock() == device; });
    opened().devices.push_back(device);
    if (std::ranges::find(opened().providers, device->provider) == opened().providers.end())
        opened().providers.push_back(device->provider);
    has_devices.store(true, std::memory_order_relaxed);
}

// A communicator of the host's memory alone would follow such a pointer.
Result<void> expect_host_memory(const tenonComm& comm, const Call& call) {
    const std::string name = device_with_any_of({call.send, call.receive});
    if (name.empty()) return {};
    return fail(Status::invalid_argument,
                fmt::format("rank {}: {}: a buffer is memory of {}, but the communicator has no device: name it in "
                            "tenonConfig_t.device when the communicator is made",
                            comm.rank, name_of(call.collective), name));
}

Result<std::shared_ptr<DeviceStream>> refuse_stream(const tenonComm& comm, const Call& call, const std::string& what) {
    return fail(Status::invalid_usage, fmt::format("rank {}: {}: {}", comm.rank, name_of(call.collective), what));
}

bool is_good(tenonDevice_t device) { return device != nullptr && device->state == alive; }
constexpr const char* no_device = "not a device that tenonDeviceOpen opened";
tenonResult_t refuse_device_call(const char* function, std::string_view what) {
    return report(Status::invalid_argument, fmt::format("{}: {}", function, what));
}

tenonResult_t hand_out(const std::shared_ptr<OpenDevice>& device, Result<std::unique_ptr<device::Stream>> made,
                       tenonStream_t* stream) {
    if (!made) return report(made.error());
    *stream =
        new tenonStream{.host = {}, .device = std::make_shared<DeviceStream>(device, std::move(*made))};
    return tenonSuccess;
}

}  // namespace

std::atomic<bool> has_devices{false};

void KeepsDevices::remember() {
    const std::scoped_lock lock(opened().mutex);
    for (const auto& provider : opened().providers) before_.emplace_back(provider.get(), provider->current());
}

void KeepsDevices::restore() const {
    for (const auto& [provider, before] : before_) provider->make_current(before);
}

std::string device_with_any_of(std::initializer_list<const void*> buffers) {
    if (!has_devices.load(std::memory_order_relaxed)) return {};
    const std::scoped_lock lock(opened().mutex);
    for (const auto& known : opened().devices)
        if (const auto device = known.lock())
            for (const void* buffer : buffers) {
                if (buffer == nullptr) continue;
                const auto at = device->device->locate(buffer);
                if (at && at->kind == device::MemoryKind::device)
                    return fmt::format("{}:{}", device->provider->name(), at->device);
            }
    return {};
}

Result<std::shared_ptr<OpenDevice>> device_of(const tenonConfig_t* config) {
    if (config == nullptr || config->device == nullptr) return nullptr;
    if (is_good(config->device)) return config->device->device;
    return fail(Status::invalid_argument, fmt::format("tenonConfig_t.device: {}", no_device));
}

Result<std::shared_ptr<DeviceStream>> device_stream_of(tenonComm& comm, const Call& call, tenonStream_t stream) {
    DeviceCalls* const calls = comm.communicator->device_calls();
    if (stream != nullptr && stream->device != nullptr) {
        const std::string& name = stream->device->device()->name;
        if (calls == nullptr)
            return refuse_stream(comm, call, fmt::format("the stream is of {}, but the communicator has no device: "
                                                         "name it in tenonConfig_t.device when the communicator is "
                                                         "made", name));
        if (calls->device() != stream->device->device())
            return refuse_stream(comm, call, fmt::format("the stream is of {}, but the communicator was made with {}",
                                                         name, calls->device()->name));
        return stream->device;
    }
    if (calls == nullptr) {
        if (auto host = expect_host_memory(comm, call); !host) return std::unexpected(host.error());
        return nullptr;
    }
    const auto is_of_device = calls->is_of_device(call);
    if (!is_of_device) return std::unexpected(is_of_device.error());
    if (!*is_of_device) return nullptr;
    if (stream != nullptr)
        return refuse_stream(comm, call, fmt::format("the buffers are memory of {}, and the stream is of the host: use "
                                                     "one of tenonDeviceStreamCreate",
                                                     calls->device()->name));
    return calls->own_stream();
}

}  // namespace tenon::c_api

using namespace tenon;
using namespace tenon::c_api;

tenonResult_t tenonDeviceGetCount(const char* kind, int* count) {
    if (kind == nullptr || count == nullptr) return refuse_device_call(__func__, "kind or count is NULL");
    return guarded(nullptr, [&]() -> tenonResult_t {
        const auto found = count_devices(kind);
        if (!found) return report(found.error());
        *count = static_cast<int>(*found);
        return tenonSuccess;
    });
}

tenonResult_t tenonDeviceOpen(tenonDevice_t* device, const char* name) {
    if (device == nullptr || name == nullptr) return refuse_device_call(__func__, "device or name is NULL");
    *device = nullptr;
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto found = open_device(name);
        if (!found) return report(found.error());
        remember(*found);
        *device = new tenonDevice{.device = std::move(*found), .mutex = {}, .allocated = {}};
        return tenonSuccess;
    });
}

tenonResult_t tenonDeviceClose(tenonDevice_t device) {
    if (!is_good(device)) return refuse_device_call(__func__, no_device);
    return guarded(nullptr, [&]() -> tenonResult_t {
        device->state = dead;
        device->allocated.clear();
        delete device;
        return tenonSuccess;
    });
}

tenonResult_t tenonDeviceMemAlloc(tenonDevice_t device, void** ptr, size_t size) {
    if (!is_good(device)) return refuse_device_call(__func__, no_device);
    if (ptr == nullptr) return refuse_device_call(__func__, "ptr is NULL");
    *ptr = nullptr;
    if (size == 0) return tenonSuccess;
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto memory = device->device->device->allocate({.bytes = {size}});
        if (!memory) return report(memory.error());
        const std::scoped_lock lock(device->mutex);
        *ptr = device->allocated.emplace_back(std::move(*memory))->data();
        return tenonSuccess;
    });
}

tenonResult_t tenonDeviceMemFree(tenonDevice_t device, void* ptr) {
    if (!is_good(device)) return refuse_device_call(__func__, no_device);
    if (ptr == nullptr) return tenonSuccess;
    return guarded(nullptr, [&]() -> tenonResult_t {
        const std::scoped_lock lock(device->mutex);
        const auto at = std::ranges::find(device->allocated, ptr, [](const auto& memory) { return memory->data(); });
        if (at == device->allocated.end())
            return refuse_device_call("tenonDeviceMemFree",
                                      "not memory of tenonDeviceMemAlloc on this device, or returned already");
        device->allocated.erase(at);
        return tenonSuccess;
    });
}

tenonResult_t tenonDeviceStreamCreate(tenonDevice_t device, tenonStream_t* stream) {
    if (!is_good(device)) return refuse_device_call(__func__, no_device);
    if (stream == nullptr) return refuse_device_call(__func__, "stream is NULL");
    return guarded(nullptr, [&] { return hand_out(device->device, device->device->device->create_stream(), stream); });
}

tenonResult_t tenonDeviceStreamWrap(tenonDevice_t device, void* native, tenonStream_t* stream) {
    if (!is_good(device)) return refuse_device_call(__func__, no_device);
    if (stream == nullptr) return refuse_device_call(__func__, "stream is NULL");
    return guarded(nullptr,
                   [&] { return hand_out(device->device, device->device->device->adopt_stream(native), stream); });
}

tenonResult_t tenonDeviceMemcpyAsync(void* dst, const void* src, size_t size, tenonStream_t stream) {
    if (stream == nullptr || stream->state != alive || stream->device == nullptr)
        return refuse_device_call(__func__, "not a stream of a device");
    if (size != 0 && (dst == nullptr || src == nullptr)) return refuse_device_call(__func__, "dst or src is NULL");
    return guarded(nullptr, [&]() -> tenonResult_t {
        const auto enqueued = size != 0 ? stream->device->copy(dst, src, {size}) : Result<void>{};
        return enqueued ? tenonSuccess : report(enqueued.error());
    });
}
