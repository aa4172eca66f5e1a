// Compiled by `check`, beside ACL's headers: each declaration of acl_abi.hpp against ACL's own.
//
// Types agree where the binary interface is the same: integers and enumerations of one size, pointers to what is
// equally constant and, where it is a structure, equally laid out.
#include <cstddef>
#include <type_traits>

#include "acl/acl_rt.h"
#include "transports/device_link/ascend/acl_abi.hpp"

namespace abi = tenon::ascend::abi;

namespace {

template <class Ours, class Theirs>
constexpr bool same_value() {
    if constexpr (std::is_void_v<Ours> || std::is_void_v<Theirs>) return std::is_void_v<Ours> && std::is_void_v<Theirs>;
    else if constexpr (std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>) {
        using To = std::remove_pointer_t<Ours>;
        using Their = std::remove_pointer_t<Theirs>;
        return std::is_const_v<To> == std::is_const_v<Their> &&
               same_value<std::remove_const_t<To>, std::remove_const_t<Their>>();
    } else
        return sizeof(Ours) == sizeof(Theirs) && alignof(Ours) == alignof(Theirs) &&
               std::is_class_v<Ours> == std::is_class_v<Theirs> && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs> &&
               std::is_floating_point_v<Ours> == std::is_floating_point_v<Theirs>;
}

template <class Ours, class Theirs>
struct Same : std::false_type {};
template <class Ours, class... OurParameters, class Theirs, class... TheirParameters>
    requires(sizeof...(OurParameters) == sizeof...(TheirParameters))
struct Same<Ours(OurParameters...), Theirs(TheirParameters...)>
    : std::bool_constant<same_value<Ours, Theirs>() && (same_value<OurParameters, TheirParameters>() && ...)> {};

template <class Ours, class Theirs>
constexpr bool same_number(Ours ours, Theirs theirs) {
    return static_cast<long long>(ours) == static_cast<long long>(theirs);
}

}  // namespace

