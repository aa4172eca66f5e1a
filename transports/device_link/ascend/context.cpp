#include "transports/device_link/ascend/context.hpp"

#include <fmt/format.h>

namespace tenon::ascend {

Result<std::shared_ptr<Context>> Context::open(std::shared_ptr<const AclLibrary> acl, device::DeviceIndex index,
                                               os::ProcessToken self) {
    std::shared_ptr<Context> made{new Context{std::move(acl), index, self}};
    const AclLibrary& runtime = made->acl();
    if (auto r = made->check(runtime.set_device(static_cast<std::int32_t>(index)), "aclrtSetDevice"); !r)
        return std::unexpected(r.error());
    abi::Handle context = nullptr;
    if (auto r = made->check(runtime.get_current_context(&context), "aclrtGetCurrentContext"); !r) {
        runtime.reset_device(static_cast<std::int32_t>(index));
        return std::unexpected(r.error());
    }
    made->context_ = context;
    return made;
}

Context::~Context() {
    if (context_ != nullptr && enter()) acl_->reset_device(static_cast<std::int32_t>(index_));
}

Result<void> Context::enter() const { return check(acl_->set_current_context(context_), "aclrtSetCurrentContext"); }

Error Context::problem(abi::Code code, const char* call, const char* advice) const {
    return {Status::device_error, fmt::format("Ascend device {}: {} gave {}{}", index_, call, in_words(code), advice)};
}

Result<void> Context::check(abi::Code code, const char* call, const char* advice) const {
    if (code == abi::success) return {};
    return std::unexpected(problem(code, call, advice));
}

std::optional<Context::Block> Context::block_of(const void* address) const {
    const auto* const at = static_cast<const std::byte*>(address);
    const std::scoped_lock held{mutex_};
    auto after = blocks_.upper_bound(at);
    if (after == blocks_.begin()) return std::nullopt;
    const Block& block = std::prev(after)->second;
    if (static_cast<std::uint64_t>(at - block.begin) >= block.bytes) return std::nullopt;
    return block;
}

Result<device::Location> Context::locate(const void* address) const {
    const auto block = block_of(address);
    if (block && block->place == Place::own) return device::Location{device::MemoryKind::device, index_};
    abi::PointerAttributes attributes;
    if (auto r = check(acl_->pointer_get_attributes(address, &attributes), "aclrtPointerGetAttributes"); !r)
        return std::unexpected(r.error());
    if (attributes.location.type != abi::LocationType::device) return device::Location{};
    return device::Location{device::MemoryKind::device, attributes.location.id};
}

Result<Place> Context::place_of(const void* address) const {
    if (const auto block = block_of(address)) return block->place;
    const auto at = locate(address);
    if (!at) return std::unexpected(at.error());
    if (at->kind == device::MemoryKind::host) return Place::host;
    return at->device == index_ ? Place::own : Place::peer;
}

Result<void> Context::expect_own_memory(const void* address, std::uint64_t bytes, const char* what) const {
    const auto* const first = static_cast<const std::byte*>(address);
    for (const std::byte* const byte : {first, first + std::max<std::uint64_t>(bytes, 1) - 1}) {
        const auto place = place_of(byte);
        if (!place) return std::unexpected(place.error());
        if (*place != Place::own)
            return fail(Status::invalid_argument,
                        fmt::format("Ascend device {}: {} is not memory of this device, all {} bytes of it, but {}",
                                    index_, what, bytes, *place == Place::host ? "the host's" : "another device's"));
    }
    return {};
}

void Context::remember(const void* address, std::uint64_t bytes, Place place, abi::Handle physical) {
    const auto* const begin = static_cast<const std::byte*>(address);
    const std::scoped_lock held{mutex_};
    blocks_[begin] = {begin, bytes, place, physical};
}

void Context::forget(const void* address) {
    const std::scoped_lock held{mutex_};
    blocks_.erase(static_cast<const std::byte*>(address));
}

Result<void> Context::enable_peer(device::DeviceIndex peer) {
    if (peer == index_) return {};
    if (auto entered = enter(); !entered) return entered;
    const std::scoped_lock held{mutex_};
    if (peers_.contains(peer)) return {};
    const auto number = static_cast<std::int32_t>(peer);
    std::int32_t can = 0;
    if (auto r = check(acl_->can_access_peer(&can, static_cast<std::int32_t>(index_), number),
                       "aclrtDeviceCanAccessPeer");
        !r)
        return r;
    if (can == 0)
        return fail(Status::device_error,
                    fmt::format("Ascend devices {} and {} do not reach each other's memory: no HCCS joins them, and "
                                "their PCIe does not either",
                                index_, peer));
    if (auto r = check(acl_->enable_peer_access(number, 0), "aclrtDeviceEnablePeerAccess"); !r) return r;
    peers_.insert(peer);
    return {};
}

std::shared_ptr<OpenedMemory> Context::opened(const std::string& key) const {
    const std::scoped_lock held{mutex_};
    const auto found = opened_.find(key);
    return found == opened_.end() ? nullptr : found->second.lock();
}

void Context::remember_opened(const std::string& key, const std::shared_ptr<OpenedMemory>& memory) {
    const std::scoped_lock held{mutex_};
    std::erase_if(opened_, [](const auto& entry) { return entry.second.expired(); });
    opened_[key] = memory;
}

}  // namespace tenon::ascend
