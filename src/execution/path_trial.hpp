// Learns, for one class of calls, which way of moving bytes is quickest on this machine: non-temporal stores to the
// output won by 2x on one machine and lost by 2x on another, and copies by the kernel win where cores share no cache. So
// each way is tried on a few calls in a row, so that the caches are as that way leaves them, and the quickest stays.
//
// It changes no bit of any result. Ranks count the same calls, so they try the same way at the same time; what each then
// keeps is its own. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tenon {

struct Path {
    bool streaming_stores = false;  // to the output
    bool kernel_copies = false;     // of memory that cannot be mapped
};

class PathTrial {
public:
    static constexpr std::size_t most_rounds = 12;

    PathTrial() = default;
    // `warm_up`: how many calls go before, the first way: slots that nobody has used are quicker than later, in no cache.
    // `rounds`: how many calls each way is tried on; few for calls so long that each is a sound measurement.
    PathTrial(bool try_streaming, bool try_kernel_copies, std::size_t warm_up, std::size_t rounds)
        : warm_up_(warm_up), rounds_(std::min(rounds, most_rounds)) {
        if (try_streaming) paths_[count_++] = {.streaming_stores = true};
        if (try_kernel_copies) paths_[count_++] = {.kernel_copies = true};
        if (try_streaming && try_kernel_copies) paths_[count_++] = {.streaming_stores = true, .kernel_copies = true};
    }

    bool decided() const { return calls_ >= rounds_ * count_ || count_ == 1; }
    // For the next call.
    Path path() const { return paths_[decided() ? best_ : calls_ / rounds_]; }
    void took(std::uint64_t elapsed_ns) {
        if (warm_up_ != 0) {
            warm_up_--;
            return;
        }
        elapsed_ns_[calls_ / rounds_][calls_ % rounds_] = elapsed_ns;
        calls_++;
        if (decided()) decide();
    }

private:
    // The first half of a way's tries find the caches as the way before left them; of the others the lower median counts.
    // A way is taken over an earlier one only if it gains more than one part in so many: less is noise.
    static constexpr std::uint64_t worth_changing = 32;
    void decide() {
        std::uint64_t least_ns = UINT64_MAX;
        for (std::size_t i = 0; i < count_; i++) {
            const auto first = elapsed_ns_[i].begin() + static_cast<std::ptrdiff_t>(rounds_ / 2);
            const auto last = elapsed_ns_[i].begin() + static_cast<std::ptrdiff_t>(rounds_);
            const auto middle = first + (last - first - 1) / 2;
            std::nth_element(first, middle, last);
            if (*middle < least_ns - least_ns / worth_changing) least_ns = *middle, best_ = i;
        }
    }

    Path paths_[4];
    std::size_t warm_up_ = 0, rounds_ = 1, count_ = 1, calls_ = 0, best_ = 0;
    std::array<std::uint64_t, most_rounds> elapsed_ns_[4] = {};
};

}  // namespace tenon
