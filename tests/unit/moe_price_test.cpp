// The choice between flat and hierarchical: expected bytes are those of routings, and the links decide.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "exchange/moe_price.hpp"
#include "tests/support/seed.hpp"
#include "topology/shape.hpp"

namespace tenon {
namespace {

MoeShape v4_pro(Rank ranks, std::uint64_t tokens = 4096) {
    MoeShape shape{.experts = 384, .top_k = 6, .hidden = 7168, .most_tokens = tokens};
    place_in_blocks(shape, ranks);
    return shape;
}

// Hosts of so many ranks each, that links of a rate join.
Topology hosts(Rank count, Rank ranks_each, std::uint64_t bytes_per_s) {
    Topology made{.rank_count = count * ranks_each, .hosts = count, .has_boards = count == 1};
    made.cores = made.rank_count;
    made.levels = *levels_of_shape(std::to_string(count) + "x" + std::to_string(ranks_each));
    made.levels.back().link = {.latency_ns = 20'000, .rank_bytes_per_s = bytes_per_s, .part_bytes_per_s = bytes_per_s};
    return made;
}

MoePathChoice choice(const MoeShape& shape, const Topology& topology) {
    return choose_moe_path(shape, topology.levels.front().group_of, topology);
}

// What a token saves that goes once to a node, of 384 experts and top-6, 8 ranks to a node.
TEST(MoePrice, KnowsWhatOnceToANodeSaves) {
    for (const auto& [nodes, saving] : {std::pair{2, 3.05}, {4, 1.82}, {8, 1.35}}) {
        const MoePathChoice made = choice(v4_pro(nodes * 8), hosts(nodes, 8, 125'000'000));
        EXPECT_NEAR(made.per_expert_leaving_bytes / made.hierarchical.leaving_bytes, saving, 0.01 * saving);
    }
}

// Tokens that draw their experts without replacement, of one rank, counted.
double rows_to(const MoeShape& shape, std::span<const std::int32_t> nodes, Rank rank, bool by_node) {
    auto random = support::random_generator();
    std::vector<std::int64_t> indices, experts(shape.experts);
    std::iota(experts.begin(), experts.end(), 0);
    for (std::uint64_t t = 0; t < shape.most_tokens; t++) {
        std::ranges::shuffle(experts, random);
        indices.insert(indices.end(), experts.begin(), experts.begin() + shape.top_k);
    }
    const MoeCopies copies(shape, rank, nodes);
    std::set<std::pair<std::uint64_t, std::int32_t>> rows;
    for (std::uint64_t i = 0; i < indices.size(); i++) {
        const auto to = copies.of(static_cast<std::uint32_t>(indices[i]), i / shape.top_k).rank;
        const std::int32_t node = nodes[static_cast<std::size_t>(to)];
        if (node != nodes[static_cast<std::size_t>(rank)]) rows.insert({i / shape.top_k, by_node ? node : to});
    }
    return static_cast<double>(rows.size());
}

TEST(MoePrice, ExpectsTheBytesOfRoutings) {
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    MoeShape shape{.experts = 48, .top_k = 5, .hidden = 16, .most_tokens = 3000};
    // Two copies of some experts, of which tokens take the nearest.
    shape.places_per_rank = 10;
    for (int place = 0; place < 60; place++) shape.placement.push_back(place < 48 ? place : (place - 48) * 3);
    const Topology topology = hosts(3, 2, 125'000'000);
    const MoePathChoice made = choice(shape, topology);
    double flat = 0, by_node = 0;
    for (Rank r = 0; r < 6; r++) {
        flat += rows_to(shape, topology.levels.front().group_of, r, false);
        by_node += rows_to(shape, topology.levels.front().group_of, r, true);
    }
    EXPECT_NEAR(made.flat.leaving_bytes / 32, flat, 0.02 * flat);
    EXPECT_NEAR(made.hierarchical.leaving_bytes / 32, by_node, 0.02 * by_node);
    // All that leaves nodes crosses the outermost level.
    EXPECT_NEAR(made.flat.levels.back().dispatch, made.flat.leaving_bytes, 1);
    EXPECT_NEAR(made.hierarchical.levels.back().dispatch, made.hierarchical.leaving_bytes, 1);
}

TEST(MoePrice, ChoosesByTheLinks) {
    const MoePathChoice slow = choice(v4_pro(8), hosts(2, 4, 125'000'000));
    EXPECT_EQ(slow.path, MoePath::hierarchical);
    EXPECT_EQ(slow.hierarchical.dispatch_limit, "links of a cluster");
    EXPECT_LT(slow.hierarchical.total_ns(), slow.flat.total_ns());
    EXPECT_NE(slow.reason.find("saves"), std::string::npos) << slow.reason;
    // Where links between nodes are as quick as anybody can send, handing on only adds work.
    EXPECT_EQ(choice(v4_pro(8), hosts(2, 4, 400'000'000'000)).path, MoePath::flat);
    const MoePathChoice alone = choice(v4_pro(8), hosts(1, 8, 125'000'000));
    EXPECT_EQ(alone.path, MoePath::flat);
    EXPECT_EQ(alone.reason, "all ranks are on one node");
}

// A supernode and more: in bounded time, and a window that is too small costs rounds.
TEST(MoePrice, CountsTheRoundsOfASmallWindow) {
    MoeShape shape = v4_pro(64);
    // 64 MiB hold twice 146 tokens of each of the 8 ranks that a forwarder serves.
    EXPECT_EQ(choice(shape, hosts(8, 8, 1'000'000'000)).rounds, 29U);
    // However much there is room for, legs are to overlap,
    shape.window_bytes = std::uint64_t{1} << 40;
    EXPECT_EQ(choice(shape, hosts(8, 8, 1'000'000'000)).rounds, 8U);
    // unless there is so little that it goes at once.
    shape.most_tokens = 1;
    EXPECT_EQ(choice(shape, hosts(8, 8, 1'000'000'000)).rounds, 1U);
}

}  // namespace
}  // namespace tenon
