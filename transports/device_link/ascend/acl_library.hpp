// ACL's runtime, opened at run time: the functions of acl_abi.hpp, and its error codes in words.
#pragma once

#include <string>

#include "tenon/plugin/types.hpp"
#include "transports/device_link/ascend/acl_abi.hpp"

namespace tenon::ascend {

// One pointer for each function, by the function's name without its prefix.
struct AclLibrary {
    abi::aclInit* init;
    abi::aclrtGetVersion* get_version;
    abi::aclrtGetSocName* get_soc_name;
    abi::aclrtGetDeviceCount* get_device_count;
    abi::aclrtSetDevice* set_device;
    abi::aclrtResetDevice* reset_device;
    abi::aclrtGetCurrentContext* get_current_context;
    abi::aclrtSetCurrentContext* set_current_context;
    abi::aclrtGetDeviceInfo* get_device_info;
    abi::aclrtGetDevicesTopo* get_devices_topo;
    abi::aclrtDeviceCanAccessPeer* can_access_peer;
    abi::aclrtDeviceEnablePeerAccess* enable_peer_access;
    abi::aclrtDeviceGetBareTgid* get_bare_tgid;
    abi::aclrtMalloc* malloc;
    abi::aclrtFree* free;
    abi::aclrtPointerGetAttributes* pointer_get_attributes;
    abi::aclrtIpcMemGetExportKey* ipc_mem_get_export_key;
    abi::aclrtIpcMemSetImportPid* ipc_mem_set_import_pid;
    abi::aclrtIpcMemImportByKey* ipc_mem_import_by_key;
    abi::aclrtIpcMemClose* ipc_mem_close;
    abi::aclrtMemGetAllocationGranularity* mem_get_allocation_granularity;
    abi::aclrtMallocPhysical* malloc_physical;
    abi::aclrtFreePhysical* free_physical;
    abi::aclrtReserveMemAddress* reserve_mem_address;
    abi::aclrtReleaseMemAddress* release_mem_address;
    abi::aclrtMapMem* map_mem;
    abi::aclrtUnmapMem* unmap_mem;
    abi::aclrtMemSetAccess* mem_set_access;
    abi::aclrtMemExportToShareableHandleV2* mem_export;
    abi::aclrtMemSetPidToShareableHandleV2* mem_set_pid;
    abi::aclrtMemImportFromShareableHandleV2* mem_import;
    abi::aclrtCreateStreamWithConfig* create_stream;
    abi::aclrtSetStreamFailureMode* set_stream_failure_mode;
    abi::aclrtDestroyStreamForce* destroy_stream;
    abi::aclrtStreamQuery* stream_query;
    abi::aclrtSynchronizeStreamWithTimeout* synchronize_stream;
    abi::aclrtStreamAbort* stream_abort;
    abi::aclrtMemcpyAsync* memcpy_async;
    abi::aclrtReduceAsync* reduce_async;
    abi::aclrtCreateEventExWithFlag* create_event;
    abi::aclrtDestroyEvent* destroy_event;
    abi::aclrtRecordEvent* record_event;
    abi::aclrtStreamWaitEvent* stream_wait_event;
    abi::aclrtQueryEventStatus* query_event_status;
    abi::aclrtEventElapsedTime* event_elapsed_time;
    abi::aclrtCreateNotify* create_notify;
    abi::aclrtDestroyNotify* destroy_notify;
    abi::aclrtRecordNotify* record_notify;
    abi::aclrtWaitAndResetNotify* wait_and_reset_notify;
    abi::aclrtNotifyGetExportKey* notify_get_export_key;
    abi::aclrtNotifySetImportPid* notify_set_import_pid;
    abi::aclrtNotifyImportByKey* notify_import_by_key;
};

// Opened and initialized; stays in this process for good, since the runtime has threads. An error names the library or
// the symbol that is missing, or the version that is too old, and says what to do.
Result<AclLibrary> open_acl(const std::string& library = "libascendcl.so");

// "ACL_ERROR_RT_PARAM_INVALID (107000), a parameter is wrong", with what to do where that is known.
std::string in_words(abi::Code code);

}  // namespace tenon::ascend
