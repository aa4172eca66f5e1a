// Which messages of a channel have come, where they may in any order: each number once, and none further ahead of the
// first that is missing than there is room for messages.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>

#include "tenon/plugin/slots.hpp"

namespace tenon {

class NumberWindow {
public:
    // More than can be under way: each message takes a line or a slot.
    static constexpr std::uint64_t size = 256;
    static_assert(packed_lines + 2 * most_slots < size);

    explicit NumberWindow(std::uint64_t next) : next_(next) {}
    // The whole number, of which the low half came; nothing where it may not come (any more).
    std::optional<std::uint64_t> take(std::uint32_t low) {
        const std::uint64_t number = next_ + static_cast<std::uint32_t>(low - static_cast<std::uint32_t>(next_));
        if (number - next_ >= size || came_[number % size]) return std::nullopt;
        came_[number % size] = true;
        for (; came_[next_ % size]; next_++) came_[next_ % size] = false;
        return number;
    }

private:
    std::uint64_t next_;  // the first that has not come
    std::bitset<size> came_;
};

}  // namespace tenon
