#include "execution/waiter.hpp"

#include "os/clock.hpp"
#include "os/cpu.hpp"

namespace tenon {
namespace {

constexpr std::uint32_t yields_between_looks_at_the_clock = 32;
constexpr std::uint64_t look_every_ns = 1'000'000;

}  // namespace

bool Backoff::pause(Watch& watch) {
    if (++idle_ <= policy_.spins) return false;
    return pause_long(watch);
}

bool Backoff::pause_long(Watch& watch) {
    const std::uint32_t beyond = idle_ - policy_.spins;
    if (beyond == 1) idle_since_ns_ = last_look_ns_ = now_ns_ = os::now_ns();
    const bool sleeps = now_ns_ - idle_since_ns_ > policy_.sleep_after_ns;
    if (sleeps) {
        watch.sleep(policy_.longest_sleep_us);
    } else {
        os::yield_core();
        if (beyond % yields_between_looks_at_the_clock != 0) return false;
    }
    now_ns_ = os::now_ns();
    if (now_ns_ - last_look_ns_ < look_every_ns / 2) return false;
    last_look_ns_ = now_ns_;
    return true;
}

}  // namespace tenon
