// How a thread waits for executions: spins briefly, gives up its core, then sleeps, and looks meanwhile at what may end
// the wait early. One Backoff for each thread of work.
#pragma once

#include <cstdint>

#include "tenon/plugin/types.hpp"

namespace tenon {

class Work;

struct WaitPolicy {
    std::uint32_t spins = 2000;        // looks before the core is given up; few where cores are short
    bool cores_short = false;
    std::uint64_t sleep_after_ns = 5'000'000;  // of giving it up again and again
    std::uint64_t longest_sleep_us = 1000;
};

// What a waiting thread looks at beside its messages: aborts, errors of other ranks, death, deadlines.
class Watch {
public:
    virtual ~Watch() = default;
    // An error ends the wait. `waited_ns`: since the run last moved.
    virtual Result<void> look(Work& work, std::uint64_t waited_ns) = 0;
    // Sleeps until something may have changed, at most this long.
    virtual void sleep(std::uint64_t most_us) = 0;
};

// The idle time between two useful moments.
class Backoff {
public:
    explicit Backoff(const WaitPolicy& policy) : policy_(policy) {}
    void reset() { idle_ = 0; }
    // Call after each fruitless look. True when it is time to look at the Watch, about every millisecond.
    bool pause(Watch& watch);
    std::uint64_t waited_ns() const { return last_look_ns_ - idle_since_ns_; }

private:
    bool pause_long(Watch& watch);
    WaitPolicy policy_;
    std::uint32_t idle_ = 0;
    std::uint64_t idle_since_ns_ = 0, last_look_ns_ = 0, now_ns_ = 0;
};

}  // namespace tenon
