// What the fuzzers of networks do as a rank: sends and takes messages whose bytes follow from their number, on ends of
// small rings.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

#include "base/assert.hpp"
#include "tenon/plugin/slots.hpp"
#include "tests/support/sending.hpp"

namespace tenon::fuzz {

inline constexpr RingShape small_shape{.slots = 4, .slot_bytes = 4 << 10, .area_bytes = 5 * (4 << 10),
                                       .medium_slots = 4, .medium_bytes = 1 << 10};
inline constexpr std::uint32_t signature = 77;
inline constexpr std::array<std::size_t, 9> lengths{0, 1, 56, 57, 560, 561, 1024, 1025, 4096};

// Of every fourth, half are zeros; every eighth has no others.
inline std::vector<std::byte> bytes_of(std::size_t length, std::uint64_t salt) {
    std::vector<std::byte> bytes(length);
    const std::size_t used = salt % 8 == 7 ? 0 : salt % 4 == 3 ? length / 2 : length;
    for (std::size_t i = 0; i < used; i++) bytes[i] = static_cast<std::byte>(i * 31 + i / 251 + salt * 7 + 1);
    return bytes;
}

// False where there is no credit.
inline bool try_send(SendEnd& end, const std::vector<std::byte>& bytes) {
    return tenon::try_send(end, bytes, signature);
}

// The next message, which has this length where the sender is honest; nothing while it is not there. What was put where
// the receiver offered is taken from there.
inline std::optional<std::vector<std::byte>> try_take(ReceiveEnd& end, std::size_t length, const std::byte* offered) {
    std::vector<std::byte> bytes(length);
    if (length <= packed_bytes) {
        if (end.packed_arrival(length, signature) != Arrival::here) return std::nullopt;
        end.take_packed(bytes.data(), length);
        return bytes;
    }
    const Row row = end.row_of(length);
    if (end.bulk_arrival(row, signature) != Arrival::here) return std::nullopt;
    const Header& header = end.header(row);
    TENON_ASSERT(header.length <= small_shape.slot_bytes, "no message is longer than a slot");
    TENON_ASSERT(header.form == MessageForm::staged || (header.form == MessageForm::put && offered != nullptr),
                 "bulk messages are staged here or where they were offered a place");
    const std::byte* const from = header.form == MessageForm::put ? offered : end.payload(row);
    bytes.assign(from, from + header.length);
    end.release_bulk(row, true);
    return bytes;
}

}  // namespace tenon::fuzz
