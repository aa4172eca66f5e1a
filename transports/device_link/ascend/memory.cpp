// Memory of an Ascend device: from aclrtMalloc, or physical memory that is mapped.
#include <fmt/format.h>

#include "transports/device_link/ascend/sharing.hpp"

namespace tenon::ascend {
namespace {

// Keys name whole pages, and what is smaller may lie in one huge page with others'.
constexpr std::uint64_t huge_page_bytes = 2 << 20;

std::uint64_t rounded_up(std::uint64_t bytes, std::uint64_t unit) {
    return std::max<std::uint64_t>(1, (bytes + unit - 1) / unit) * unit;
}

Error no_memory(const Context& context, abi::Code code, const char* call, ByteCount bytes) {
    Error error = context.problem(code, call);
    error.message += fmt::format(" ({} bytes were wanted)", bytes.value);
    return error;
}

}  // namespace

Result<std::unique_ptr<device::Memory>> ServerMemory::allocate(std::shared_ptr<Context> context, ByteCount bytes) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    const std::uint64_t block_bytes = rounded_up(bytes.value, huge_page_bytes);
    void* address = nullptr;
    const abi::Code code = context->acl().malloc(&address, block_bytes, abi::MallocPolicy::huge_first);
    if (code != abi::success) return std::unexpected(no_memory(*context, code, "aclrtMalloc", bytes));
    context->remember(address, block_bytes, Place::own);
    return std::unique_ptr<device::Memory>{new ServerMemory{std::move(context), address, bytes}};
}

ServerMemory::~ServerMemory() {
    context_->forget(address_);
    if (context_->enter()) context_->acl().free(address_);
}

Result<std::unique_ptr<MappedMemory>> MappedMemory::map(std::shared_ptr<Context> context, abi::Handle physical,
                                                        std::uint64_t bytes, Place place) {
    std::unique_ptr<MappedMemory> made{new MappedMemory{std::move(context), physical}};
    Context& of = *made->context_;
    const AclLibrary& acl = of.acl();
    if (auto r = of.check(acl.reserve_mem_address(&made->address_, bytes, 0, nullptr, 0), "aclrtReserveMemAddress");
        !r) {
        made->address_ = nullptr;
        return std::unexpected(r.error());
    }
    if (auto r = of.check(acl.map_mem(made->address_, bytes, 0, physical, 0), "aclrtMapMem"); !r)
        return std::unexpected(r.error());
    made->is_mapped_ = true;
    abi::AccessDescription access{.flags = abi::AccessFlags::read_write,
                                  .location = {.id = of.index(), .type = abi::LocationType::device}};
    if (auto r = of.check(acl.mem_set_access(made->address_, bytes, &access, 1), "aclrtMemSetAccess"); !r)
        return std::unexpected(r.error());
    of.remember(made->address_, bytes, place, place == Place::own ? physical : nullptr);
    return made;
}

MappedMemory::~MappedMemory() {
    context_->forget(address_);
    if (!context_->enter()) return;
    const AclLibrary& acl = context_->acl();
    if (is_mapped_) acl.unmap_mem(address_);
    if (address_ != nullptr) acl.release_mem_address(address_);
    acl.free_physical(physical_);
}

Result<std::unique_ptr<device::Memory>> SupernodeMemory::allocate(std::shared_ptr<Context> context, ByteCount bytes) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    const AclLibrary& acl = context->acl();
    abi::PhysicalMemory wanted{.location = {.id = context->index(), .type = abi::LocationType::device}};
    std::size_t unit = 0;
    if (auto r = context->check(acl.mem_get_allocation_granularity(&wanted, abi::Granularity::recommended, &unit),
                                "aclrtMemGetAllocationGranularity");
        !r)
        return std::unexpected(r.error());
    const std::uint64_t whole_bytes = rounded_up(bytes.value, std::max<std::size_t>(unit, 1));
    abi::Handle physical = nullptr;
    const abi::Code code = acl.malloc_physical(&physical, whole_bytes, &wanted, 0);
    if (code != abi::success) return std::unexpected(no_memory(*context, code, "aclrtMallocPhysical", bytes));
    auto mapped = MappedMemory::map(std::move(context), physical, whole_bytes, Place::own);
    if (!mapped) return std::unexpected(mapped.error());
    return std::unique_ptr<device::Memory>{new SupernodeMemory{std::move(*mapped), bytes}};
}

}  // namespace tenon::ascend
