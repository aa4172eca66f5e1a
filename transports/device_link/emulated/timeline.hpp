// When a link is busy, in virtual time: transfers over it serialise.
//
// Streams come here in the order in which their threads happen to run, which is not the order of virtual time. So a
// transfer takes the first gap that is long enough, not the end of the queue. Lies in memory that processes share; any
// thread of any of them may call.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace tenon::emulated {

// A lock in shared memory, for a few instructions at a time.
class SharedLock {
public:
    void lock();
    void unlock();

private:
    std::atomic<std::uint32_t> state_{0};  // 0 free, 1 held, 2 held and awaited
};

class Timeline {
public:
    // The first time from `earliest_ns` on at which the link is free for so long; it is busy then.
    std::uint64_t reserve(std::uint64_t earliest_ns, std::uint64_t duration_ns);

private:
    struct Interval {
        std::uint64_t begin_ns = 0, end_ns = 0;
    };
    void insert(std::size_t at, Interval busy);

    SharedLock lock_;
    std::uint64_t forgotten_ns_ = 0;  // what was busy before is no longer known: nothing is reserved there
    std::size_t count_ = 0;
    std::array<Interval, 128> busy_{};  // in order, apart from each other
};

}  // namespace tenon::emulated
