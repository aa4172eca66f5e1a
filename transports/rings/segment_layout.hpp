// Where everything lies in the memory that the ranks of a host share: the control area (the communicator's own), each
// rank's board, and a ring for each ordered pair of ranks and channel. A function of agreed facts only, so that every
// rank computes the same offsets. The memory is sparse: a ring that is not used costs nothing.
#pragma once

#include "tenon/plugin/plan.hpp"
#include "tenon/plugin/slots.hpp"

namespace tenon {

// Cells; large messages only.
RingShape small_ring(std::uint64_t slots, std::uint64_t slot_bytes, std::uint64_t alignment);
// That takes no more: the longest slots of which there are several, or short ones; without any where there are none.
RingShape ring_within(std::uint64_t bytes, std::uint64_t most_slot_bytes, std::uint64_t alignment);

class SegmentLayout {
public:
    // Slots are sized so that a rank's rings on the usual two channels with everyone stay within the cap.
    static SegmentLayout of(Rank rank_count, std::uint64_t slot_memory_bytes, std::uint64_t control_bytes);

    // The slots of all channels are alike; the usual channels have larger areas.
    const RingShape& pair_shape(Channel channel) const { return channel < usual_channels ? usual_ : further_; }
    const RingShape& board_shape() const { return board_; }
    std::uint64_t board_offset(Rank writer) const;
    std::uint64_t pair_offset(Rank from, Rank to, Channel channel) const;
    std::uint64_t bytes() const;
    Channel channels() const { return channels_; }

private:
    std::uint64_t before(Channel channel) const;  // bytes of a pair's rings on lower channels

    Rank rank_count_ = 1;
    Channel channels_ = max_channels;
    std::uint64_t control_bytes_ = 0;
    static constexpr Channel usual_channels = 2;
    RingShape usual_, further_;
    RingShape board_;
};

}  // namespace tenon
