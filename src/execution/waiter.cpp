#include "execution/waiter.hpp"

#include "os/clock.hpp"
#include "os/cpu.hpp"

namespace tenon {
namespace {

constexpr std::uint32_t yields_between_looks_at_the_clock = 32;
constexpr std::uint64_t look_every_ns = 1'000'000;
constexpr std::uint64_t sleep_after_ns = 5'000'000;
constexpr std::uint64_t longest_sleep_us = 1000;

}  // namespace

bool Backoff::pause(Watch& watch) {
    if (++idle_ <= policy_.spins) return false;
    return pause_long(watch);
}

bool Backoff::pause_long(Watch& watch) {
    const std::uint32_t beyond = idle_ - policy_.spins;
    if (beyond == 1) idle_since_ns_ = last_look_ns_ = os::now_ns();
    if (last_look_ns_ - idle_since_ns_ > sleep_after_ns) {
        watch.sleep(longest_sleep_us);
    } else {
        os::yield_core();
        if (beyond % yields_between_looks_at_the_clock != 0) return false;
    }
    const std::uint64_t now = os::now_ns();
    if (now - last_look_ns_ < look_every_ns / 2) return false;
    last_look_ns_ = now;
    return true;
}

}  // namespace tenon
