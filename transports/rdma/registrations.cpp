#include "transports/rdma/registrations.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"

namespace tenon::rdma {
namespace {

bool overlap(std::span<const std::byte> a, std::span<const std::byte> b) {
    return a.data() < b.data() + b.size() && b.data() < a.data() + a.size();
}

std::uintptr_t first_of(std::span<const std::byte> range) { return reinterpret_cast<std::uintptr_t>(range.data()); }

}  // namespace

Registrations::Registrations(std::vector<Device*> devices, std::shared_ptr<KnownMemory> known, Bounds bounds)
    : devices_(std::move(devices)), known_(bounds.bytes != 0 ? std::move(known) : nullptr), bounds_(bounds) {
    if (known_ != nullptr)
        tells_ends_ = known_->tell_ends([this](std::span<std::byte> range) { range_ended(range); });
}

Registrations::~Registrations() = default;

// Of ranges that overlap, the one that begins last may be too short: then the bytes are looked for among what is known.
Registrations::Entries::iterator Registrations::at(const void* bytes, std::size_t length) {
    auto entry = entries_.upper_bound(reinterpret_cast<std::uintptr_t>(bytes));
    if (entry == entries_.begin()) return entries_.end();
    --entry;
    return lies_in(entry->second->range, bytes, length) ? entry : entries_.end();
}

InUse Registrations::find(const void* bytes, std::size_t length) {
    if (known_ == nullptr) return nullptr;
    {
        const std::scoped_lock lock(mutex_);
        if (const auto entry = at(bytes, length); entry != entries_.end()) {
            entry->second->last_used = ++uses_;
            return entry->second->is_usable ? entry->second : nullptr;
        }
    }
    // Not under the lock: who ends a range holds what this asks for.
    const auto range = known_->range_of(bytes, length);
    if (!range) return nullptr;
    const std::scoped_lock lock(mutex_);
    return add(*range);
}

// What cannot be registered is remembered, too, so that not every message tries.
InUse Registrations::add(std::span<std::byte> range) {
    if (const auto same = entries_.find(first_of(range)); same != entries_.end()) {
        if (same->second.use_count() > 1) return nullptr;
        remove(same);
    }
    auto made = std::make_shared<Registered>(Registered{.range = range, .last_used = ++uses_});
    const bool fits = range.size() <= bounds_.bytes;
    if (!make_room(fits ? range.size() : 0)) return nullptr;
    if (fits) {
        if (const auto ok = register_with_all(*made)) {
            bytes_ += range.size();
        } else if (!has_warned_) {
            has_warned_ = true;
            log(LogLevel::warning, "{}; large messages there are copied", ok.error().message);
        }
    }
    entries_[first_of(range)] = made;
    return made->is_usable ? made : nullptr;
}

Result<void> Registrations::register_with_all(Registered& made) const {
    for (std::size_t i = 0; i < devices_.size(); i++) {
        if (i != 0 && devices_[i] == devices_[i - 1]) {
            made.local[i] = made.local[i - 1];
            made.remote[i] = made.remote[i - 1];
            continue;
        }
        auto region = devices_[i]->register_memory(made.range, true);
        if (!region) {
            for (Region& before : made.regions) before.reset();
            return std::unexpected(region.error());
        }
        made.regions[i] = std::move(*region);
        made.local[i] = made.regions[i]->lkey;
        made.remote[i] = made.regions[i]->rkey;
    }
    made.is_usable = true;
    return {};
}

// For one more of so many bytes.
bool Registrations::make_room(std::uint64_t bytes) {
    while (bytes_ + bytes > bounds_.bytes || entries_.size() >= bounds_.ranges) {
        auto oldest = entries_.end();
        for (auto entry = entries_.begin(); entry != entries_.end(); ++entry)
            if (entry->second.use_count() == 1 &&
                (oldest == entries_.end() || entry->second->last_used < oldest->second->last_used))
                oldest = entry;
        if (oldest == entries_.end()) return false;
        remove(oldest);
    }
    return true;
}

void Registrations::remove(Entries::iterator entry) {
    if (entry->second->is_usable) bytes_ -= entry->second->range.size();
    for (Region& region : entry->second->regions) region.reset();
    entries_.erase(entry);
}

void Registrations::range_ended(std::span<std::byte> range) {
    const std::scoped_lock lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        const auto at = entry++;
        if (overlap(at->second->range, range)) remove(at);
    }
}

}  // namespace tenon::rdma
