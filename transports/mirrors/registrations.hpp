// Memory of the program that a network has registered, so that peers may write there: ranges whose end the library
// knows, when they are first used, and until they end, or others need their room more.
//
// A range is registered whole, once. What is in use stays; beyond the bounds the one that was used longest ago goes,
// and where none can, what is asked for is not registered: such messages go another way. What registering a range makes
// is a Handle, which undoes it when it is destroyed.
//
// Threads: ranges end by any thread, and so handles are destroyed by any; find() may be called by any as well.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "base/log.hpp"
#include "tenon/plugin/network.hpp"

namespace tenon {

template <class Handle>
class Registrations {
public:
    struct Entry {
        std::span<std::byte> range;
        std::optional<Handle> handle{};  // nothing: it cannot be registered, or is not any longer
        std::uint64_t last_used = 0;
    };
    // A range that is in use while somebody holds it; its handle is there until it ends.
    using InUse = std::shared_ptr<const Entry>;
    using Register = std::function<Result<Handle>(std::span<std::byte> range)>;
    struct Bounds {
        std::uint64_t bytes = 0;
        std::size_t ranges = 256;
    };
    // `known` is null where no memory is.
    Registrations(Register make, std::shared_ptr<KnownMemory> known, Bounds bounds)
        : make_(std::move(make)), known_(bounds.bytes != 0 ? std::move(known) : nullptr), bounds_(bounds) {
        if (known_ != nullptr)
            tells_ends_ = known_->tell_ends([this](std::span<std::byte> range) { range_ended(range); });
    }

    // The range that these bytes lie in; registers it where it has to. Null where it cannot be, or is not known.
    InUse find(const void* bytes, std::size_t length) {
        if (known_ == nullptr) return nullptr;
        {
            const std::scoped_lock lock(mutex_);
            if (const auto entry = at(bytes, length); entry != entries_.end()) {
                entry->second->last_used = ++uses_;
                return entry->second->handle ? entry->second : nullptr;
            }
        }
        // Not under the lock: who ends a range holds what this asks for.
        const auto range = known_->range_of(bytes, length);
        if (!range) return nullptr;
        const std::scoped_lock lock(mutex_);
        return add(*range);
    }

private:
    using Entries = std::map<std::uintptr_t, std::shared_ptr<Entry>>;  // by their first byte

    static std::uintptr_t first_of(std::span<const std::byte> range) {
        return reinterpret_cast<std::uintptr_t>(range.data());
    }

    // Of ranges that overlap, the one that begins last may be too short: then the bytes are looked for among what is
    // known.
    typename Entries::iterator at(const void* bytes, std::size_t length) {
        auto entry = entries_.upper_bound(reinterpret_cast<std::uintptr_t>(bytes));
        if (entry == entries_.begin()) return entries_.end();
        --entry;
        return lies_in(entry->second->range, bytes, length) ? entry : entries_.end();
    }

    // What cannot be registered is remembered, too, so that not every message tries.
    InUse add(std::span<std::byte> range) {
        if (const auto same = entries_.find(first_of(range)); same != entries_.end()) {
            if (same->second.use_count() > 1) return nullptr;
            remove(same);
        }
        auto made = std::make_shared<Entry>(Entry{.range = range, .last_used = ++uses_});
        const bool fits = range.size() <= bounds_.bytes;
        if (!make_room(fits ? range.size() : 0)) return nullptr;
        if (fits) {
            if (auto handle = make_(range)) {
                made->handle.emplace(std::move(*handle));
                bytes_ += range.size();
            } else if (!has_warned_) {
                has_warned_ = true;
                log(LogLevel::warning, "{}; large messages there are copied", handle.error().message);
            }
        }
        entries_[first_of(range)] = made;
        return made->handle ? made : nullptr;
    }

    // For one more of so many bytes.
    bool make_room(std::uint64_t bytes) {
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

    void remove(typename Entries::iterator entry) {
        if (entry->second->handle) bytes_ -= entry->second->range.size();
        entry->second->handle.reset();
        entries_.erase(entry);
    }

    void range_ended(std::span<std::byte> range) {
        const auto overlap = [range](std::span<const std::byte> other) {
            return range.data() < other.data() + other.size() && other.data() < range.data() + range.size();
        };
        const std::scoped_lock lock(mutex_);
        for (auto entry = entries_.begin(); entry != entries_.end();) {
            const auto at = entry++;
            if (overlap(at->second->range)) remove(at);
        }
    }

    Register make_;
    std::shared_ptr<KnownMemory> known_;
    Bounds bounds_;
    std::mutex mutex_;
    Entries entries_;
    std::uint64_t bytes_ = 0, uses_ = 0;
    bool has_warned_ = false;
    std::shared_ptr<void> tells_ends_;  // last: nobody is told of an end any more when the rest goes
};

}  // namespace tenon
