#include "transports/rings/segment_layout.hpp"

#include <algorithm>
#include <bit>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t large_slots = 8, medium_slots = 4, board_medium_slots = 8;
constexpr std::uint64_t most_large_bytes = 64 << 10, most_medium_bytes = 16 << 10, least_slot_bytes = 1 << 10;
constexpr std::uint64_t usual_channels = 2;

// A slot such that `count` of them take about this share of a ring.
std::uint64_t slot_of(std::uint64_t share, std::uint64_t count, std::uint64_t most_bytes) {
    return std::clamp(std::bit_floor(std::max<std::uint64_t>(share / count, 1)), least_slot_bytes, most_bytes);
}

std::uint64_t whole_pages(std::uint64_t bytes) { return (bytes + 4095) & ~std::uint64_t{4095}; }

}  // namespace

SegmentLayout SegmentLayout::of(Rank rank_count, std::uint64_t slot_memory_bytes, std::uint64_t control_bytes) {
    SegmentLayout l;
    const auto ranks = static_cast<std::uint64_t>(rank_count);
    // A ring's share of the cap: half goes to the large slots, an eighth to the medium ones.
    const std::uint64_t share = slot_memory_bytes / (usual_channels * ranks);
    l.rank_count_ = rank_count;
    l.channels_ = rank_count <= 64 ? max_channels : Channel{8};
    l.control_bytes_ = whole_pages(control_bytes);
    l.pair_ = {.slots = large_slots, .slot_bytes = slot_of(share / 2, large_slots, most_large_bytes), .medium_slots = medium_slots,
               .medium_bytes = slot_of(share / 8, medium_slots, most_medium_bytes), .readers = 1};
    l.board_ = l.pair_;
    l.board_.readers = ranks;
    l.board_.medium_slots = board_medium_slots;
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
