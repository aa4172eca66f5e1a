// Physical memory: reserved addresses, mappings, and handles that reach the whole supernode.
#include <fmt/format.h>

#include <cstring>

#include "os/memory.hpp"
#include "os/process.hpp"
#include "tests/support/emulated_acl/state.hpp"

using namespace tenon;
using namespace tenon::support::acl;

namespace {

constexpr std::size_t granularity_bytes = 2 << 20;

Code wrong_physical(const Call& call, const abi::PhysicalMemory& memory) {
    const bool is_right = memory.handle_type == abi::HandleType::none &&
                          memory.allocation_type == abi::AllocationType::pinned &&
                          memory.attribute == abi::MemoryAttribute::hbm_huge &&
                          memory.location.type == abi::LocationType::device && memory.reserved == 0 &&
                          memory.location.id < call.state().devices_per_server;
    if (is_right) return abi::success;
    return call.misuse(abi::invalid_parameter, "physical memory is pinned, of huge pages, of a device that there is");
}

}  // namespace

Code aclrtMemGetAllocationGranularity(abi::PhysicalMemory* memory, abi::Granularity, std::size_t* bytes) {
    const Call call{"aclrtMemGetAllocationGranularity"};
    if (call.end()) return *call.end();
    *bytes = granularity_bytes;
    return wrong_physical(call, *memory);
}

Code aclrtMallocPhysical(Handle* memory, std::size_t bytes, const abi::PhysicalMemory* properties,
                         std::uint64_t flags) {
    const Call call{"aclrtMallocPhysical"};
    if (call.end()) return *call.end();
    State& state = call.state();
    if (const Code wrong = wrong_physical(call, *properties); wrong != abi::success) return wrong;
    if (bytes == 0 || bytes % granularity_bytes != 0 || flags != 0)
        return call.misuse(abi::invalid_parameter, "physical memory is a multiple of the granularity, without flags");
    const device::DeviceIndex device = state.whole_number(properties->location.id);
    const auto made = state.machine->allocate(device, {bytes}, device::Reach::supernode);
    if (!made) return abi::out_of_memory;
    auto physical = std::make_shared<AclPhysical>();
    physical->device = device;
    physical->address = *made;
    physical->bytes = bytes;
    *memory = state.physical.add(std::move(physical));
    return abi::success;
}

Code aclrtFreePhysical(Handle memory) {
    const Call call{"aclrtFreePhysical"};
    if (call.end()) return *call.end();
    State& state = call.state();
    const auto physical = state.physical.take(memory);
    if (physical == nullptr) return call.misuse(abi::invalid_handle, "this is no physical memory (any more)");
    for (const auto& [address, reservation] : state.reservations)
        if (reservation.physical == physical) return call.misuse(abi::invalid_parameter, "it is mapped still");
    if (physical->imported) {
        state.machine->close_import(*physical->imported);
        return abi::success;
    }
    for (const device::Key& key : physical->exports)
        if (const auto ended = state.machine->unshare(key); !ended)
            call.misuse(abi::success, ended.error().message);
    state.machine->release(physical->device, physical->address);
    return abi::success;
}

Code aclrtReserveMemAddress(void** address, std::size_t bytes, std::size_t alignment, void* expected,
                            std::uint64_t flags) {
    const Call call{"aclrtReserveMemAddress"};
    if (call.end()) return *call.end();
    if (bytes % granularity_bytes != 0 || alignment != 0 || expected != nullptr || flags != 0)
        return call.misuse(abi::invalid_parameter, "a multiple of the granularity is reserved, and nothing else asked");
    auto mapping = os::Mapping::anonymous({bytes});
    if (!mapping) return abi::out_of_memory;
    std::byte* const begin = mapping->data();
    call.state().reservations[begin] = {.mapping = std::move(*mapping), .physical = nullptr};
    *address = begin;
    return abi::success;
}

Code aclrtReleaseMemAddress(void* address) {
    const Call call{"aclrtReleaseMemAddress"};
    if (call.end()) return *call.end();
    auto& reservations = call.state().reservations;
    const auto found = reservations.find(static_cast<std::byte*>(address));
    if (found == reservations.end() || found->second.physical != nullptr)
        return call.misuse(abi::invalid_parameter, "these addresses are not reserved, or memory is mapped there");
    reservations.erase(found);
    return abi::success;
}

