// How much memory a rank's channels to other hosts take, by the number of ranks.
#include "transports/rings/network_layout.hpp"

#include <gtest/gtest.h>

#include "tenon/plugin/types.hpp"
#include "transports/rings/segment_layout.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t cap = 64 << 20;

std::uint64_t bytes_with_everyone(const NetworkLayout& layout, Rank ranks) {
    std::uint64_t of_a_peer = layout.peer_bytes();
    for (std::size_t i = 0; i < layout.fitting_channels(); i++)
        of_a_peer += layout.channel_bytes(channels_with_everyone[i]);
    return of_a_peer * static_cast<std::uint64_t>(ranks - 1);
}

// All that a rank keeps for its peers, with every one of them on every channel that may lead to all.
TEST(NetworkLayout, FitsIntoTheCapWithEveryone) {
    for (Rank ranks = 2; ranks <= 8192; ranks++) {
        const NetworkLayout layout = NetworkLayout::of(ranks, cap);
        ASSERT_LE(bytes_with_everyone(layout, ranks), cap) << ranks << " ranks";
        ASSERT_EQ(layout.fitting_channels(), ranks <= 3884 ? 3U : ranks <= 5350 ? 2U : 1U) << ranks << " ranks";
    }
}

TEST(NetworkLayout, FitsIntoOtherCapsOfSoMuchAPeer) {
    for (const std::uint64_t of_a_peer : {18U << 10, 64U << 10, 300U << 10, 5U << 20})
        for (const Rank ranks : {2, 3, 8, 17, 100}) {
            const std::uint64_t bytes = of_a_peer * static_cast<std::uint64_t>(ranks);
            const NetworkLayout layout = NetworkLayout::of(ranks, bytes);
            EXPECT_EQ(layout.fitting_channels(), std::size(channels_with_everyone)) << ranks << " ranks";
            EXPECT_LE(bytes_with_everyone(layout, ranks), bytes) << ranks << " ranks";
        }
}

// Two tiles fit, as plans count on; of packed ones, which all are where no slot holds more, in the lines.
TEST(NetworkLayout, HoldsTwoTilesOnEveryChannelWhateverTheNumberOfRanks) {
    for (Rank ranks = 2; ranks <= 8192; ranks++) {
        const NetworkLayout layout = NetworkLayout::of(ranks, cap);
        const std::uint64_t slot = layout.shape(0).slot_bytes;
        for (Channel channel = 0; channel < max_channels; channel++) {
            const RingShape shape = layout.shape(channel);
            ASSERT_EQ(shape.slot_bytes, slot) << "so that a tile fits into each";
            ASSERT_GE(shape.lines, 2 * lines_of(packed_bytes));
            ASSERT_GE(slot, packed_bytes);
            ASSERT_TRUE(slot == packed_bytes || shape.slots >= 2) << ranks << " ranks, channel " << channel;
            ASSERT_EQ(shape.bytes() % cache_line_bytes, 0U);
        }
    }
}

TEST(NetworkLayout, IsThatOfRanksThatShareMemoryWithFewRanks) {
    for (Rank ranks = 2; ranks <= 16; ranks++) {
        const NetworkLayout layout = NetworkLayout::of(ranks, cap);
        const auto near = SegmentLayout::of(ranks, cap / 2, 0);
        for (Channel channel = 0; channel < max_channels; channel++) {
            const RingShape &own = layout.shape(channel), &other = near.pair_shape(channel);
            EXPECT_EQ(own.slots, other.slots);
            EXPECT_EQ(own.slot_bytes, other.slot_bytes);
            EXPECT_EQ(own.area_bytes, other.area_bytes);
            EXPECT_EQ(own.bytes(), other.bytes());
        }
    }
}

// A plan of many channels has small rings rather than none.
TEST(NetworkLayout, LeavesRoomForFurtherChannels) {
    for (const Rank ranks : {32, 64, 128}) {
        const NetworkLayout layout = NetworkLayout::of(ranks, cap);
        const auto peers = static_cast<std::uint64_t>(ranks - 1);
        const std::uint64_t further = 4 * layout.channel_bytes(2) * peers;
        EXPECT_LE(bytes_with_everyone(layout, ranks) + further, cap) << ranks << " ranks";
    }
}

}  // namespace
}  // namespace tenon