#define FUNCTION(name) static_assert(Same<abi::name, decltype(::name)>::value, #name)
#define NUMBER(ours, theirs) static_assert(same_number(abi::ours, theirs), #ours)
#define PLACE(type, member, their_type, their_member) \
    static_assert(offsetof(abi::type, member) == offsetof(their_type, their_member), #type "::" #member)

FUNCTION(aclInit);
FUNCTION(aclrtGetVersion);
FUNCTION(aclrtGetSocName);
FUNCTION(aclrtGetDeviceCount);
FUNCTION(aclrtSetDevice);
FUNCTION(aclrtResetDevice);
FUNCTION(aclrtGetCurrentContext);
FUNCTION(aclrtSetCurrentContext);
FUNCTION(aclrtGetDeviceInfo);
FUNCTION(aclrtGetDevicesTopo);
FUNCTION(aclrtDeviceCanAccessPeer);
FUNCTION(aclrtDeviceEnablePeerAccess);
FUNCTION(aclrtDeviceGetBareTgid);
FUNCTION(aclrtMalloc);
FUNCTION(aclrtFree);
FUNCTION(aclrtPointerGetAttributes);
FUNCTION(aclrtIpcMemGetExportKey);
FUNCTION(aclrtIpcMemSetImportPid);
FUNCTION(aclrtIpcMemImportByKey);
FUNCTION(aclrtIpcMemClose);
FUNCTION(aclrtMemGetAllocationGranularity);
FUNCTION(aclrtMallocPhysical);
FUNCTION(aclrtFreePhysical);
FUNCTION(aclrtReserveMemAddress);
FUNCTION(aclrtReleaseMemAddress);
FUNCTION(aclrtMapMem);
FUNCTION(aclrtUnmapMem);
FUNCTION(aclrtMemSetAccess);
FUNCTION(aclrtMemExportToShareableHandleV2);
FUNCTION(aclrtMemSetPidToShareableHandleV2);
FUNCTION(aclrtMemImportFromShareableHandleV2);
FUNCTION(aclrtCreateStreamWithConfig);
FUNCTION(aclrtSetStreamFailureMode);
FUNCTION(aclrtDestroyStreamForce);
FUNCTION(aclrtStreamQuery);
FUNCTION(aclrtSynchronizeStreamWithTimeout);
FUNCTION(aclrtStreamAbort);
FUNCTION(aclrtMemcpyAsync);
FUNCTION(aclrtReduceAsync);
FUNCTION(aclrtCreateEventExWithFlag);
FUNCTION(aclrtDestroyEvent);
FUNCTION(aclrtRecordEvent);
FUNCTION(aclrtStreamWaitEvent);
FUNCTION(aclrtQueryEventStatus);
FUNCTION(aclrtEventElapsedTime);
FUNCTION(aclrtCreateNotify);
FUNCTION(aclrtDestroyNotify);
FUNCTION(aclrtRecordNotify);
FUNCTION(aclrtWaitAndResetNotify);
FUNCTION(aclrtNotifyGetExportKey);
FUNCTION(aclrtNotifySetImportPid);
FUNCTION(aclrtNotifyImportByKey);

NUMBER(success, ACL_SUCCESS);
NUMBER(repeated_initialize, ACL_ERROR_REPEAT_INITIALIZE);
NUMBER(invalid_parameter, ACL_ERROR_RT_PARAM_INVALID);
NUMBER(invalid_device, ACL_ERROR_RT_INVALID_DEVICEID);
NUMBER(no_context, ACL_ERROR_RT_CONTEXT_NULL);
NUMBER(stream_of_other_context, ACL_ERROR_RT_STREAM_CONTEXT);
NUMBER(timestamp_invalid, ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID);
NUMBER(address_unaligned, ACL_ERROR_RT_ADDR_UNALIGNED);
NUMBER(invalid_memory_type, ACL_ERROR_RT_INVALID_MEMORY_TYPE);
NUMBER(invalid_handle, ACL_ERROR_RT_INVALID_HANDLE);
NUMBER(wait_timeout, ACL_ERROR_RT_WAIT_TIMEOUT);
NUMBER(task_timeout, ACL_ERROR_RT_TASK_TIMEOUT);
NUMBER(device_abort, ACL_ERROR_RT_DEVICE_TASK_ABORT);
NUMBER(stream_abort, ACL_ERROR_RT_STREAM_ABORT);
NUMBER(feature_unsupported, ACL_ERROR_RT_FEATURE_NOT_SUPPORT);
NUMBER(out_of_memory, ACL_ERROR_RT_MEMORY_ALLOCATION);
NUMBER(no_device, ACL_ERROR_RT_NO_DEVICE);
NUMBER(no_resource, ACL_ERROR_RT_RESOURCE_ALLOC_FAIL);
NUMBER(no_permission, ACL_ERROR_RT_NO_PERMISSION);
NUMBER(no_event, ACL_ERROR_RT_NO_EVENT_RESOURCE);
NUMBER(no_stream, ACL_ERROR_RT_NO_STREAM_RESOURCE);
NUMBER(no_notify, ACL_ERROR_RT_NO_NOTIFY_RESOURCE);
NUMBER(over_limit, ACL_ERROR_RT_OVER_LIMIT);
NUMBER(driver_timeout, ACL_ERROR_RT_TIMEOUT);
NUMBER(internal_error, ACL_ERROR_RT_INTERNAL_ERROR);
NUMBER(scheduler_error, ACL_ERROR_RT_TS_ERROR);
NUMBER(task_queue_full, ACL_ERROR_RT_STREAM_TASK_FULL);
NUMBER(lost_heartbeat, ACL_ERROR_RT_LOST_HEARTBEAT);
NUMBER(dma_error, ACL_ERROR_RT_SYS_DMA);
NUMBER(ipc_error, ACL_ERROR_RT_IPC_ERROR);
NUMBER(device_setup, ACL_ERROR_RT_DEV_SETUP_ERROR);
NUMBER(stream_synchronize_timeout, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
NUMBER(device_memory_error, ACL_ERROR_RT_DEVICE_MEM_ERROR);
NUMBER(ecc_error, ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR);
NUMBER(suspect_memory_error, ACL_ERROR_RT_SUSPECT_DEVICE_MEM_ERROR);
NUMBER(link_error, ACL_ERROR_RT_LINK_ERROR);
NUMBER(suspect_remote_error, ACL_ERROR_RT_SUSPECT_REMOTE_ERROR);
NUMBER(driver_error, ACL_ERROR_RT_DRV_INTERNAL_ERROR);
NUMBER(connection_closed, ACL_ERROR_RT_SOCKET_CLOSE);
NUMBER(MemcpyKind::host_to_host, ACL_MEMCPY_HOST_TO_HOST);
NUMBER(MemcpyKind::host_to_device, ACL_MEMCPY_HOST_TO_DEVICE);
NUMBER(MemcpyKind::device_to_host, ACL_MEMCPY_DEVICE_TO_HOST);
NUMBER(MemcpyKind::device_to_device, ACL_MEMCPY_DEVICE_TO_DEVICE);
NUMBER(MallocPolicy::huge_first, ACL_MEM_MALLOC_HUGE_FIRST);
NUMBER(MallocPolicy::huge_only, ACL_MEM_MALLOC_HUGE_ONLY);
NUMBER(MallocPolicy::normal_only, ACL_MEM_MALLOC_NORMAL_ONLY);
NUMBER(ReduceKind::sum, ACL_RT_MEMCPY_SDMA_AUTOMATIC_SUM);
NUMBER(ReduceKind::max, ACL_RT_MEMCPY_SDMA_AUTOMATIC_MAX);
NUMBER(ReduceKind::min, ACL_RT_MEMCPY_SDMA_AUTOMATIC_MIN);
NUMBER(ElementType::float32, ACL_FLOAT);
NUMBER(ElementType::float16, ACL_FLOAT16);
NUMBER(ElementType::int8, ACL_INT8);
NUMBER(ElementType::int32, ACL_INT32);
NUMBER(ElementType::int16, ACL_INT16);
NUMBER(ElementType::bfloat16, ACL_BF16);
NUMBER(StreamStatus::complete, ACL_STREAM_STATUS_COMPLETE);
NUMBER(StreamStatus::not_ready, ACL_STREAM_STATUS_NOT_READY);
NUMBER(EventStatus::not_ready, ACL_EVENT_RECORDED_STATUS_NOT_READY);
NUMBER(EventStatus::complete, ACL_EVENT_RECORDED_STATUS_COMPLETE);
NUMBER(LocationType::host, ACL_MEM_LOCATION_TYPE_HOST);
NUMBER(LocationType::device, ACL_MEM_LOCATION_TYPE_DEVICE);
NUMBER(LocationType::unregistered, ACL_MEM_LOCATION_TYPE_UNREGISTERED);
NUMBER(LocationType::host_numa, ACL_MEM_LOCATION_TYPE_HOST_NUMA);
NUMBER(MemoryAttribute::hbm_huge, ACL_HBM_MEM_HUGE);
NUMBER(AllocationType::pinned, ACL_MEM_ALLOCATION_TYPE_PINNED);
NUMBER(HandleType::none, ACL_MEM_HANDLE_TYPE_NONE);
NUMBER(SharedHandleType::fabric, ACL_MEM_SHARE_HANDLE_TYPE_FABRIC);
NUMBER(AccessFlags::none, ACL_RT_MEM_ACCESS_FLAGS_NONE);
NUMBER(AccessFlags::read, ACL_RT_MEM_ACCESS_FLAGS_READ);
NUMBER(AccessFlags::read_write, ACL_RT_MEM_ACCESS_FLAGS_READWRITE);
NUMBER(Granularity::minimum, ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM);
NUMBER(Granularity::recommended, ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED);
NUMBER(DeviceAttribute::total_memory, ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE);
NUMBER(DeviceAttribute::physical_chip, ACL_DEV_ATTR_PHY_CHIP_ID);
NUMBER(DeviceAttribute::supernode_server, ACL_DEV_ATTR_SUPER_POD_SERVER_ID);
NUMBER(DeviceAttribute::supernode, ACL_DEV_ATTR_SUPER_POD_ID);
NUMBER(topology_hccs, ACL_RT_DEVS_TOPOLOGY_HCCS);
NUMBER(topology_pix, ACL_RT_DEVS_TOPOLOGY_PIX);
NUMBER(topology_pib, ACL_RT_DEVS_TOPOLOGY_PIB);
NUMBER(topology_phb, ACL_RT_DEVS_TOPOLOGY_PHB);
NUMBER(topology_sys, ACL_RT_DEVS_TOPOLOGY_SYS);
NUMBER(topology_sio, ACL_RT_DEVS_TOPOLOGY_SIO);
NUMBER(topology_hccs_switch, ACL_RT_DEVS_TOPOLOGY_HCCS_SW);
NUMBER(event_synchronizes, ACL_EVENT_SYNC);
NUMBER(event_keeps_time, ACL_EVENT_TIME_LINE);
NUMBER(stream_launches_fast, ACL_STREAM_FAST_LAUNCH);
NUMBER(stream_synchronizes_fast, ACL_STREAM_FAST_SYNC);
NUMBER(stream_stops_on_failure, ACL_STOP_ON_FAILURE);
NUMBER(memory_export_to_all, ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION);
NUMBER(memory_import_enables_peer, ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS);
NUMBER(notify_export_to_all, ACL_RT_NOTIFY_EXPORT_FLAG_DISABLE_PID_VALIDATION);
NUMBER(notify_import_enables_peer, ACL_RT_NOTIFY_IMPORT_FLAG_ENABLE_PEER_ACCESS);
NUMBER(physical_export_to_all, ACL_RT_VMM_EXPORT_FLAG_DISABLE_PID_VALIDATION);
NUMBER(key_length, 65);

PLACE(MemoryLocation, id, aclrtMemLocation, id);
PLACE(MemoryLocation, type, aclrtMemLocation, type);
PLACE(PointerAttributes, location, aclrtPtrAttributes, location);
PLACE(PointerAttributes, page_bytes, aclrtPtrAttributes, pageSize);
PLACE(PhysicalMemory, handle_type, aclrtPhysicalMemProp, handleType);
PLACE(PhysicalMemory, allocation_type, aclrtPhysicalMemProp, allocationType);
PLACE(PhysicalMemory, attribute, aclrtPhysicalMemProp, memAttr);
PLACE(PhysicalMemory, location, aclrtPhysicalMemProp, location);
PLACE(PhysicalMemory, reserved, aclrtPhysicalMemProp, reserve);
PLACE(AccessDescription, flags, aclrtMemAccessDesc, flags);
PLACE(AccessDescription, location, aclrtMemAccessDesc, location);
static_assert(sizeof(abi::FabricHandle) == sizeof(aclrtMemFabricHandle));