Code aclrtMapMem(void* address, std::size_t bytes, std::size_t offset, Handle memory, std::uint64_t flags) {
    const Call call{"aclrtMapMem"};
    if (call.end()) return *call.end();
    State& state = call.state();
    const auto found = state.reservations.find(static_cast<std::byte*>(address));
    const auto physical = state.physical.find(memory);
    if (physical == nullptr) return call.misuse(abi::invalid_handle, "this is no physical memory (any more)");
    if (found == state.reservations.end() || found->second.physical != nullptr || offset != 0 || flags != 0 ||
        bytes != physical->bytes || bytes > found->second.mapping.size())
        return call.misuse(abi::invalid_parameter, "memory is mapped as a whole, at reserved addresses, once");
    found->second.physical = physical;
    return abi::success;
}

Code aclrtUnmapMem(void* address) {
    const Call call{"aclrtUnmapMem"};
    if (call.end()) return *call.end();
    auto& reservations = call.state().reservations;
    const auto found = reservations.find(static_cast<std::byte*>(address));
    if (found == reservations.end() || std::exchange(found->second.physical, nullptr) == nullptr)
        return call.misuse(abi::invalid_parameter, "nothing is mapped there");
    return abi::success;
}

Code aclrtMemSetAccess(void* address, std::size_t bytes, abi::AccessDescription* descriptions, std::size_t count) {
    const Call call{"aclrtMemSetAccess"};
    if (call.end()) return *call.end();
    State& state = call.state();
    const auto found = state.reservations.find(static_cast<std::byte*>(address));
    if (found == state.reservations.end() || found->second.physical == nullptr ||
        bytes != found->second.physical->bytes || count != 1)
        return call.misuse(abi::invalid_parameter, "access is given to what is mapped, as a whole");
    const auto context = state.contexts.find(static_cast<std::int32_t>(descriptions->location.id));
    if (context == state.contexts.end() || descriptions->flags != abi::AccessFlags::read_write)
        return call.misuse(abi::invalid_device, "access is given to a device that is set, to read and write");
    context->second->device->peers |= std::uint64_t{1} << found->second.physical->device;
    return abi::success;
}

Code aclrtMemExportToShareableHandleV2(Handle memory, std::uint64_t flags, abi::SharedHandleType type,
                                       void* shareable) {
    const Call call{"aclrtMemExportToShareableHandleV2"};
    if (call.end()) return *call.end();
    State& state = call.state();
    const auto physical = state.physical.find(memory);
    if (physical == nullptr || physical->imported)
        return call.misuse(abi::invalid_handle, "this is no physical memory of this process");
    if (type != abi::SharedHandleType::fabric || (flags & ~abi::physical_export_to_all) != 0)
        return call.misuse(abi::invalid_parameter, "the emulated one has fabric handles only, and one flag");
    const device::ProcessNumber self = os::process_id();
    const std::span<const device::ProcessNumber> nobody_else{&self, 1};
    const auto shared =
        state.machine->share(physical->device, physical->address, {physical->bytes},
                             flags == abi::physical_export_to_all ? decltype(nobody_else){} : nobody_else);
    if (!shared) return call.code_of(shared.error());
    physical->exports.push_back(*shared);
    std::memcpy(shareable, shared->bytes.data(), sizeof(abi::FabricHandle));
    return abi::success;
}

Code aclrtMemSetPidToShareableHandleV2(void* shareable, abi::SharedHandleType, std::int32_t* processes,
                                       std::size_t count) {
    const Call call{"aclrtMemSetPidToShareableHandleV2"};
    if (call.end()) return *call.end();
    device::Key key;
    std::memcpy(key.bytes.data(), shareable, sizeof(abi::FabricHandle));
    const auto allowed = call.state().machine->allow(key, {processes, count});
    return allowed ? abi::success : call.code_of(allowed.error());
}

Code aclrtMemImportFromShareableHandleV2(void* shareable, abi::SharedHandleType type, std::uint64_t flags,
                                         Handle* memory) {
    const Call call{"aclrtMemImportFromShareableHandleV2"};
    if (call.end()) return *call.end();
    State& state = call.state();
    const auto context = call.context();
    if (context == nullptr) return abi::no_context;
    if (type != abi::SharedHandleType::fabric || flags != 0)
        return call.misuse(abi::invalid_parameter, "the emulated one has fabric handles only, and no flags");
    device::Key key;
    std::memcpy(key.bytes.data(), shareable, sizeof(abi::FabricHandle));
    const auto imported = state.machine->import_memory(key, context->device->index);
    if (!imported) return abi::driver_error;  // not meant for this process, or closed: not its own fault
    auto physical = std::make_shared<AclPhysical>();
    physical->device = imported->device;
    physical->address = imported->address;
    physical->bytes = imported->bytes.value;
    physical->imported = *imported;
    *memory = state.physical.add(std::move(physical));
    return abi::success;
}
