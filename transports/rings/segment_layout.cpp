#include "transports/rings/segment_layout.hpp"

#include <algorithm>
#include <bit>
#include <iterator>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t large_slots = 8, medium_slots = 4, least_board_medium_slots = 32, most_board_medium_slots = 128;
static_assert(large_slots <= most_slots);
constexpr std::uint64_t most_large_bytes = 64 << 10, most_large_bytes_of_few = 128 << 10, few_ranks = 2;
constexpr std::uint64_t most_medium_bytes = 4 << 10, most_medium_bytes_of_few = 8 << 10, least_slot_bytes = 1 << 10;
constexpr std::uint64_t several_from = 4 << 10;  // fewer than four slots hold less
// The areas of large messages: larger than a core's own caches where few ranks share the host, but, as long as one
// holds its slots, all of them together not larger than what cores share.
constexpr std::uint64_t most_area_bytes = 2 << 20, all_areas_bytes = 8 << 20;

// A slot such that `count` of them take about this share of a ring.
std::uint64_t slot_of(std::uint64_t share, std::uint64_t count, std::uint64_t most_bytes) {
    return std::clamp(std::bit_floor(std::max<std::uint64_t>(share / count, 1)), least_slot_bytes, most_bytes);
}

// For one of `rings`, of which each may take `share`.
std::uint64_t area_of(std::uint64_t rings, std::uint64_t share, std::uint64_t slot_bytes) {
    const std::uint64_t wanted =
        std::min({most_area_bytes, all_areas_bytes / std::max<std::uint64_t>(rings, 1), share / 2});
    return std::max(wanted, (large_slots + 1) * slot_bytes);
}

// Only for packed messages: no tile is longer, so that its slot is never used.
RingShape packed_ring(std::uint64_t alignment) {
    RingShape shape = small_ring(1, packed_bytes, alignment);
    shape.area_bytes = cache_line_bytes;
    return shape;
}

std::uint64_t whole_pages(std::uint64_t bytes) { return (bytes + 4095) & ~std::uint64_t{4095}; }

}  // namespace

RingShape small_ring(std::uint64_t slots, std::uint64_t slot_bytes, std::uint64_t alignment) {
    return {.lines = least_packed_lines, .slots = slots, .slot_bytes = slot_bytes, .area_bytes = slots * slot_bytes,
            .medium_slots = 1, .medium_bytes = 0, .readers = 1, .reuses_lowest = true, .alignment = alignment};
}

RingShape ring_within(std::uint64_t bytes, std::uint64_t most_slot_bytes, std::uint64_t alignment) {
    for (std::uint64_t slot_bytes = most_slot_bytes; slot_bytes >= least_slot_bytes; slot_bytes /= 2)
        for (const std::uint64_t slots : {8U, 4U, 2U})
            if (const RingShape ring = small_ring(slots, slot_bytes, alignment);
                ring.bytes() <= bytes && (slots > 2 || slot_bytes < several_from))
                return ring;
    return packed_ring(alignment);
}

SegmentLayout SegmentLayout::of(Rank rank_count, std::uint64_t slot_memory_bytes, std::uint64_t control_bytes) {
    SegmentLayout l;
    const auto ranks = static_cast<std::uint64_t>(rank_count);
    // A ring's share of the cap: half goes to the large messages, an eighth to the medium ones.
    const std::uint64_t share = slot_memory_bytes / (usual_channels * ranks);
    l.rank_count_ = rank_count;
    l.channels_ = rank_count <= 64 ? max_channels : Channel{8};
    l.control_bytes_ = whole_pages(control_bytes);
    const bool few = ranks <= few_ranks;
    l.usual_ = {.slots = large_slots,
                .slot_bytes = slot_of(share / 2, large_slots + 1, few ? most_large_bytes_of_few : most_large_bytes),
                .medium_slots = medium_slots,
                .medium_bytes = slot_of(share / 8, least_board_medium_slots,
                                        few ? most_medium_bytes_of_few : most_medium_bytes),
                .readers = 1,
                .reuses_lowest = !few};
    l.further_ = l.board_ = l.usual_;
    l.usual_.area_bytes = area_of(ranks * (ranks - 1), share, l.usual_.slot_bytes);
    l.further_.area_bytes = (large_slots + 1) * l.further_.slot_bytes;
    l.board_.readers = ranks;
    l.board_.medium_slots = std::clamp(std::bit_floor(share / 4 / l.board_.medium_bytes), least_board_medium_slots,
                                       most_board_medium_slots);
    l.board_.area_bytes = area_of(ranks, share, l.board_.slot_bytes);
    // Where rings of this kind are too large for all: smaller ones.
    constexpr std::uint64_t wanted = std::size(channels_with_everyone);
    const std::uint64_t left = slot_memory_bytes - std::min(slot_memory_bytes, l.board_.bytes());
    const std::uint64_t within = left / wanted / std::max<std::uint64_t>(ranks - 1, 1);
    if (l.usual_.bytes() > within && wanted * l.usual_.bytes() > usual_channels * share)
        l.usual_ = l.further_ = ring_within(within, l.usual_.slot_bytes, l.usual_.alignment);
    return l;
}

std::uint64_t SegmentLayout::board_offset(Rank writer) const {
    return control_bytes_ + static_cast<std::uint64_t>(writer) * board_.bytes();
}

std::uint64_t SegmentLayout::pair_offset(Rank from, Rank to, Channel channel) const {
    TENON_ASSERT(from != to && channel < channels_, "no such ring");
    const auto ranks = static_cast<std::uint64_t>(rank_count_);
    const std::uint64_t pair = static_cast<std::uint64_t>(from) * ranks + static_cast<std::uint64_t>(to);
    return control_bytes_ + ranks * board_.bytes() + pair * before(channels_) + before(channel);
}

std::uint64_t SegmentLayout::bytes() const {
    const auto ranks = static_cast<std::uint64_t>(rank_count_);
    return control_bytes_ + ranks * board_.bytes() + ranks * ranks * before(channels_);
}

std::uint64_t SegmentLayout::before(Channel channel) const {
    const std::uint64_t usual = std::min(channel, usual_channels);
    return usual * usual_.bytes() + (channel - usual) * further_.bytes();
}

}  // namespace tenon
