// The memory for slots that a rank may have in a communicator: one budget for all that joins it to others, be it shared
// memory or networks. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace tenon {

class SlotBudget {
public:
    explicit SlotBudget(std::uint64_t cap_bytes) : cap_bytes_(cap_bytes) {}

    // False, with nothing taken, where it would be more than the cap. What is taken stays taken.
    bool take(std::uint64_t bytes) {
        std::uint64_t taken = taken_bytes_.load(std::memory_order_relaxed);
        do {
            if (bytes > cap_bytes_ - taken) return false;
        } while (!taken_bytes_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed));
        return true;
    }
    std::uint64_t cap_bytes() const { return cap_bytes_; }

private:
    const std::uint64_t cap_bytes_;
    std::atomic<std::uint64_t> taken_bytes_ = 0;
};

}  // namespace tenon
