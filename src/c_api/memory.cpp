// Memory that peers can reach, scaled sums, versions and the words for errors.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "c_api/handles.hpp"
#include "os/shared_arena.hpp"

using namespace tenon;
using namespace tenon::c_api;

tenonResult_t tenonMemAlloc(void** ptr, size_t size) {
    if (ptr == nullptr) return report(Status::invalid_argument, "tenonMemAlloc: ptr is NULL");
    *ptr = nullptr;
    if (size == 0) return tenonSuccess;
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto arena = os::SharedArena::of_this_process();
        if (!arena) return report(arena.error());
        auto memory = (*arena)->allocate({size});
        if (!memory) return report(memory.error().status, "tenonMemAlloc: " + memory.error().message);
        *ptr = *memory;
        return tenonSuccess;
    });
}

tenonResult_t tenonMemFree(void* ptr) {
    if (ptr == nullptr) return tenonSuccess;
    return guarded(nullptr, [&]() -> tenonResult_t {
        os::SharedArena* arena = os::SharedArena::if_made();
        if (arena == nullptr)
            return report(Status::invalid_argument, "tenonMemFree: this process has not called tenonMemAlloc");
        auto freed = arena->release(ptr);
        return freed ? tenonSuccess : report(freed.error().status, "tenonMemFree: " + freed.error().message);
    });
}

// What a network may prepare for its devices. On a host nothing needs to be prepared: memory of the arena is shared
// already, and other memory cannot be mapped.
tenonResult_t tenonCommRegister(const tenonComm_t comm, void* buff, size_t size, void** handle) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (buff == nullptr || handle == nullptr || size == 0)
        return refuse(comm, __func__, "buff or handle is NULL, or size is 0");
    if (size > UINTPTR_MAX - reinterpret_cast<std::uintptr_t>(buff))
        return refuse(comm, __func__, "buff + size overflows");
    return guarded(comm, [&]() -> tenonResult_t {
        auto made = std::make_unique<Registration>(Registration{{static_cast<std::byte*>(buff), size}});
        comm->communicator->register_memory(made->range);
        const std::scoped_lock lock(comm->registrations_mutex);
        *handle = comm->registrations.emplace_back(std::move(made)).get();
        return tenonSuccess;
    });
}

tenonResult_t tenonCommDeregister(const tenonComm_t comm, void* handle) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    const std::scoped_lock lock(comm->registrations_mutex);
    const auto at = std::ranges::find(comm->registrations, handle, [](const auto& known) { return known.get(); });
    if (at != comm->registrations.end()) {
        comm->communicator->memory().remove((*at)->range);
        comm->registrations.erase(at);
        return tenonSuccess;
    }
    return refuse(comm, __func__, "this was not registered with this communicator, or has been deregistered since");
}

tenonResult_t tenonRedOpCreatePreMulSum(tenonRedOp_t* op, void* scalar, tenonDataType_t datatype,
                                        tenonScalarResidence_t residence, tenonComm_t comm) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (op == nullptr || scalar == nullptr)
        return refuse(comm, __func__, "op or scalar is NULL");
    if (static_cast<unsigned>(datatype) >= data_type_count)
        return refuse(comm, __func__, fmt::format("there is no data type {}", static_cast<int>(datatype)));
    if (residence != tenonScalarHostImmediate)
        return refuse(comm, __func__, "ranks of the host need tenonScalarHostImmediate", Status::invalid_usage);
    return guarded(comm, [&]() -> tenonResult_t {
        // A number that is free again is taken first: programs make an operation for each call.
        auto& sums = comm->scaled_sums;
        auto place = std::ranges::find_if(sums, [](const auto& sum) { return !sum->valid; });
        if (place == sums.end()) place = sums.insert(place, std::make_unique<ScaledSum>());
        **place = {.valid = true, .type = static_cast<DataType>(datatype)};
        std::memcpy((*place)->factor, scalar, element_bytes((*place)->type));
        *op = static_cast<tenonRedOp_t>(tenonNumOps + static_cast<int>(place - sums.begin()));
        return tenonSuccess;
    });
}

tenonResult_t tenonRedOpDestroy(tenonRedOp_t op, tenonComm_t comm) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    const std::size_t index = static_cast<std::size_t>(op) - tenonNumOps;
    if (index >= comm->scaled_sums.size() || !comm->scaled_sums[index]->valid)
        return refuse(comm, __func__, fmt::format("{} is no operation of this communicator", static_cast<int>(op)));
    comm->scaled_sums[index]->valid = false;
    return tenonSuccess;
}

tenonResult_t tenonGetVersion(int* version) {
    if (version == nullptr) return report(Status::invalid_argument, "tenonGetVersion: version is NULL");
    *version = TENON_VERSION_CODE;
    return tenonSuccess;
}

const char* tenonGetErrorString(tenonResult_t result) {
    switch (result) {
        case tenonSuccess: return "success";
        case tenonUnhandledDeviceError: return "a device's own library failed";
        case tenonSystemError: return "the operating system refused something (memory, a socket, a file)";
        case tenonInternalError: return "a defect of Tenon";
        case tenonInvalidArgument: return "an argument is wrong";
        case tenonInvalidUsage: return "the call is not allowed now";
        case tenonRemoteError: return "another rank died or gave up";
        case tenonInProgress: return "the work has not completed yet";
        case tenonTimeout: return "another rank did not come in time";
        case tenonMismatch: return "the ranks do not make the same call";
        case tenonAborted: return "the communicator was aborted";
        case tenonNumResults: break;
    }
    return "not a result of Tenon";
}

const char* tenonGetLastError(tenonComm_t comm) {
    thread_local std::string shown;
    if (comm == nullptr) {
        shown = last_error_of_thread();
    } else {
        const std::scoped_lock lock(comm->error_mutex);
        shown = comm->last_error;
    }
    return shown.c_str();
}
