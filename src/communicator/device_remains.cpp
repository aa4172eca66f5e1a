#include "communicator/device_remains.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/log.hpp"
#include "os/clock.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t others_leave_within_ms = 1000;

// Kept on the heap until the process ends: devices' libraries may end before static objects do.
struct Kept {
    std::mutex mutex;
    std::vector<DeviceRemains> all;
};
Kept& kept() {
    static auto* const every = new Kept;
    return *every;
}

void close(DeviceRemains remains) {
    remains.tell_others();
    if (const auto closed = remains.links->close_own(); !closed)
        log(LogLevel::warning, "the memory that other ranks had of {}: {}", remains.device->name,
            closed.error().message);
    remains.links.reset();
}

}  // namespace

void close_what_is_left() {
    std::vector<DeviceRemains> left;
    {
        const std::scoped_lock lock(kept().mutex);
        const auto first = std::ranges::partition(kept().all, [](const auto& each) { return !each.all_have_left(); });
        std::ranges::move(first, std::back_inserter(left));
        kept().all.erase(first.begin(), first.end());
    }
    for (DeviceRemains& each : left) close(std::move(each));
}

void close_when_left(DeviceRemains remains, bool others_are_elsewhere) {
    const os::Deadline deadline = os::Deadline::after_ms(others_are_elsewhere ? others_leave_within_ms : 0);
    while (!remains.all_have_left()) {
        if (!deadline.passed()) {
            os::sleep_us(200);
            continue;
        }
        const std::scoped_lock lock(kept().mutex);
        kept().all.push_back(std::move(remains));
        return;
    }
    close(std::move(remains));
    close_what_is_left();
}

}  // namespace tenon
