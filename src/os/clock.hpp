// The monotonic clock, and the Deadline that every wait in Tenon takes.
//
// A Deadline says until when to wait, and, if the caller gave one, which flag ends the wait sooner. Waits look at the
// flag at least every `abort_check_ms`. Deadlines are values: copy them freely; the flag must outlive the wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <string_view>

#include "tenon/plugin/types.hpp"

namespace tenon::os {

inline constexpr int abort_check_ms = 50;

std::uint64_t now_ns();  // monotonic; the same clock in every process of this host

class Deadline {
public:
    static Deadline never() { return Deadline{std::numeric_limits<std::uint64_t>::max()}; }
    static Deadline at_ns(std::uint64_t time_ns) { return Deadline{time_ns}; }
    static Deadline after_ms(std::uint64_t milliseconds);

    Deadline or_abort(const std::atomic<bool>& flag) const {
        Deadline with_flag = *this;
        with_flag.abort_ = &flag;
        return with_flag;
    }

    Deadline later_by_ms(std::uint64_t milliseconds) const;

    bool passed() const { return now_ns() >= time_ns_; }
    bool aborted() const { return abort_ != nullptr && abort_->load(std::memory_order_acquire); }
    std::uint64_t time_ns() const { return time_ns_; }
    std::uint64_t remaining_ms() const;  // rounded up; 0 when passed
    // How long one system call may block before the deadline and the flag are looked at again; at most `most_ms`.
    int slice_ms(int most_ms = abort_check_ms) const;
    // An error when the wait must end: Status::aborted or Status::timeout, saying what was waited for.
    Result<void> check(std::string_view waited_for) const;

private:
    explicit Deadline(std::uint64_t time_ns) : time_ns_{time_ns} {}
    std::uint64_t time_ns_;
    const std::atomic<bool>* abort_ = nullptr;
};

void sleep_ms(int milliseconds);
void sleep_us(std::uint64_t microseconds);

}  // namespace tenon::os
