// The functions of ACL that the emulated library exports. Their types are those that the provider calls them by, so the
// compiler compares; tools/checks/acl compares both with ACL's own headers.
#pragma once

#include "transports/device_link/ascend/acl_abi.hpp"

#define EMULATED_ACL_EXPORT extern "C" [[gnu::visibility("default")]]

EMULATED_ACL_EXPORT tenon::ascend::abi::aclInit aclInit;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtGetVersion aclrtGetVersion;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtGetSocName aclrtGetSocName;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtGetDeviceCount aclrtGetDeviceCount;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtSetDevice aclrtSetDevice;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtResetDevice aclrtResetDevice;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtGetCurrentContext aclrtGetCurrentContext;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtSetCurrentContext aclrtSetCurrentContext;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtGetDeviceInfo aclrtGetDeviceInfo;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtGetDevicesTopo aclrtGetDevicesTopo;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtDeviceCanAccessPeer aclrtDeviceCanAccessPeer;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtDeviceEnablePeerAccess aclrtDeviceEnablePeerAccess;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtDeviceGetBareTgid aclrtDeviceGetBareTgid;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMalloc aclrtMalloc;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtFree aclrtFree;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtPointerGetAttributes aclrtPointerGetAttributes;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtIpcMemGetExportKey aclrtIpcMemGetExportKey;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtIpcMemSetImportPid aclrtIpcMemSetImportPid;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtIpcMemImportByKey aclrtIpcMemImportByKey;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtIpcMemClose aclrtIpcMemClose;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMemGetAllocationGranularity aclrtMemGetAllocationGranularity;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMallocPhysical aclrtMallocPhysical;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtFreePhysical aclrtFreePhysical;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtReserveMemAddress aclrtReserveMemAddress;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtReleaseMemAddress aclrtReleaseMemAddress;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMapMem aclrtMapMem;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtUnmapMem aclrtUnmapMem;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMemSetAccess aclrtMemSetAccess;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMemExportToShareableHandleV2 aclrtMemExportToShareableHandleV2;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMemSetPidToShareableHandleV2 aclrtMemSetPidToShareableHandleV2;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMemImportFromShareableHandleV2 aclrtMemImportFromShareableHandleV2;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtCreateStreamWithConfig aclrtCreateStreamWithConfig;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtSetStreamFailureMode aclrtSetStreamFailureMode;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtDestroyStreamForce aclrtDestroyStreamForce;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtStreamQuery aclrtStreamQuery;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtSynchronizeStreamWithTimeout aclrtSynchronizeStreamWithTimeout;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtStreamAbort aclrtStreamAbort;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtMemcpyAsync aclrtMemcpyAsync;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtReduceAsync aclrtReduceAsync;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtCreateEventExWithFlag aclrtCreateEventExWithFlag;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtDestroyEvent aclrtDestroyEvent;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtRecordEvent aclrtRecordEvent;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtStreamWaitEvent aclrtStreamWaitEvent;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtQueryEventStatus aclrtQueryEventStatus;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtEventElapsedTime aclrtEventElapsedTime;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtCreateNotify aclrtCreateNotify;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtDestroyNotify aclrtDestroyNotify;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtRecordNotify aclrtRecordNotify;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtWaitAndResetNotify aclrtWaitAndResetNotify;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtNotifyGetExportKey aclrtNotifyGetExportKey;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtNotifySetImportPid aclrtNotifySetImportPid;
EMULATED_ACL_EXPORT tenon::ascend::abi::aclrtNotifyImportByKey aclrtNotifyImportByKey;
