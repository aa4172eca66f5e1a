// What MoE keeps for a rank: the memory of large groups, and that a routing grows with its tokens alone.
#include <gtest/gtest.h>

#include <random>

#include "exchange/moe_legs.hpp"
#include "exchange/moe_routing.hpp"
#include "exchange/row_stream.hpp"
#include "tests/support/seed.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

MoeShape v4_pro(Rank rank_count) {
    MoeShape shape{.experts = 384, .top_k = 6, .hidden = 7168, .most_tokens = 4096};
    place_in_blocks(shape, rank_count);
    return shape;
}

TEST(MoeMemory, OfTheLargestGroupsIsBounded) {
    constexpr Rank ranks = 1536;
    constexpr std::uint64_t slots = 64 << 20;  // TENON_SLOT_MEMORY_BYTES
    EXPECT_LT(memory_of(v4_pro(ranks), std::vector<std::int32_t>(ranks)).bytes() + slots, gib);
}

// Blocks of the experts are as even as they can be, whatever their number, and each is somewhere.
TEST(MoePlacement, DealsAnyNumberOfExpertsOut) {
    for (const std::uint32_t experts : {1U, 2U, 5U, 7U, 384U, 385U})
        for (const Rank ranks : {1, 2, 3, 7, 8, 400}) {
            MoeShape shape{.experts = experts, .top_k = 1, .hidden = 1, .most_tokens = 1};
            place_in_blocks(shape, ranks);
            EXPECT_TRUE(check(shape, 0, ranks).has_value()) << experts << " experts, " << ranks << " ranks";
            EXPECT_EQ(shape.places_per_rank,
                      (experts + static_cast<std::uint32_t>(ranks) - 1) / static_cast<std::uint32_t>(ranks));
        }
}

// One rank of 1,536: what it sends is what its tokens need, and no more than was said beforehand.
TEST(MoeRouting, OfOneOfManyRanksTakesWhatItsTokensTake) {
    constexpr Rank ranks = 1536, own = 700;
    const MoeShape shape = v4_pro(ranks);
    std::vector<std::int32_t> nodes;
    for (Rank r = 0; r < ranks; r++) nodes.push_back(r / 16);
    const MoeCopies copies(shape, own, nodes);
    auto random = support::random_generator();
    std::vector<std::int64_t> indices;
    for (std::uint64_t i = 0; i < shape.most_tokens * shape.top_k; i++)
        indices.push_back(static_cast<std::int64_t>(random() % shape.experts));
    const auto routing = MoeRouting::route(shape, copies, own, nodes, indices.data(), nullptr, shape.most_tokens);
    ASSERT_TRUE(routing.has_value());
    EXPECT_EQ(routing->sent.size(), indices.size());
    EXPECT_EQ(routing->contributions.size(), indices.size());
    const std::uint64_t kept = routing->sent.capacity() * sizeof(MoeEntry) +
                               routing->contributions.capacity() * sizeof(MoeContribution) +
                               routing->token_offsets.capacity() * 4 + routing->counts_out.capacity() * 4;
    EXPECT_LE(kept, memory_of(shape, nodes).routing_sent_bytes);
}

// Tokens are handed on by the rank with the same index on each node, counted around where a node has fewer.
TEST(MoeForwarders, HaveTheSameIndex) {
    const std::int32_t nodes[] = {0, 0, 0, 1, 1, 2};
    const MoeForwarders forwarders(nodes);
    EXPECT_EQ(forwarders.nodes(), 3U);
    for (Rank r = 0; r < 6; r++) EXPECT_EQ(forwarders.of(r, nodes[r]), r);
    EXPECT_EQ(forwarders.of(0, 1), 3);
    EXPECT_EQ(forwarders.of(1, 1), 4);
    EXPECT_EQ(forwarders.of(2, 1), 3);
    EXPECT_EQ(forwarders.of(4, 0), 1);
    EXPECT_EQ(forwarders.of(4, 2), 5);
    EXPECT_EQ(forwarders.most_origins(), 6U);  // of rank 5, all
}

// Whatever the slots, a message holds whole items, and an item is never more than a slot.
TEST(RowGeometry, CutsRowsThatDoNotFit) {
    for (const std::uint64_t slot_bytes : {560U, 1024U, 4096U, 65536U})
        for (const std::uint64_t row_bytes : {4U, 100U, 560U, 2000U, 14336U, 28672U})
            for (const std::uint32_t rows : {1U, 6U, 64U}) {
                const RowGeometry g = RowGeometry::of(row_bytes, 4, rows, slot_bytes);
                std::uint64_t covered = 0;
                for (std::uint32_t s = 0; s < g.segments; s++) {
                    EXPECT_EQ(g.first_of(s), covered);
                    EXPECT_LE(g.length_of(s) * rows, slot_bytes);
                    EXPECT_EQ(g.length_of(s) % 4, 0U);
                    covered += g.length_of(s);
                }
                EXPECT_EQ(covered, row_bytes);
            }
}

}  // namespace
}  // namespace tenon
