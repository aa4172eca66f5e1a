#include "transports/device_link/ascend/acl_library.hpp"

#include <fmt/format.h>

#include <mutex>
#include <optional>
#include <vector>

#include "os/shared_library.hpp"

namespace tenon::ascend {
namespace {

// ACL's own numbering, of which this is the only major one so far.
constexpr std::int32_t known_major = 1;

std::string version_of(const os::SharedLibrary& library) {
    std::int32_t major = 0, minor = 0, patch = 0;
    const auto get = library.symbol<abi::aclrtGetVersion*>("aclrtGetVersion");
    if (!get || (*get)(&major, &minor, &patch) != abi::success) return "of an unknown version";
    return fmt::format("of version {}.{}.{}", major, minor, patch);
}

// Looks symbols up until one is missing; then says which.
class Loader {
public:
    explicit Loader(const os::SharedLibrary& library) : library_{library} {}

    template <class Function>
    Loader& operator()(Function*& into, const char* name) {
        if (problem_) return *this;
        const auto found = library_.symbol<Function*>(name);
        if (found)
            into = *found;
        else
            problem_ = Error{Status::device_error,
                             fmt::format("{}; this ACL is {}, which is too old: install a newer CANN (Tenon was "
                                         "written for ACL 1.17)",
                                         found.error().message, version_of(library_))};
        return *this;
    }
    const std::optional<Error>& problem() const { return problem_; }

private:
    const os::SharedLibrary& library_;
    std::optional<Error> problem_;
};

std::optional<Error> load(AclLibrary& acl, const os::SharedLibrary& library) {
    Loader find{library};
    find(acl.init, "aclInit")(acl.get_version, "aclrtGetVersion")(acl.get_soc_name, "aclrtGetSocName");
    find(acl.get_device_count, "aclrtGetDeviceCount")(acl.set_device, "aclrtSetDevice");
    find(acl.reset_device, "aclrtResetDevice")(acl.get_current_context, "aclrtGetCurrentContext");
    find(acl.set_current_context, "aclrtSetCurrentContext")(acl.get_device_info, "aclrtGetDeviceInfo");
    find(acl.get_devices_topo, "aclrtGetDevicesTopo")(acl.can_access_peer, "aclrtDeviceCanAccessPeer");
    find(acl.enable_peer_access, "aclrtDeviceEnablePeerAccess")(acl.get_bare_tgid, "aclrtDeviceGetBareTgid");
    find(acl.malloc, "aclrtMalloc")(acl.free, "aclrtFree")(acl.pointer_get_attributes, "aclrtPointerGetAttributes");
    find(acl.ipc_mem_get_export_key, "aclrtIpcMemGetExportKey");
    find(acl.ipc_mem_set_import_pid, "aclrtIpcMemSetImportPid");
    find(acl.ipc_mem_import_by_key, "aclrtIpcMemImportByKey")(acl.ipc_mem_close, "aclrtIpcMemClose");
    find(acl.mem_get_allocation_granularity, "aclrtMemGetAllocationGranularity");
    find(acl.malloc_physical, "aclrtMallocPhysical")(acl.free_physical, "aclrtFreePhysical");
    find(acl.reserve_mem_address, "aclrtReserveMemAddress")(acl.release_mem_address, "aclrtReleaseMemAddress");
    find(acl.map_mem, "aclrtMapMem")(acl.unmap_mem, "aclrtUnmapMem")(acl.mem_set_access, "aclrtMemSetAccess");
    find(acl.mem_export, "aclrtMemExportToShareableHandleV2");
    find(acl.mem_set_pid, "aclrtMemSetPidToShareableHandleV2");
    find(acl.mem_import, "aclrtMemImportFromShareableHandleV2");
    find(acl.create_stream, "aclrtCreateStreamWithConfig")(acl.set_stream_failure_mode, "aclrtSetStreamFailureMode");
    find(acl.destroy_stream, "aclrtDestroyStreamForce")(acl.stream_query, "aclrtStreamQuery");
    find(acl.synchronize_stream, "aclrtSynchronizeStreamWithTimeout")(acl.stream_abort, "aclrtStreamAbort");
    find(acl.memcpy_async, "aclrtMemcpyAsync")(acl.reduce_async, "aclrtReduceAsync");
    find(acl.create_event, "aclrtCreateEventExWithFlag")(acl.destroy_event, "aclrtDestroyEvent");
    find(acl.record_event, "aclrtRecordEvent")(acl.stream_wait_event, "aclrtStreamWaitEvent");
    find(acl.query_event_status, "aclrtQueryEventStatus")(acl.event_elapsed_time, "aclrtEventElapsedTime");
    find(acl.create_notify, "aclrtCreateNotify")(acl.destroy_notify, "aclrtDestroyNotify");
    find(acl.record_notify, "aclrtRecordNotify")(acl.wait_and_reset_notify, "aclrtWaitAndResetNotify");
    find(acl.notify_get_export_key, "aclrtNotifyGetExportKey");
    find(acl.notify_set_import_pid, "aclrtNotifySetImportPid")(acl.notify_import_by_key, "aclrtNotifyImportByKey");
    return find.problem();
}

struct CodeRow {
    abi::Code code;
    const char *name, *meaning, *advice;  // "" where nothing is known to help
};

constexpr CodeRow codes[] = {
    {abi::invalid_parameter, "ACL_ERROR_RT_PARAM_INVALID", "a parameter is wrong", ""},
    {abi::invalid_device, "ACL_ERROR_RT_INVALID_DEVICEID", "there is no such device",
     "ASCEND_RT_VISIBLE_DEVICES may hide it"},
    {abi::no_context, "ACL_ERROR_RT_CONTEXT_NULL", "this thread has no context", ""},
    {abi::stream_of_other_context, "ACL_ERROR_RT_STREAM_CONTEXT", "the stream is of another context", ""},
    {abi::address_unaligned, "ACL_ERROR_RT_ADDR_UNALIGNED", "an address is not aligned", ""},
    {abi::invalid_memory_type, "ACL_ERROR_RT_INVALID_MEMORY_TYPE", "memory is of the wrong kind", ""},
    {abi::invalid_handle, "ACL_ERROR_RT_INVALID_HANDLE", "a handle is of nothing that lives", ""},
    {abi::wait_timeout, "ACL_ERROR_RT_WAIT_TIMEOUT", "a wait lasted too long", ""},
    {abi::task_timeout, "ACL_ERROR_RT_TASK_TIMEOUT", "a task lasted too long", "a peer may not have come"},
    {abi::device_abort, "ACL_ERROR_RT_DEVICE_TASK_ABORT", "the device's tasks were aborted", ""},
    {abi::stream_abort, "ACL_ERROR_RT_STREAM_ABORT", "the stream was aborted", ""},
    {abi::feature_unsupported, "ACL_ERROR_RT_FEATURE_NOT_SUPPORT", "this device or driver cannot do it",
     "virtual instances share nothing between processes; a newer driver may"},
    {abi::out_of_memory, "ACL_ERROR_RT_MEMORY_ALLOCATION", "there is no memory left",
     "free memory first, also of other processes"},
    {abi::no_device, "ACL_ERROR_RT_NO_DEVICE", "there is no device", "npu-smi info shows what the driver sees"},
    {abi::no_resource, "ACL_ERROR_RT_RESOURCE_ALLOC_FAIL", "a resource is used up", ""},
    {abi::no_permission, "ACL_ERROR_RT_NO_PERMISSION", "it is not permitted",
     "the exporter must name this process among the importers"},
    {abi::no_event, "ACL_ERROR_RT_NO_EVENT_RESOURCE", "there is no event left", ""},
    {abi::no_stream, "ACL_ERROR_RT_NO_STREAM_RESOURCE", "there is no stream left",
     "use fewer streams, also in other processes on this device"},
    {abi::no_notify, "ACL_ERROR_RT_NO_NOTIFY_RESOURCE", "there is no notify left",
     "use fewer channels or communicators, also in other processes on this device"},
    {abi::over_limit, "ACL_ERROR_RT_OVER_LIMIT", "a limit is passed", ""},
    {abi::driver_timeout, "ACL_ERROR_RT_TIMEOUT", "the driver did not answer in time", ""},
    {abi::internal_error, "ACL_ERROR_RT_INTERNAL_ERROR", "an error within the runtime", ""},
    {abi::scheduler_error, "ACL_ERROR_RT_TS_ERROR", "an error of the device's task scheduler", ""},
    {abi::task_queue_full, "ACL_ERROR_RT_STREAM_TASK_FULL", "the stream's queue is full", ""},
    {abi::lost_heartbeat, "ACL_ERROR_RT_LOST_HEARTBEAT", "the device does not answer", "reset it (npu-smi)"},
    {abi::dma_error, "ACL_ERROR_RT_SYS_DMA", "a copy by the device failed", ""},
    {abi::ipc_error, "ACL_ERROR_RT_IPC_ERROR", "sharing between processes failed", ""},
    {abi::device_setup, "ACL_ERROR_RT_DEV_SETUP_ERROR", "the device could not be set up",
     "another process may hold it for itself (npu-smi info shows which)"},
    {abi::stream_synchronize_timeout, "ACL_ERROR_RT_STREAM_SYNC_TIMEOUT", "the stream is not done in time", ""},
    {abi::device_memory_error, "ACL_ERROR_RT_DEVICE_MEM_ERROR", "the device's memory failed",
     "take the device out of use"},
    {abi::ecc_error, "ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR", "several bits of the device's memory are wrong",
     "take the device out of use"},
    {abi::suspect_memory_error, "ACL_ERROR_RT_SUSPECT_DEVICE_MEM_ERROR", "the device's memory may have failed", ""},
    {abi::link_error, "ACL_ERROR_RT_LINK_ERROR", "a link between devices failed", "npu-smi shows the links' state"},
    {abi::suspect_remote_error, "ACL_ERROR_RT_SUSPECT_REMOTE_ERROR", "a peer's device may have failed",
     "look for its error on the other ranks"},
    {abi::driver_error, "ACL_ERROR_RT_DRV_INTERNAL_ERROR", "an error within the driver", ""},
    {abi::connection_closed, "ACL_ERROR_RT_SOCKET_CLOSE", "the connection to the device is closed", ""},
};

// Libraries that stay open, though nobody uses them any more.
void keep_open(os::SharedLibrary library) {
    static std::mutex mutex;
    static auto& kept = *new std::vector<os::SharedLibrary>;
    const std::scoped_lock held{mutex};
    kept.push_back(std::move(library));
}

}  // namespace

std::string in_words(abi::Code code) {
    for (const CodeRow& row : codes)
        if (row.code == code)
            return fmt::format("{} ({}), {}{}{}", row.name, code, row.meaning, *row.advice == '\0' ? "" : ": ",
                               row.advice);
    const char* const kind = code / 100'000 == 1   ? "a wrong parameter"
                             : code / 100'000 == 2 ? "a resource that is missing"
                                                   : "an error within";
    return fmt::format("the ACL error {}, {}", code, kind);
}

Result<AclLibrary> open_acl(const std::string& library) {
    auto opened = os::SharedLibrary::open(library);
    if (!opened)
        return fail(Status::device_error,
                    fmt::format("{}; there is no CANN here: install it and its driver, or add its library's folder to "
                                "LD_LIBRARY_PATH (set_env.sh does), or use another device provider",
                                opened.error().message));
    AclLibrary acl{};
    if (const auto problem = load(acl, *opened)) return std::unexpected(*problem);
    std::int32_t major = 0, minor = 0, patch = 0;
    if (const abi::Code code = acl.get_version(&major, &minor, &patch); code != abi::success || major != known_major)
        return fail(Status::device_error,
                    code != abi::success
                        ? fmt::format("aclrtGetVersion gave {}", in_words(code))
                        : fmt::format("{} is ACL {}.{}.{}, and Tenon knows ACL 1 only: install a CANN or a Tenon that "
                                      "fits the other",
                                      library, major, minor, patch));
    // The framework may have initialized it; nobody finalizes it here, since that would end it for the framework, too.
    if (const abi::Code code = acl.init(nullptr); code != abi::success && code != abi::repeated_initialize)
        return fail(Status::device_error, fmt::format("aclInit gave {}; the driver's log (ascend/log) says more",
                                                      in_words(code)));
    keep_open(std::move(*opened));
    return acl;
}

}  // namespace tenon::ascend
