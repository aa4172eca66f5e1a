// What mirrors tell each other: frames, each a head and, for a message, its bytes. Both hosts are of one kind (the
// handshake's version says so), so numbers travel in their own byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace tenon {

// What the length of a packed message's data is a multiple of. What is left out is zeros, and lies in the last line.
inline constexpr std::size_t frame_grain = 8;

enum class FrameKind : std::uint16_t {
    packed = 1,   // packed lines' data, without zeros at its end
    medium = 2,   // a message of the medium row
    large = 3,    // of the large one
    credit = 4,   // nothing but what has been taken
    goodbye = 5,  // the sender sends nothing more
    striped = 6,  // a message of the large row, by whichever of several sockets was free (tcp)
    sockets = 7,  // how many of these the sender would have, as `number` (tcp)
    knock = 8,    // nothing: only the receiver's system is meant to acknowledge it (tcp)
};

struct FrameHead {
    FrameKind kind{};
    std::uint16_t channel = 0;
    std::uint32_t signature = 0;  // the low half of the message's word,
    std::uint32_t number = 0;     // and the high one
    std::uint32_t length = 0;     // of the bytes that follow
    // Of the channel's other direction: packed lines, medium and large messages. In a striped frame the first says
    // which of the channel's large messages it is, from 0.
    std::uint64_t taken[3] = {};
};
static_assert(std::is_trivially_copyable_v<FrameHead> && std::has_unique_object_representations_v<FrameHead>);

}  // namespace tenon
