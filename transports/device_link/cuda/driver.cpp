// The driver's library behind the seam. The names are those that its binary interface has had since CUDA 11.7 or
// longer.
#include <fmt/format.h>

#include "os/shared_library.hpp"
#include "transports/device_link/cuda/cuda_api.hpp"

namespace tenon::cuda {
namespace {

struct Symbols {
    Code (*init)(unsigned);
    Code (*driver_version)(int*);
    Code (*error_name)(Code, const char**);
    Code (*error_text)(Code, const char**);
    Code (*device_count)(int*);
    Code (*device)(DeviceNumber*, int);
    Code (*device_name)(char*, int, DeviceNumber);
    Code (*device_memory)(std::size_t*, DeviceNumber);
    Code (*device_attribute)(int*, int, DeviceNumber);
    Code (*device_bus_id)(char*, int, DeviceNumber);
    Code (*can_access_peer)(int*, DeviceNumber, DeviceNumber);
    Code (*peer_attribute)(int*, int, DeviceNumber, DeviceNumber);
    Code (*retain_primary_context)(ContextHandle*, DeviceNumber);
    Code (*release_primary_context)(DeviceNumber);
    Code (*make_current)(ContextHandle);
    Code (*get_current)(ContextHandle*);
    Code (*enable_peer_access)(ContextHandle, unsigned);
    Code (*allocate)(Address*, std::size_t);
    Code (*release)(Address);
    Code (*allocation_of)(Address*, std::size_t*, Address);
    Code (*pointer_attribute)(void*, int, Address);
    Code (*ipc_handle)(IpcHandle*, Address);
    Code (*open_ipc_handle)(Address*, IpcHandle, unsigned);
    Code (*close_ipc_handle)(Address);
    Code (*create_stream)(StreamHandle*, unsigned);
    Code (*destroy_stream)(StreamHandle);
    Code (*query_stream)(StreamHandle);
    Code (*copy)(Address, Address, std::size_t, StreamHandle);
    Code (*fill_words)(Address, unsigned, std::size_t, StreamHandle);
    Code (*write_value)(StreamHandle, Address, std::uint32_t, unsigned);
    Code (*wait_value)(StreamHandle, Address, std::uint32_t, unsigned);
    Code (*create_event)(EventHandle*, unsigned);
    Code (*destroy_event)(EventHandle);
    Code (*record_event)(EventHandle, StreamHandle);
    Code (*wait_event)(StreamHandle, EventHandle, unsigned);
    Code (*query_event)(EventHandle);
    Code (*elapsed_ms)(float*, EventHandle, EventHandle);
    Code (*load_module)(ModuleHandle*, const void*);
    Code (*unload_module)(ModuleHandle);
    Code (*function)(FunctionHandle*, ModuleHandle, const char*);
    Code (*launch)(FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, StreamHandle,
                   void**, void**);
};

// Looks symbols up until one is missing; then says which.
class Loader {
public:
    explicit Loader(const os::SharedLibrary& library) : library_{library} {}

    template <class Function>
    Loader& operator()(Function& into, const char* name) {
        if (problem_) return *this;
        auto found = library_.symbol<Function>(name);
        if (found)
            into = *found;
        else
            problem_ =
                fail(Status::device_error,
                     fmt::format("{}; the driver is too old: Tenon needs CUDA 12.0 or newer", found.error().message))
                    .error();
        return *this;
    }
    const std::optional<Error>& problem() const { return problem_; }

private:
    const os::SharedLibrary& library_;
    std::optional<Error> problem_;
};

std::optional<Error> load(Symbols& s, const os::SharedLibrary& library) {
    Loader find{library};
    find(s.init, "cuInit")(s.driver_version, "cuDriverGetVersion");
    find(s.error_name, "cuGetErrorName")(s.error_text, "cuGetErrorString");
    find(s.device_count, "cuDeviceGetCount")(s.device, "cuDeviceGet")(s.device_name, "cuDeviceGetName");
    find(s.device_memory, "cuDeviceTotalMem_v2")(s.device_attribute, "cuDeviceGetAttribute");
    find(s.device_bus_id, "cuDeviceGetPCIBusId")(s.can_access_peer, "cuDeviceCanAccessPeer");
    find(s.peer_attribute, "cuDeviceGetP2PAttribute");
    find(s.retain_primary_context, "cuDevicePrimaryCtxRetain");
    find(s.release_primary_context, "cuDevicePrimaryCtxRelease_v2")(s.make_current, "cuCtxSetCurrent");
    find(s.get_current, "cuCtxGetCurrent");
    find(s.enable_peer_access, "cuCtxEnablePeerAccess");
    find(s.allocate, "cuMemAlloc_v2")(s.release, "cuMemFree_v2")(s.allocation_of, "cuMemGetAddressRange_v2");
    find(s.pointer_attribute, "cuPointerGetAttribute")(s.ipc_handle, "cuIpcGetMemHandle");
    find(s.open_ipc_handle, "cuIpcOpenMemHandle_v2")(s.close_ipc_handle, "cuIpcCloseMemHandle");
    find(s.create_stream, "cuStreamCreate")(s.destroy_stream, "cuStreamDestroy_v2")(s.query_stream, "cuStreamQuery");
    find(s.copy, "cuMemcpyAsync")(s.fill_words, "cuMemsetD32Async");
    find(s.write_value, "cuStreamWriteValue32_v2")(s.wait_value, "cuStreamWaitValue32_v2");
    find(s.create_event, "cuEventCreate")(s.destroy_event, "cuEventDestroy_v2")(s.record_event, "cuEventRecord");
    find(s.wait_event, "cuStreamWaitEvent")(s.query_event, "cuEventQuery")(s.elapsed_ms, "cuEventElapsedTime");
    find(s.load_module, "cuModuleLoadData")(s.unload_module, "cuModuleUnload")(s.function, "cuModuleGetFunction");
    find(s.launch, "cuLaunchKernel");
    return find.problem();
}

class Driver final : public CudaApi {
public:
    Driver(os::SharedLibrary library, const Symbols& symbols) : library_{std::move(library)}, s_{symbols} {}

