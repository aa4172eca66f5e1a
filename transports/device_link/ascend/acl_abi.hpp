// The binary interface of ACL's runtime (libascendcl.so), as far as it is used: types, numbers and the functions'
// types, in own words, since its headers may not be vendored. tools/checks/acl compares all of this with them.
//
// Each alias below is the type of the function of that name. Every function but aclrtGetSocName returns a Code, 0 for
// success; 1xxxxx is a wrong parameter, 2xxxxx a resource that is missing, 5xxxxx an error within.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tenon::ascend::abi {

using Code = int;
using Handle = void*;  // of a stream, an event, a notify, a context, physical memory

inline constexpr Code success = 0;
inline constexpr Code repeated_initialize = 100002, invalid_parameter = 107000, invalid_device = 107001,
                      no_context = 107002, stream_of_other_context = 107003, timestamp_invalid = 107006,
                      address_unaligned = 107008, invalid_memory_type = 107016, invalid_handle = 107017,
                      wait_timeout = 107019, task_timeout = 107020, device_abort = 107022, stream_abort = 107023;
inline constexpr Code feature_unsupported = 207000, out_of_memory = 207001, no_device = 207004, no_resource = 207005,
                      no_permission = 207006, no_event = 207007, no_stream = 207008, no_notify = 207009,
                      over_limit = 207012, driver_timeout = 207020;
inline constexpr Code internal_error = 507000, scheduler_error = 507001, task_queue_full = 507002,
                      lost_heartbeat = 507010, dma_error = 507013, ipc_error = 507022, device_setup = 507033,
                      stream_synchronize_timeout = 507046, device_memory_error = 507053, ecc_error = 507054,
                      suspect_memory_error = 507055, link_error = 507056, suspect_remote_error = 507057,
                      driver_error = 507899, connection_closed = 507901;

enum class MemcpyKind : std::uint32_t { host_to_host, host_to_device, device_to_host, device_to_device };
enum class MallocPolicy : std::uint32_t { huge_first, huge_only, normal_only };
enum class ReduceKind : std::uint32_t { sum = 10, max = 11, min = 12 };
enum class ElementType : std::int32_t { float32 = 0, float16 = 1, int8 = 2, int32 = 3, int16 = 6, bfloat16 = 27 };
enum class StreamStatus : std::uint32_t { complete = 0, not_ready = 1 };
enum class EventStatus : std::uint32_t { not_ready = 0, complete = 1 };
enum class LocationType : std::uint32_t { host = 0, device = 1, unregistered = 2, host_numa = 4 };
enum class MemoryAttribute : std::uint32_t { hbm_huge = 4 };
enum class AllocationType : std::uint32_t { pinned = 0 };
enum class HandleType : std::uint32_t { none = 0 };
enum class SharedHandleType : std::uint32_t { fabric = 2 };
enum class AccessFlags : std::uint32_t { none = 0, read = 1, read_write = 3 };
enum class Granularity : std::uint32_t { minimum = 0, recommended = 1 };
enum class DeviceAttribute : std::uint32_t {
    total_memory = 301,
    physical_chip = 402,
    supernode_server = 404,
    supernode = 405
};

inline constexpr std::uint64_t topology_hccs = 0x1, topology_pix = 0x2, topology_pib = 0x4, topology_phb = 0x8,
                               topology_sys = 0x10, topology_sio = 0x20, topology_hccs_switch = 0x40;
inline constexpr std::uint32_t event_synchronizes = 1, event_keeps_time = 8;
inline constexpr std::uint32_t stream_launches_fast = 1, stream_synchronizes_fast = 2;
inline constexpr std::uint64_t stream_stops_on_failure = 1;
inline constexpr std::uint64_t memory_export_to_all = 1, memory_import_enables_peer = 1;
inline constexpr std::uint64_t notify_export_to_all = 2, notify_import_enables_peer = 2;
inline constexpr std::uint64_t physical_export_to_all = 1;
inline constexpr std::size_t key_length = 65;  // the runtime takes no other

struct MemoryLocation {
    std::uint32_t id = 0;  // of the device
    LocationType type = LocationType::host;
};
struct PointerAttributes {
    MemoryLocation location{};
    std::uint32_t page_bytes = 0;
    std::uint32_t reserved[4]{};
};
struct PhysicalMemory {
    HandleType handle_type = HandleType::none;
    AllocationType allocation_type = AllocationType::pinned;
    MemoryAttribute attribute = MemoryAttribute::hbm_huge;
    MemoryLocation location{};
    std::uint64_t reserved = 0;
};
struct AccessDescription {
    AccessFlags flags = AccessFlags::none;
    MemoryLocation location{};
    std::uint8_t reserved[12]{};
};
struct FabricHandle {
    std::uint8_t data[128]{};
};

