// The topology of ranks that met, and the shapes that tests and experiments make up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "topology/met_ranks.hpp"
#include "topology/shape.hpp"

namespace tenon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TopologyOfMetRanks, HasServersAndTheCluster) {
    const std::vector<RankFacts> ranks{{.host = 0}, {.host = 1}, {.host = 0}, {.host = 2}};
    const Topology topology =
        topology_of(ranks, {.has_boards = false, .slot_bytes = 99, .speeds_mbps = {1000, 8000, 400}});
    EXPECT_EQ(topology.rank_count, 4);
    EXPECT_EQ(topology.hosts, 3);
    EXPECT_EQ(topology.slot_bytes, 99U);
    ASSERT_EQ(topology.levels.size(), 2U);
    EXPECT_EQ(topology.levels[0].name, "server");
    EXPECT_THAT(topology.levels[0].group_of, ElementsAre(0, 1, 0, 2));
    EXPECT_EQ(topology.levels[1].name, "cluster");
    EXPECT_THAT(topology.levels[1].group_of, ElementsAre(0, 0, 0, 0));
    EXPECT_EQ(topology.levels[1].link.part_bytes_per_s, 50'000'000U) << "the slowest host's";
}

TEST(TopologyOfMetRanks, OfOneHostIsOneServer) {
    const std::vector<RankFacts> ranks(3);
    const Topology topology = topology_of(ranks, {.one_process = true});
    EXPECT_TRUE(topology.one_process && topology.has_boards);
    ASSERT_EQ(topology.levels.size(), 1U);
    EXPECT_THAT(topology.levels[0].group_of, ElementsAre(0, 0, 0));
}

TEST(TopologyOfMetRanks, KnowsNoSpeedWhereAHostKnowsNone) {
    const std::vector<RankFacts> ranks{{.host = 0}, {.host = 1}};
    EXPECT_EQ(topology_of(ranks, {.speeds_mbps = {1000, 0}}).levels[1].link.part_bytes_per_s, 0U);
    EXPECT_EQ(topology_of(ranks, {}).levels[1].link.part_bytes_per_s, 0U);
}

TEST(LevelsOfShape, NestsGroupsFromTheInside) {
    const auto levels = levels_of_shape("2x2x3").value();
    ASSERT_EQ(levels.size(), 3U);
    EXPECT_EQ(levels[0].name, "server");
    EXPECT_THAT(levels[0].group_of, ElementsAre(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3));
    EXPECT_EQ(levels[1].name, "supernode");
    EXPECT_THAT(levels[1].group_of, ElementsAre(0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1));
    EXPECT_EQ(levels[2].name, "cluster");
    EXPECT_THAT(levels[2].group_of, ::testing::Each(0));
    EXPECT_EQ(levels_of_shape("5").value().size(), 1U);
}

TEST(LevelsOfShape, ListsServersOfUnequalSize) {
    const auto levels = levels_of_shape("3,1,4").value();
    ASSERT_EQ(levels.size(), 2U);
    EXPECT_THAT(levels[0].group_of, ElementsAre(0, 0, 0, 1, 2, 2, 2, 2));
    EXPECT_THAT(levels[1].group_of, ::testing::Each(0));
}

TEST(LevelsOfShape, RefusesWhatIsNone) {
    for (const char* shape : {"", "x", "4x", "x4", "4x0", "0", "-1", "4,", ",", "4x2,3", "4 x2", "four", "2000x2000",
                              "99999999999999999999", "2x2x2x2x2x2x2x2x2"}) {
        const auto levels = levels_of_shape(shape);
        ASSERT_FALSE(levels) << shape;
        EXPECT_THAT(levels.error().message, HasSubstr("write 4x2")) << shape;
    }
}

}  // namespace
}  // namespace tenon
