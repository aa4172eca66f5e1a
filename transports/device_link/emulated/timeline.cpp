#include "transports/device_link/emulated/timeline.hpp"

#include <algorithm>
#include <mutex>

#include "os/futex.hpp"

namespace tenon::emulated {

void SharedLock::lock() {
    std::uint32_t free = 0;
    if (state_.compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
    constexpr std::uint64_t look_again_us = 10'000;
    while (state_.exchange(2, std::memory_order_acquire) != 0) os::futex_wait(state_, 2, look_again_us);
}

void SharedLock::unlock() {
    if (state_.exchange(0, std::memory_order_release) == 2) os::futex_wake(state_, 1);
}

std::uint64_t Timeline::reserve(std::uint64_t earliest_ns, std::uint64_t duration_ns) {
    const std::scoped_lock held{lock_};
    std::uint64_t begin = std::max(earliest_ns, forgotten_ns_);
    std::size_t at = 0;
    for (; at < count_ && busy_[at].begin_ns < begin + duration_ns; at++) begin = std::max(begin, busy_[at].end_ns);
    if (duration_ns != 0) insert(at, {begin, begin + duration_ns});
    return begin;
}

void Timeline::insert(std::size_t at, Interval busy) {
    const bool joins_before = at > 0 && busy_[at - 1].end_ns == busy.begin_ns;
    const bool joins_after = at < count_ && busy.end_ns == busy_[at].begin_ns;
    if (joins_before && joins_after) {
        busy_[at - 1].end_ns = busy_[at].end_ns;
        std::move(busy_.begin() + at + 1, busy_.begin() + count_, busy_.begin() + at);
        count_--;
    } else if (joins_before) {
        busy_[at - 1].end_ns = busy.end_ns;
    } else if (joins_after) {
        busy_[at].begin_ns = busy.begin_ns;
    } else {
        if (count_ == busy_.size()) {
            forgotten_ns_ = busy_[0].end_ns;
            if (at == 0) {
                forgotten_ns_ = std::max(forgotten_ns_, busy.end_ns);
                return;
            }
            std::move(busy_.begin() + 1, busy_.begin() + count_, busy_.begin());
            count_--;
            at--;
        }
        std::move_backward(busy_.begin() + at, busy_.begin() + count_, busy_.begin() + count_ + 1);
        busy_[at] = busy;
        count_++;
    }
}

}  // namespace tenon::emulated