    Code init() override { return s_.init(0); }
    Code driver_version(int* version) override { return s_.driver_version(version); }
    Code error_name(Code code, const char** name) override { return s_.error_name(code, name); }
    Code error_text(Code code, const char** text) override { return s_.error_text(code, text); }

    Code device_count(int* count) override { return s_.device_count(count); }
    Code device(DeviceNumber* device, int ordinal) override { return s_.device(device, ordinal); }
    Code device_name(char* name, int length, DeviceNumber device) override {
        return s_.device_name(name, length, device);
    }
    Code device_memory(std::size_t* bytes, DeviceNumber device) override { return s_.device_memory(bytes, device); }
    Code device_attribute(int* value, DeviceAttribute attribute, DeviceNumber device) override {
        return s_.device_attribute(value, static_cast<int>(attribute), device);
    }
    Code device_bus_id(char* id, int length, DeviceNumber device) override {
        return s_.device_bus_id(id, length, device);
    }
    Code can_access_peer(int* can, DeviceNumber device, DeviceNumber peer) override {
        return s_.can_access_peer(can, device, peer);
    }
    Code peer_attribute(int* value, PeerAttribute attribute, DeviceNumber from, DeviceNumber to) override {
        return s_.peer_attribute(value, static_cast<int>(attribute), from, to);
    }

    Code retain_primary_context(ContextHandle* context, DeviceNumber device) override {
        return s_.retain_primary_context(context, device);
    }
    Code release_primary_context(DeviceNumber device) override { return s_.release_primary_context(device); }
    Code make_current(ContextHandle context) override { return s_.make_current(context); }
    Code get_current(ContextHandle* context) override { return s_.get_current(context); }
    Code enable_peer_access(ContextHandle peer) override { return s_.enable_peer_access(peer, 0); }

    Code allocate(Address* address, std::size_t bytes) override { return s_.allocate(address, bytes); }
    Code release(Address address) override { return s_.release(address); }
    Code allocation_of(Address* base, std::size_t* bytes, Address address) override {
        return s_.allocation_of(base, bytes, address);
    }
    Code pointer_attribute(void* value, PointerAttribute attribute, Address address) override {
        return s_.pointer_attribute(value, static_cast<int>(attribute), address);
    }
    Code ipc_handle(IpcHandle* handle, Address address) override { return s_.ipc_handle(handle, address); }
    Code open_ipc_handle(Address* address, IpcHandle handle, unsigned flags) override {
        return s_.open_ipc_handle(address, handle, flags);
    }
    Code close_ipc_handle(Address address) override { return s_.close_ipc_handle(address); }

    Code create_stream(StreamHandle* stream, unsigned flags) override { return s_.create_stream(stream, flags); }
    Code destroy_stream(StreamHandle stream) override { return s_.destroy_stream(stream); }
    Code query_stream(StreamHandle stream) override { return s_.query_stream(stream); }
    Code copy(Address destination, Address source, std::size_t bytes, StreamHandle stream) override {
        return s_.copy(destination, source, bytes, stream);
    }
    Code fill_words(Address destination, std::uint32_t word, std::size_t count, StreamHandle stream) override {
        return s_.fill_words(destination, word, count, stream);
    }
    Code write_value(StreamHandle stream, Address address, std::uint32_t value, unsigned flags) override {
        return s_.write_value(stream, address, value, flags);
    }
    Code wait_value(StreamHandle stream, Address address, std::uint32_t value, unsigned flags) override {
        return s_.wait_value(stream, address, value, flags);
    }

    Code create_event(EventHandle* event, unsigned flags) override { return s_.create_event(event, flags); }
    Code destroy_event(EventHandle event) override { return s_.destroy_event(event); }
    Code record_event(EventHandle event, StreamHandle stream) override { return s_.record_event(event, stream); }
    Code wait_event(StreamHandle stream, EventHandle event, unsigned flags) override {
        return s_.wait_event(stream, event, flags);
    }
    Code query_event(EventHandle event) override { return s_.query_event(event); }
    Code elapsed_ms(float* milliseconds, EventHandle from, EventHandle to) override {
        return s_.elapsed_ms(milliseconds, from, to);
    }

    Code load_module(ModuleHandle* module, const void* image) override { return s_.load_module(module, image); }
    Code unload_module(ModuleHandle module) override { return s_.unload_module(module); }
    Code function(FunctionHandle* function, ModuleHandle module, const char* name) override {
        return s_.function(function, module, name);
    }
    Code launch(FunctionHandle function, unsigned blocks, unsigned threads, StreamHandle stream,
                void** parameters) override {
        return s_.launch(function, blocks, 1, 1, threads, 1, 1, 0, stream, parameters, nullptr);
    }

private:
    os::SharedLibrary library_;
    Symbols s_;
};

}  // namespace

Result<std::unique_ptr<CudaApi>> open_driver(const std::string& library) {
    auto opened = os::SharedLibrary::open(library);
    if (!opened)
        return fail(Status::device_error, fmt::format("{}; there is no NVIDIA driver here: install it, or use another "
                                                      "device provider",
                                                      opened.error().message));
    Symbols symbols{};
    if (const auto problem = load(symbols, *opened)) return std::unexpected(*problem);
    return std::make_unique<Driver>(std::move(*opened), symbols);
}

}  // namespace tenon::cuda
