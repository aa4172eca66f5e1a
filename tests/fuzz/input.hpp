// The bytes of one run of a fuzzer, read as choices; zeros when they have come to their end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tenon::fuzz {

class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(std::as_bytes(std::span{data, size})) {}

    bool ended() const { return rest_.empty(); }
    std::uint8_t byte() { return value<std::uint8_t>(); }
    // One of [0, count).
    std::size_t below(std::size_t count) { return byte() % count; }
    template <class T>
    T value() {
        T read{};
        const auto came = bytes(sizeof(T));
        std::memcpy(&read, came.data(), came.size());
        return read;
    }
    // As many as there are, at most so many.
    std::span<const std::byte> bytes(std::size_t most) {
        const auto first = rest_.first(std::min(most, rest_.size()));
        rest_ = rest_.subspan(first.size());
        return first;
    }

private:
    std::span<const std::byte> rest_;
};

}  // namespace tenon::fuzz
