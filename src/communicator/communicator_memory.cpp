#include "communicator/communicator_memory.hpp"

#include <algorithm>

namespace tenon {
std::optional<std::span<std::byte>> CommunicatorMemory::range_of(const void* bytes, std::size_t length) const {
    if (arena_ != nullptr && arena_->offset_of(bytes, length)) return arena_->allocation_of(bytes, length);
    const std::scoped_lock lock(mutex_);
    const auto at = std::ranges::find_if(ranges_, [&](const auto& range) { return lies_in(range, bytes, length); });
    return at == ranges_.end() ? std::nullopt : std::optional(*at);
}

std::shared_ptr<void> CommunicatorMemory::tell_ends(std::function<void(std::span<std::byte>)> ended) {
    auto of_arena = arena_ != nullptr ? arena_->on_release(ended) : nullptr;
    const std::scoped_lock lock(telling_);
    told_.push_back(std::move(ended));
    const auto at = std::prev(told_.end());
    return {nullptr, [this, at, of_arena](void*) {
                const std::scoped_lock until_none_is_called(telling_);
                told_.erase(at);
            }};
}

void CommunicatorMemory::add(std::span<std::byte> range) {
    const std::scoped_lock lock(mutex_);
    ranges_.push_back(range);
}

void CommunicatorMemory::remove(std::span<std::byte> range) {
    {
        const std::scoped_lock lock(mutex_);
        const auto at = std::ranges::find_if(
            ranges_, [&](const auto& r) { return r.data() == range.data() && r.size() == range.size(); });
        if (at == ranges_.end()) return;
        ranges_.erase(at);
    }
    const std::scoped_lock telling(telling_);
    for (const auto& ended : told_) ended(range);
}

}  // namespace tenon
