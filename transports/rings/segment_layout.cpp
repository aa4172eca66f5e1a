#include "transports/rings/segment_layout.hpp"

#include <algorithm>
#include <bit>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t slots_per_ring = 16;
constexpr std::uint64_t least_ring_bytes = 32 << 10, most_ring_bytes = 1 << 20;  // of payload
constexpr std::uint64_t usual_channels = 2;

std::uint64_t whole_pages(std::uint64_t bytes) { return (bytes + 4095) & ~std::uint64_t{4095}; }

}  // namespace

SegmentLayout SegmentLayout::of(Rank rank_count, std::uint64_t slot_memory_bytes, std::uint64_t control_bytes) {
    SegmentLayout l;
    const auto ranks = static_cast<std::uint64_t>(rank_count);
    const std::uint64_t share = slot_memory_bytes / (2 * usual_channels * ranks);
    const std::uint64_t ring = std::clamp(std::bit_floor(std::max<std::uint64_t>(share, 1)), least_ring_bytes, most_ring_bytes);
    l.rank_count_ = rank_count;
    l.channels_ = rank_count <= 64 ? max_channels : Channel{8};
    l.control_bytes_ = whole_pages(control_bytes);
    l.pair_ = {.slots = slots_per_ring, .slot_bytes = ring / slots_per_ring, .readers = 1};
    l.board_ = {.slots = slots_per_ring, .slot_bytes = ring / slots_per_ring, .readers = ranks};
    return l;
}

std::uint64_t SegmentLayout::board_offset(Rank writer) const {
    return control_bytes_ + static_cast<std::uint64_t>(writer) * board_.bytes();
}

std::uint64_t SegmentLayout::pair_offset(Rank from, Rank to, Channel channel) const {
    TENON_ASSERT(from != to && channel < channels_, "no such ring");
    const auto ranks = static_cast<std::uint64_t>(rank_count_);
    const std::uint64_t index = (static_cast<std::uint64_t>(from) * ranks + static_cast<std::uint64_t>(to)) * channels_ + channel;
    return control_bytes_ + ranks * board_.bytes() + index * pair_.bytes();
}

std::uint64_t SegmentLayout::bytes() const {
    const auto ranks = static_cast<std::uint64_t>(rank_count_);
    return control_bytes_ + ranks * board_.bytes() + ranks * ranks * channels_ * pair_.bytes();
}

}  // namespace tenon
