// Learns, for one class of calls, which way of moving bytes is quickest on this machine: non-temporal stores to the
// output won by 2x on one machine and lost by 2x on another, and copies by the kernel win for some sizes only. So each
// way is tried on the calls themselves, in turn, and the quickest stays.
//
// It changes no bit of any result. Ranks count the same calls, so they try the same way at the same time; what each then
// keeps is its own. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace tenon {

struct Path {
    bool streaming_stores = false;  // to the output
    bool kernel_copies = false;     // of memory that cannot be mapped
};

class PathTrial {
public:
    PathTrial() = default;
    PathTrial(bool try_streaming, bool try_kernel_copies) {
        if (try_streaming) paths_[count_++] = {.streaming_stores = true};
        if (try_kernel_copies) paths_[count_++] = {.kernel_copies = true};
    }

    bool decided() const { return calls_ >= tries_each * count_ || count_ == 1; }
    // For the next call.
    Path path() const { return paths_[decided() ? best_ : calls_ % count_]; }
    void took(std::uint64_t elapsed_ns) {
        const std::size_t tried = calls_++ % count_;
        if (calls_ <= count_) return;  // the first round touches memory for the first time
        if (elapsed_ns < least_ns_[tried]) least_ns_[tried] = elapsed_ns;
        if (least_ns_[tried] < least_ns_[best_]) best_ = tried;
    }

private:
    static constexpr std::size_t tries_each = 4;
    static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
    Path paths_[3];
    std::size_t count_ = 1, calls_ = 0, best_ = 0;
    std::uint64_t least_ns_[3] = {never, never, never};
};

}  // namespace tenon
