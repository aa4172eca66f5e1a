// Learns, for one class of calls, whether non-temporal stores to the output pay on this machine: they won by 2x on one
// machine and lost by 2x on another, and which depends on the path, so it is tried on the calls themselves.
//
// The first calls alternate; then the better stays. It changes no bit of any result. Not thread-safe.
#pragma once

#include <cstdint>
#include <limits>

namespace tenon {

class StreamingTrial {
public:
    bool decided() const { return calls_ >= warm_up_calls + 2 * tries_each; }
    // For the next call.
    bool streaming() const { return decided() ? best_ns_[1] < best_ns_[0] : (calls_ & 1) != 0; }
    void took(bool streaming, std::uint64_t elapsed_ns) {
        if (calls_++ < warm_up_calls) return;
        if (elapsed_ns < best_ns_[streaming]) best_ns_[streaming] = elapsed_ns;
    }

private:
    static constexpr std::uint32_t warm_up_calls = 2, tries_each = 3;
    std::uint32_t calls_ = 0;
    std::uint64_t best_ns_[2] = {std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max()};
};

}  // namespace tenon