// Starting, devices and what joins them.
using aclInit = Code(const char* configuration_path);
using aclrtGetVersion = Code(std::int32_t* major, std::int32_t* minor, std::int32_t* patch);
using aclrtGetSocName = const char*();
using aclrtGetDeviceCount = Code(std::uint32_t* count);
using aclrtSetDevice = Code(std::int32_t device);
using aclrtResetDevice = Code(std::int32_t device);
using aclrtGetCurrentContext = Code(Handle* context);
using aclrtSetCurrentContext = Code(Handle context);
using aclrtGetDeviceInfo = Code(std::uint32_t device, DeviceAttribute attribute, std::int64_t* value);
using aclrtGetDevicesTopo = Code(std::uint32_t device, std::uint32_t other, std::uint64_t* value);
using aclrtDeviceCanAccessPeer = Code(std::int32_t* can, std::int32_t device, std::int32_t peer);
using aclrtDeviceEnablePeerAccess = Code(std::int32_t peer, std::uint32_t flags);
using aclrtDeviceGetBareTgid = Code(std::int32_t* process);

// Memory, and its sharing between the processes of a server.
using aclrtMalloc = Code(void** address, std::size_t bytes, MallocPolicy policy);
using aclrtFree = Code(void* address);
using aclrtPointerGetAttributes = Code(const void* address, PointerAttributes* attributes);
using aclrtIpcMemGetExportKey = Code(void* address, std::size_t bytes, char* key, std::size_t length,
                                     std::uint64_t flags);
using aclrtIpcMemSetImportPid = Code(const char* key, std::int32_t* processes, std::size_t count);
using aclrtIpcMemImportByKey = Code(void** address, const char* key, std::uint64_t flags);
using aclrtIpcMemClose = Code(const char* key);

// Physical memory, which processes of a whole supernode share.
using aclrtMemGetAllocationGranularity = Code(PhysicalMemory* memory, Granularity option, std::size_t* bytes);
using aclrtMallocPhysical = Code(Handle* memory, std::size_t bytes, const PhysicalMemory* properties,
                                 std::uint64_t flags);
using aclrtFreePhysical = Code(Handle memory);
using aclrtReserveMemAddress = Code(void** address, std::size_t bytes, std::size_t alignment, void* expected,
                                    std::uint64_t flags);
using aclrtReleaseMemAddress = Code(void* address);
using aclrtMapMem = Code(void* address, std::size_t bytes, std::size_t offset, Handle memory, std::uint64_t flags);
using aclrtUnmapMem = Code(void* address);
using aclrtMemSetAccess = Code(void* address, std::size_t bytes, AccessDescription* descriptions, std::size_t count);
using aclrtMemExportToShareableHandleV2 = Code(Handle memory, std::uint64_t flags, SharedHandleType type,
                                               void* shareable);
using aclrtMemSetPidToShareableHandleV2 = Code(void* shareable, SharedHandleType type, std::int32_t* processes,
                                               std::size_t count);
using aclrtMemImportFromShareableHandleV2 = Code(void* shareable, SharedHandleType type, std::uint64_t flags,
                                                 Handle* memory);

// Streams and what is enqueued on them.
using aclrtCreateStreamWithConfig = Code(Handle* stream, std::uint32_t priority, std::uint32_t flags);
using aclrtSetStreamFailureMode = Code(Handle stream, std::uint64_t mode);
using aclrtDestroyStreamForce = Code(Handle stream);
using aclrtStreamQuery = Code(Handle stream, StreamStatus* status);
using aclrtSynchronizeStreamWithTimeout = Code(Handle stream, std::int32_t milliseconds);
using aclrtStreamAbort = Code(Handle stream);
using aclrtMemcpyAsync = Code(void* destination, std::size_t most, const void* source, std::size_t bytes,
                              MemcpyKind kind, Handle stream);
using aclrtReduceAsync = Code(void* destination, const void* source, std::uint64_t bytes, ReduceKind kind,
                              ElementType type, Handle stream, void* reserved);

// Events, within a process.
using aclrtCreateEventExWithFlag = Code(Handle* event, std::uint32_t flags);
using aclrtDestroyEvent = Code(Handle event);
using aclrtRecordEvent = Code(Handle event, Handle stream);
using aclrtStreamWaitEvent = Code(Handle stream, Handle event);
using aclrtQueryEventStatus = Code(Handle event, EventStatus* status);
using aclrtEventElapsedTime = Code(float* milliseconds, Handle from, Handle to);

// Notifies, also between processes.
using aclrtCreateNotify = Code(Handle* notify, std::uint64_t flags);
using aclrtDestroyNotify = Code(Handle notify);
using aclrtRecordNotify = Code(Handle notify, Handle stream);
using aclrtWaitAndResetNotify = Code(Handle notify, Handle stream, std::uint32_t seconds);  // 0: for ever
using aclrtNotifyGetExportKey = Code(Handle notify, char* key, std::size_t length, std::uint64_t flags);
using aclrtNotifySetImportPid = Code(Handle notify, std::int32_t* processes, std::size_t count);
using aclrtNotifyImportByKey = Code(Handle* notify, const char* key, std::uint64_t flags);

}  // namespace tenon::ascend::abi
