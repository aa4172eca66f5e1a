// Memory, and its sharing between the processes of a server.
#include <fmt/format.h>

#include <cstring>

#include "os/process.hpp"
#include "tests/support/emulated_acl/state.hpp"

using namespace tenon;
using namespace tenon::support::acl;

namespace {

constexpr std::uint64_t page_bytes = 4096, huge_page_bytes = 2 << 20;

bool is_page_aligned(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % page_bytes == 0; }

}  // namespace

Code aclrtMalloc(void** address, std::size_t bytes, abi::MallocPolicy policy) {
    const Call call{"aclrtMalloc"};
    if (call.end()) return *call.end();
    const auto context = call.context();
    if (context == nullptr) return abi::no_context;
    if (address == nullptr || bytes == 0) return call.misuse(abi::invalid_parameter, "nothing is asked for");
    const std::uint64_t unit = policy == abi::MallocPolicy::normal_only ? page_bytes : huge_page_bytes;
    const auto made = call.state().machine->allocate(context->device->index, {(bytes + unit - 1) / unit * unit},
                                                     device::Reach::server);
    if (!made) return abi::out_of_memory;
    *address = *made;
    call.state().allocations.insert(*made);
    return abi::success;
}

Code aclrtFree(void* address) {
    const Call call{"aclrtFree"};
    if (call.end()) return *call.end();
    State& state = call.state();
    if (call.context() == nullptr) return abi::no_context;
    if (state.allocations.erase(address) == 0)
        return call.misuse(abi::invalid_parameter, "this is not what aclrtMalloc gave, or it is freed already");
    state.machine->release(*state.machine->owner_of(address, 1), static_cast<std::byte*>(address));
    return abi::success;
}

Code aclrtPointerGetAttributes(const void* address, abi::PointerAttributes* attributes) {
    const Call call{"aclrtPointerGetAttributes"};
    if (call.end()) return *call.end();
    const Located at = locate(call.state(), address, 1);
    *attributes = {.location = {.id = 0, .type = abi::LocationType::unregistered}, .page_bytes = page_bytes};
    if (at.device)
        attributes->location = {.id = *at.device % call.state().devices_per_server, .type = abi::LocationType::device};
    return abi::success;
}

Code aclrtIpcMemGetExportKey(void* address, std::size_t bytes, char* key, std::size_t length, std::uint64_t flags) {
    const Call call{"aclrtIpcMemGetExportKey"};
    if (call.end()) return *call.end();
    State& state = call.state();
    if (call.context() == nullptr) return abi::no_context;
    if (length != abi::key_length || (flags & ~abi::memory_export_to_all) != 0)
        return call.misuse(abi::invalid_parameter, "keys have 65 bytes, and there is one flag");
    if (!is_page_aligned(address) || bytes % page_bytes != 0)
        return call.misuse(abi::address_unaligned, "memory is shared by whole pages");
    const auto owner = state.machine->owner_of(address, bytes);
    if (!owner) return call.misuse(abi::invalid_parameter, "this is not memory of aclrtMalloc");
    const device::ProcessNumber self = os::process_id();
    const std::span<const device::ProcessNumber> nobody_else{&self, 1};
    const auto shared = state.machine->share(
        *owner, address, {bytes}, flags == abi::memory_export_to_all ? decltype(nobody_else){} : nobody_else);
    if (!shared) return call.code_of(shared.error());
    const std::string text = text_of(*shared);
    std::memset(key, 0, length);
    text.copy(key, length - 1);
    state.exported_memory.insert(text);
    return abi::success;
}

Code aclrtIpcMemSetImportPid(const char* key, std::int32_t* processes, std::size_t count) {
    const Call call{"aclrtIpcMemSetImportPid"};
    if (call.end()) return *call.end();
    const auto known = key_of(key);
    if (!known || !call.state().exported_memory.contains(key))
        return call.misuse(abi::invalid_parameter, "this process has exported nothing under that key");
    const auto allowed = call.state().machine->allow(*known, {processes, count});
    return allowed ? abi::success : call.code_of(allowed.error());
}

Code aclrtIpcMemImportByKey(void** address, const char* key, std::uint64_t flags) {
    const Call call{"aclrtIpcMemImportByKey"};
    if (call.end()) return *call.end();
    State& state = call.state();
    const auto context = call.context();
    if (context == nullptr) return abi::no_context;
    const auto known = key_of(key);
    if (!known || (flags & ~abi::memory_import_enables_peer) != 0)
        return call.misuse(abi::invalid_parameter, "this is no key, or there is a flag that means nothing");
    if (state.exported_memory.contains(key) || state.imported_memory.contains(key))
        return call.misuse(abi::driver_error, "a process imports a key once, and none of its own");
    const auto imported = state.machine->import_memory(*known, context->device->index);
    // Whoever may not import, or comes too late, did nothing wrong.
    if (!imported) return abi::driver_error;
    if (flags == abi::memory_import_enables_peer) context->device->peers |= std::uint64_t{1} << imported->device;
    state.imported_memory[key] = *imported;
    *address = imported->address;
    return abi::success;
}

Code aclrtIpcMemClose(const char* key) {
    const Call call{"aclrtIpcMemClose"};
    if (call.end()) return *call.end();
    State& state = call.state();
    if (call.context() == nullptr) return abi::no_context;
    if (const auto imported = state.imported_memory.find(key); imported != state.imported_memory.end()) {
        state.machine->close_import(imported->second);
        state.imported_memory.erase(imported);
        return abi::success;
    }
    if (!state.exported_memory.contains(key))
        return call.misuse(abi::invalid_parameter, "nothing is shared or imported under that key");
    const auto closed = state.machine->unshare(*key_of(key));
    if (!closed) {
        call.misuse(abi::driver_error, closed.error().message);
        return abi::driver_error;
    }
    state.exported_memory.erase(key);
    return abi::success;
}
