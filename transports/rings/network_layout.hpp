// What the rings of channels to ranks of other hosts look like, and what else a network may take for each peer, so that
// one rank's memory for all of its peers stays within its cap. A function of agreed facts only: both ranks of a pair
// have the same rings.
//
// With few ranks they are those of ranks that share memory. With many they are small: first the slots, then their
// number, until only packed messages are left; then fewer channels lead to everyone.
#pragma once

#include "tenon/plugin/plan.hpp"
#include "tenon/plugin/slots.hpp"

namespace tenon {

class NetworkLayout {
public:
    static NetworkLayout of(Rank rank_count, std::uint64_t slot_memory_bytes);

    RingShape shape(Channel channel) const;
    // Of both directions of a channel with one peer.
    std::uint64_t channel_bytes(Channel channel) const { return 2 * shape(channel).bytes(); }
    // How many of the channels with every peer fit into the cap: of `channels_with_everyone`, in their order.
    std::size_t fitting_channels() const { return fitting_channels_; }
    // For each peer, beside the rings: queues, receives and the like.
    std::uint64_t peer_bytes() const { return peer_bytes_; }

private:
    static bool is_with_everyone(Channel channel);
    RingShape usual_, point_to_point_, further_;
    std::size_t fitting_channels_ = 0;
    std::uint64_t peer_bytes_ = 0;
};

}  // namespace tenon
