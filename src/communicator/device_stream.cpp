#include "communicator/device_stream.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "os/clock.hpp"
#include "os/cpu.hpp"

namespace tenon {
namespace {

// Who waits for a device looks often at first, then sleeps between its looks.
class Looks {
public:
    void pause() {
        constexpr std::uint32_t yields = 2000;
        constexpr std::uint64_t shortest_us = 20, longest_us = 500;
        if (++count_ <= yields) return os::yield_core();
        os::sleep_us(std::min(longest_us, shortest_us + (count_ - yields)));
    }

private:
    std::uint32_t count_ = 0;
};

class DevicePoint final : public Point {
public:
    DevicePoint(std::shared_ptr<DeviceStream> stream, std::unique_ptr<device::Event> event)
        : stream_(std::move(stream)), event_(std::move(event)) {}

    Result<bool> reached() const override {
        {
            const std::scoped_lock lock(mutex_);  // not with a stream's
            const auto reached = event_->reached();
            if (!reached || *reached) return reached;
        }
        // Of a stream that does nothing more, no point is reached.
        if (const auto idle = stream_->idle(); !idle) return std::unexpected(idle.error());
        return false;
    }
    Result<void> wait() const override {
        for (Looks looks;; looks.pause()) {
            const auto is_reached = reached();
            if (!is_reached) return std::unexpected(is_reached.error());
            if (*is_reached) return {};
        }
    }
    Result<void> hold_up(device::Stream& later) const {
        const std::scoped_lock lock(mutex_);
        return later.wait(*event_);
    }
    const OpenDevice& device() const { return *stream_->device(); }

private:
    std::shared_ptr<DeviceStream> stream_;
    mutable std::mutex mutex_;
    std::unique_ptr<device::Event> event_;
};

}  // namespace

Result<void> DeviceStream::enqueue(const std::function<Result<void>(device::Stream&)>& work) {
    const std::scoped_lock lock(mutex_);
    return work(*stream_);
}

void DeviceStream::add_user(const std::weak_ptr<User>& user) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(users_, [](const auto& known) { return known.expired(); });
    const bool is_known = std::ranges::any_of(users_, [&](const auto& known) {
        return !known.owner_before(user) && !user.owner_before(known);
    });
    if (!is_known) users_.push_back(user);
}

std::vector<std::shared_ptr<DeviceStream::User>> DeviceStream::users() {
    const std::scoped_lock lock(mutex_);
    std::vector<std::shared_ptr<User>> living;
    for (const auto& known : users_)
        if (auto user = known.lock()) living.push_back(std::move(user));
    return living;
}

// What ended a communicator says more than that its work was given up.
Error DeviceStream::why_failed(const Error& error) {
    const auto all = users();
    const auto first_failed = [&] {
        for (const auto& user : all)
            if (auto failed = user->failed()) return *failed;
        return error;
    };
    const Error why = first_failed();
    for (const auto& user : all) user->stream_failed(*this, why);
    return first_failed();
}

Result<bool> DeviceStream::idle() {
    const auto is_idle = [this]() -> Result<bool> {
        const std::scoped_lock lock(mutex_);
        return stream_->idle();
    }();
    if (!is_idle) return std::unexpected(why_failed(is_idle.error()));
    return is_idle;
}

std::optional<Error> DeviceStream::failure() {
    const std::scoped_lock lock(mutex_);
    const auto idle = stream_->idle();
    return idle ? std::nullopt : std::optional(idle.error());
}

Result<void> DeviceStream::wait_until_idle() {
    for (Looks looks;; looks.pause()) {
        const auto is_idle = idle();
        if (!is_idle) return std::unexpected(is_idle.error());
        if (*is_idle) return {};
    }
}

// A runtime that waits within a copy would hold this stream, and nobody could end what the stream waits for.
Result<void> DeviceStream::copy(void* destination, const void* source, ByteCount bytes) {
    if (device_->device->facts().host_copies_wait)
        for (const void* buffer : {static_cast<const void*>(destination), source}) {
            const auto at = device_->device->locate(buffer);
            if (!at) return std::unexpected(at.error());
            if (at->kind == device::MemoryKind::device) continue;
            if (auto idle = wait_until_idle(); !idle) return idle;
            break;
        }
    return enqueue([&](device::Stream& stream) { return stream.copy(destination, source, bytes); });
}

Result<void> DeviceStream::synchronize() {
    if (auto idle = wait_until_idle(); !idle) return idle;
    Result<void> result;
    for (const auto& user : users())
        if (auto settled = user->settle(*this); !settled && result) result = settled;
    return result;
}

Result<void> DeviceStream::abandon(std::uint64_t timeout_ms) {
    is_abandoned_.store(true, std::memory_order_release);
    const std::scoped_lock lock(mutex_);
    return stream_->abandon(timeout_ms);
}

Result<std::shared_ptr<const Point>> DeviceStream::mark() {
    auto event = device_->device->create_event();
    if (!event) return std::unexpected(event.error());
    auto recorded = enqueue([&](device::Stream& stream) { return stream.record(**event); });
    if (!recorded) return std::unexpected(why_failed(recorded.error()));
    return std::make_shared<const DevicePoint>(shared_from_this(), std::move(*event));
}

Result<void> DeviceStream::wait_for(const Point& point) {
    const auto* const of_device = dynamic_cast<const DevicePoint*>(&point);
    if (of_device == nullptr || of_device->device().provider != device_->provider)
        return fail(Status::invalid_usage,
                    fmt::format("a stream of {} waits for streams of {}s only, not for work of the host: wait for the "
                                "event with tenonEventSynchronize first",
                                device_->name, device_->provider->name()));
    return enqueue([&](device::Stream& stream) { return of_device->hold_up(stream); });
}

}  // namespace tenon
