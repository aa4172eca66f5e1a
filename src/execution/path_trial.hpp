// Learns, for calls of one kind and about one size, which way of moving bytes is quickest on this machine. Non-temporal
// stores to the output won by 2x on one machine and lost by 2x on another; to a slot that a core behind another cache
// reads they won by 5x, and lost by 2x where the cores share one; copies by the kernel win there too. So each way is tried on
// a few calls in a row, so that the caches are as that way leaves them, and the quickest stays.
//
// It changes no bit of any result. Ranks count the same calls, so they try the same at the same time: first how bytes reach
// the peer, then with what each found best for that, how they reach the output. Ranks that end up on different ways wait for
// each other's slower one, so one rank's finding is taken over by the others, at any later call. Not thread-safe.
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

    unsigned number() const { return (streaming_stores ? 1U : 0U) | (streaming_slots ? 2U : 0U) | (kernel_copies ? 4U : 0U); }
    static Path of_number(unsigned n) { return {(n & 1) != 0, (n & 2) != 0, (n & 4) != 0}; }
};

class PathTrial {
public:
    static constexpr std::size_t most_rounds = 12;

    PathTrial() = default;
    // `ways`: what may be tried.
    // `warm_up`: how many calls go before, the first way: slots that nobody has used are quicker than later, in no cache.
    // `rounds`: how many calls each way is tried on; few for calls so long that each is a sound measurement.
    PathTrial(Path ways, std::size_t warm_up, std::size_t rounds)
        : ways_(ways), warm_up_(warm_up), rounds_(std::min(rounds, most_rounds)), streaming_is_next_(ways.streaming_stores) {
        if (ways.streaming_slots) paths_[count_++] = {.streaming_slots = true};
        if (ways.kernel_copies) paths_[count_++] = {.kernel_copies = true};
        if (count_ == 1 && !streaming_is_next_) rounds_ = 0;
    }

    bool decided() const { return calls_ == rounds_ * count_ && !streaming_is_next_; }
    // For the next call.
    Path path() const { return decided() ? best_ : paths_[calls_ / rounds_]; }
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
        if (warm_up_ != 0) {
            warm_up_--;
            return;
        }
        cost_[calls_ / rounds_][calls_ % rounds_] = elapsed_ns * cost_bytes / bytes;
        calls_++;
        if (calls_ != rounds_ * count_) return;
        decide();
        if (!std::exchange(streaming_is_next_, false)) return;
        paths_[count_] = best_;
        paths_[count_++].streaming_stores = true;
    }

    // "staged is quickest; us per 64 KiB: staged 4.20; staged past the caches 10.06", of what is decided.
    std::string explanation() const;

private:
    // The first half of a way's tries find the caches as the way before left them; of the others the lower median counts.
    // A way is taken over an earlier one only if it gains more than one part in so many: less is noise.
    static constexpr std::uint64_t worth_changing = 32;
    void decide() {
        std::uint64_t least = UINT64_MAX;
        for (std::size_t i = 0; i < count_; i++) {
            const auto first = cost_[i].begin() + static_cast<std::ptrdiff_t>(rounds_ / 2);
            const auto last = cost_[i].begin() + static_cast<std::ptrdiff_t>(rounds_);
            const auto middle = first + (last - first - 1) / 2;
            std::nth_element(first, middle, last);
            median_[i] = *middle;
            if (median_[i] < least - least / worth_changing) least = median_[i], best_ = paths_[i];
        }
    }

    Path paths_[4], best_, ways_;
    std::size_t warm_up_ = 0, rounds_ = 0, count_ = 1, calls_ = 0;
    unsigned questions_left_ = 8;
    bool streaming_is_next_ = false;
    static constexpr std::uint64_t cost_bytes = 1 << 16;
    std::array<std::uint64_t, most_rounds> cost_[4] = {};  // nanoseconds for so many bytes
    std::uint64_t median_[4] = {};
};

}  // namespace tenon
