// The calls of the CUDA driver that the provider makes, as a seam: tests put a fake in its place. Declared here in own
// words, since the driver's header may not be there; the numbers are those of the driver's binary interface, which do
// not change. Each call returns the driver's result, 0 for success.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "tenon/plugin/types.hpp"

namespace tenon::cuda {

using Code = int;
using DeviceNumber = int;
using Address = std::uint64_t;  // in a device's memory
using ContextHandle = void*;
using StreamHandle = void*;
using EventHandle = void*;
using ModuleHandle = void*;
using FunctionHandle = void*;
struct IpcHandle {
    std::array<char, 64> bytes{};
};

inline constexpr Code success = 0, invalid_value = 1, out_of_memory = 2, no_device = 100, invalid_device = 101,
                      invalid_context = 201, peer_access_unsupported = 217, invalid_handle = 400, not_found = 500,
                      not_ready = 600, illegal_address = 700, peer_access_already_enabled = 704, not_supported = 801;

enum class DeviceAttribute : int {
    processor_count = 16,
    compute_capability_major = 75,
    compute_capability_minor = 76,
    can_flush_remote_writes = 98,
    stream_waits_for_nor = 123,  // drivers without it have an older set of operations on stream memory
};
enum class PointerAttribute : int { memory_type = 2, device_number = 9 };
enum class PeerAttribute : int { performance_rank = 1, access_supported = 2, native_atomics_supported = 3 };
inline constexpr unsigned memory_type_device = 2;
inline constexpr unsigned stream_is_non_blocking = 1;
inline constexpr unsigned ipc_enables_peer_access = 1;
inline constexpr unsigned wait_for_at_least = 0, flush_remote_writes = 1u << 30;

class CudaApi {
public:
    virtual ~CudaApi() = default;
    virtual Code init() = 0;
    virtual Code driver_version(int* version) = 0;  // 1000 * major + 10 * minor
    virtual Code error_name(Code code, const char** name) = 0;
    virtual Code error_text(Code code, const char** text) = 0;

    virtual Code device_count(int* count) = 0;
    virtual Code device(DeviceNumber* device, int ordinal) = 0;
    virtual Code device_name(char* name, int length, DeviceNumber device) = 0;
    virtual Code device_memory(std::size_t* bytes, DeviceNumber device) = 0;
    virtual Code device_attribute(int* value, DeviceAttribute attribute, DeviceNumber device) = 0;
    virtual Code device_bus_id(char* id, int length, DeviceNumber device) = 0;
    virtual Code can_access_peer(int* can, DeviceNumber device, DeviceNumber peer) = 0;
    virtual Code peer_attribute(int* value, PeerAttribute attribute, DeviceNumber from, DeviceNumber to) = 0;

    virtual Code retain_primary_context(ContextHandle* context, DeviceNumber device) = 0;
    virtual Code release_primary_context(DeviceNumber device) = 0;
    virtual Code make_current(ContextHandle context) = 0;
    virtual Code get_current(ContextHandle* context) = 0;
    virtual Code enable_peer_access(ContextHandle peer) = 0;

    virtual Code allocate(Address* address, std::size_t bytes) = 0;
    virtual Code release(Address address) = 0;
    virtual Code allocation_of(Address* base, std::size_t* bytes, Address address) = 0;
    virtual Code pointer_attribute(void* value, PointerAttribute attribute, Address address) = 0;
    virtual Code ipc_handle(IpcHandle* handle, Address address) = 0;
    virtual Code open_ipc_handle(Address* address, IpcHandle handle, unsigned flags) = 0;
    virtual Code close_ipc_handle(Address address) = 0;

    virtual Code create_stream(StreamHandle* stream, unsigned flags) = 0;
    virtual Code destroy_stream(StreamHandle stream) = 0;
    virtual Code query_stream(StreamHandle stream) = 0;
    virtual Code copy(Address destination, Address source, std::size_t bytes, StreamHandle stream) = 0;
    virtual Code fill_words(Address destination, std::uint32_t word, std::size_t count, StreamHandle stream) = 0;
    virtual Code write_value(StreamHandle stream, Address address, std::uint32_t value, unsigned flags) = 0;
    virtual Code wait_value(StreamHandle stream, Address address, std::uint32_t value, unsigned flags) = 0;

    virtual Code create_event(EventHandle* event, unsigned flags) = 0;
    virtual Code destroy_event(EventHandle event) = 0;
    virtual Code record_event(EventHandle event, StreamHandle stream) = 0;
    virtual Code wait_event(StreamHandle stream, EventHandle event, unsigned flags) = 0;
    virtual Code query_event(EventHandle event) = 0;
    virtual Code elapsed_ms(float* milliseconds, EventHandle from, EventHandle to) = 0;

    virtual Code load_module(ModuleHandle* module, const void* image) = 0;
    virtual Code unload_module(ModuleHandle module) = 0;
    virtual Code function(FunctionHandle* function, ModuleHandle module, const char* name) = 0;
    virtual Code launch(FunctionHandle function, unsigned blocks, unsigned threads, StreamHandle stream,
                        void** parameters) = 0;
};

// The driver's library (libcuda.so.1), opened now. An error names the library or the symbol that is missing, and says
// what to do.
Result<std::unique_ptr<CudaApi>> open_driver(const std::string& library = "libcuda.so.1");

}  // namespace tenon::cuda
