#include "transports/rings/network_layout.hpp"

#include <algorithm>
#include <iterator>

#include "transports/rings/segment_layout.hpp"

namespace tenon {
namespace {

// Up to so many ranks, all channels have many slots: what is saved is little, and pipelines over several channels are
// quicker.
constexpr Rank few_ranks = 16;
// Of the cap: what the rings leave to all else.
constexpr std::uint64_t part_beside_rings = 8;
// What no network can do without, for each peer: two messages that leave, four receives, part of what arrives.
constexpr std::uint64_t least_peer_bytes = 3 << 10;

}  // namespace

bool NetworkLayout::is_with_everyone(Channel channel) {
    return std::ranges::find(channels_with_everyone, channel) != std::end(channels_with_everyone);
}

NetworkLayout NetworkLayout::of(Rank rank_count, std::uint64_t slot_memory_bytes) {
    NetworkLayout l;
    constexpr std::size_t wanted = std::size(channels_with_everyone);
    const auto peers = static_cast<std::uint64_t>(std::max<Rank>(rank_count - 1, 1));
    l.peer_bytes_ = std::max(slot_memory_bytes / part_beside_rings / peers, least_peer_bytes);
    const std::uint64_t beside = std::min(peers * l.peer_bytes_, slot_memory_bytes);
    // For both rings of a peer, of all channels.
    const std::uint64_t share = (slot_memory_bytes - beside) / peers;

    // Half of what a ring between processes may take, since a rank holds both of a pair's rings here.
    const auto near = SegmentLayout::of(rank_count, slot_memory_bytes / 2, 0);
    l.usual_ = near.pair_shape(0);
    l.point_to_point_ = near.pair_shape(point_to_point_channel);
    // No tile is longer than the slots of those who share memory, either.
    const std::uint64_t longest = SegmentLayout::of(rank_count, slot_memory_bytes, 0).pair_shape(0).slot_bytes;
    const bool is_ample = l.usual_.lines == packed_lines &&
                          2 * (2 * l.usual_.bytes() + l.point_to_point_.bytes()) <= share;
    if (!is_ample) l.usual_ = l.point_to_point_ = ring_within(share / 2 / wanted, longest, cache_line_bytes);
    l.further_ = is_ample && rank_count <= few_ranks ? l.point_to_point_
                                                     : small_ring(2, l.usual_.slot_bytes, cache_line_bytes);
    if (l.usual_.slot_bytes <= packed_bytes) l.further_ = l.usual_;
    for (std::uint64_t taken = 0; l.fitting_channels_ < wanted; l.fitting_channels_++) {
        taken += l.channel_bytes(channels_with_everyone[l.fitting_channels_]);
        if (taken > share) break;
    }
    return l;
}

RingShape NetworkLayout::shape(Channel channel) const {
    if (!is_with_everyone(channel)) return further_;
    return channel == point_to_point_channel ? point_to_point_ : usual_;
}

}  // namespace tenon
