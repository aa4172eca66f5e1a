// Learns, for calls of one kind and about one size, which way of moving bytes is quickest on this machine. Non-temporal
// stores to the output won by 2x on one machine and lost by 2x on another; to a slot that a core behind another cache
// reads they won by 5x, and lost by 2x where the cores share one; copies by the kernel win there too. So each way is
// tried on a few calls in a row, so that the caches are as that way leaves them, and the quickest stays.
//
// It changes no bit of any result. Ranks count the same calls, so they try the same at the same time: first how bytes
// reach the peer, then with what each found best for that, how they reach the output. Ranks that end up on different
// ways wait for each other's slower one, so one rank's finding is taken over by the others, at any later call. Machines
// change while a job runs: two cores of a virtual one shared a cache at one time, and not a second later, and a process
// is slow in its first tenth of a second. So all is tried again, soon at first and then after so many calls that the
// tries cost about one part in a hundred. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/assert.hpp"

namespace tenon {

struct Path {
    bool streaming_stores = false;  // to the output
    bool streaming_slots = false;   // to the slots that the peer reads
    bool kernel_copies = false;     // of memory that cannot be mapped
    friend bool operator==(const Path&, const Path&) = default;

    unsigned number() const {
        return (streaming_stores ? 1U : 0U) | (streaming_slots ? 2U : 0U) | (kernel_copies ? 4U : 0U);
    }
    static Path of_number(unsigned n) { return {(n & 1) != 0, (n & 2) != 0, (n & 4) != 0}; }
};

class PathTrial {
public:
    static constexpr std::size_t most_counted = 6;
    // How many calls a trial takes: `warm_up` go before, the first way: slots that nobody has used are quicker than
    // later, in no cache. Then each way has `uncounted` ones, until the slots' memory is where that way leaves it, and
    // up to most_counted that count; few for calls so long that each is a sound measurement. When it first begins
    // again, there have been `apart` calls for each try.
    struct Tries {
        std::size_t warm_up = 0, uncounted = 0, counted = 1;
        std::uint64_t apart = 4;
    };

    PathTrial() = default;
    // `ways`: what may be tried.
    PathTrial(Path ways, Tries tries)
        : ways_(ways), tries_(tries), calls_per_try_(tries.apart), streaming_is_next_(ways.streaming_stores) {
        TENON_ASSERT(tries.counted != 0 && tries.counted <= most_counted, "a way that no call tries");
        if (ways.streaming_slots) paths_[count_++] = {.streaming_slots = true};
        if (ways.kernel_copies) paths_[count_++] = {.kernel_copies = true};
        if (ways != Path{}) way_ = 0;
        calls_left_ = calls_between();
    }

    // A call is about to run.
    void next_call() {
        if (!next_call_as_found() && decided() && ways_ != Path{}) begin_again();
    }
    // The same, but nothing happens, and it is false, where the call would be a try.
    bool next_call_as_found() { return decided() && calls_left_ != 0 && calls_left_-- != 0; }
    // How often it has begun: what was found before counts no longer.
    std::uint32_t beginnings() const { return beginnings_; }
    // What was decided last differs from what was found before.
    bool changed() const { return beginnings_ == 1 || best_ != before_; }

    bool decided() const { return way_ == count_; }
    // For the next call.
    Path path() const { return decided() ? best_ : paths_[way_]; }
    // What another rank found counts, from now on, unless it is something that this one may not try.
    void adopt(const Path& path) {
        if ((path.number() & ~ways_.number()) == 0) best_ = path;
    }
    // Counts one more question for another rank's finding; false before there can be one, and after so many in vain: it
    // may have been lost.
    bool asks_others() { return decided() && questions_left_ != 0 && questions_left_-- != 0; }
    // The call just run, which was of `bytes`.
    void took(std::uint64_t elapsed_ns, std::uint64_t bytes) {
        TENON_ASSERT(!decided(), "only calls that try a way are measured");
        if (tries_.warm_up != 0) {
            tries_.warm_up--;
            return;
        }
        if (call_ >= tries_.uncounted) cost_[way_][call_ - tries_.uncounted] = elapsed_ns * cost_bytes / bytes;
        if (++call_ < tries_.uncounted + tries_.counted) return;
        call_ = 0;
        if (++way_ < count_) return;
        decide();
        if (!std::exchange(streaming_is_next_, false)) return;
        paths_[count_] = best_;
        paths_[count_++].streaming_stores = true;
    }

    // "staged is quickest; us per 64 KiB: staged 4.20; staged past the caches 10.06", of what is decided.
    std::string explanation() const;

private:
    static constexpr std::uint64_t most_calls_per_try = 160;
    std::uint64_t calls_between() const {
        return calls_per_try_ * (tries_.uncounted + tries_.counted) * (count_ + (streaming_is_next_ ? 1 : 0));
    }

    void begin_again() {
        if (ways_.streaming_stores) count_--;  // the way with what was best is there again
        streaming_is_next_ = ways_.streaming_stores;
        way_ = 0;
        calls_per_try_ = std::min(2 * calls_per_try_, most_calls_per_try);
        calls_left_ = calls_between();
        questions_left_ = most_questions;
        before_ = best_;
        beginnings_++;
    }

    // Of a way's tries the lower median counts. A way is taken over an earlier one, and over what was found before,
    // only if it gains more than one part in so many: less is noise.
    static constexpr std::uint64_t worth_changing = 32;
    bool gains(std::size_t way, std::size_t over) const {
        return median_[way] < median_[over] - median_[over] / worth_changing;
    }
    void decide() {
        std::size_t best = 0;
        for (std::size_t i = 0; i < count_; i++) {
            const auto first = cost_[i].begin(), last = first + static_cast<std::ptrdiff_t>(tries_.counted);
            const auto middle = first + (last - first - 1) / 2;
            std::nth_element(first, middle, last);
            median_[i] = *middle;
            if (gains(i, best)) best = i;
        }
        for (std::size_t i = 0; beginnings_ > 1 && i < count_; i++)
            if (paths_[i] == before_ && !gains(best, i)) best = i;
        best_ = paths_[best];
    }

    // The root of a broadcast may be many calls ahead of who tells it.
    static constexpr unsigned most_questions = 256;
    static constexpr std::size_t most_ways = 4;

    Path paths_[most_ways], best_, before_, ways_;
    Tries tries_;
    std::size_t way_ = 1, count_ = 1, call_ = 0;
    std::uint64_t calls_per_try_ = 1, calls_left_ = 0;
    std::uint32_t beginnings_ = 1;
    unsigned questions_left_ = most_questions;
    bool streaming_is_next_ = false;
    static constexpr std::uint64_t cost_bytes = 1 << 16;
    std::array<std::uint64_t, most_counted> cost_[most_ways] = {};  // nanoseconds for so many bytes
    std::uint64_t median_[most_ways] = {};
};

}  // namespace tenon
