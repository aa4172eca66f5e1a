#include "os/clock.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>

namespace tenon::os {
namespace {
constexpr std::uint64_t ns_per_ms = 1'000'000;
}

std::uint64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

Deadline Deadline::after_ms(std::uint64_t milliseconds) { return at_ns(now_ns()).later_by_ms(milliseconds); }

Deadline Deadline::later_by_ms(std::uint64_t milliseconds) const {
    Deadline later = *this;
    const bool fits = milliseconds <= (never().time_ns_ - time_ns_) / ns_per_ms;
    later.time_ns_ = fits ? time_ns_ + milliseconds * ns_per_ms : never().time_ns_;
    return later;
}

std::uint64_t Deadline::remaining_ms() const {
    const std::uint64_t now = now_ns();
    if (now >= time_ns_) return 0;
    const std::uint64_t left_ns = time_ns_ - now;
    return left_ns / ns_per_ms + (left_ns % ns_per_ms != 0);
}

int Deadline::slice_ms(int most_ms) const {
    return static_cast<int>(std::min<std::uint64_t>(remaining_ms(), static_cast<std::uint64_t>(most_ms)));
}

Result<void> Deadline::check(std::string_view waited_for) const {
    if (aborted()) return fail(Status::aborted, fmt::format("aborted while waiting for {}", waited_for));
    if (passed()) return fail(Status::timeout, fmt::format("the deadline passed while waiting for {}", waited_for));
    return {};
}

void sleep_ms(int milliseconds) { sleep_us(static_cast<std::uint64_t>(milliseconds) * 1000); }

void sleep_us(std::uint64_t microseconds) {
    constexpr std::uint64_t us_per_s = 1'000'000;
    const timespec length{static_cast<time_t>(microseconds / us_per_s),
                          static_cast<long>(microseconds % us_per_s * 1000)};
    nanosleep(&length, nullptr);
}

}  // namespace tenon::os
