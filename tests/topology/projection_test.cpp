// What algorithms see of a map: which levels, which groups, and the figures of the routes between them.
#include "topology/projection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "topology/generators.hpp"

namespace tenon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t gb = 1'000'000'000;

Topology projected(std::string_view name, std::map<std::string_view, std::uint64_t> wanted = {},
                   std::optional<Rank> ranks = {}) {
    const Generator& generator = *generator_named(name);
    GeneratorValues values{generator.parameters};
    for (std::size_t i = 0; i < generator.parameters.size(); i++)
        if (const auto found = wanted.find(generator.parameters[i].name); found != wanted.end())
            values[i] = found->second;
    const auto map = generate(generator, values);
    EXPECT_TRUE(map) << map.error().message;
    auto topology = topology_of(*map, ranks);
    EXPECT_TRUE(topology) << topology.error().message;
    return std::move(*topology);
}

std::vector<std::string> names_of(const Topology& topology) {
    std::vector<std::string> names;
    for (const Level& level : topology.levels) names.push_back(level.name);
    return names;
}
std::vector<int> group_counts(const Topology& topology) {
    std::vector<int> counts;
    for (const Level& level : topology.levels) counts.push_back(std::ranges::max(level.group_of) + 1);
    return counts;
}
// In GB/s, rounded.
std::uint64_t gb_per_s(std::uint64_t bytes_per_s) { return (bytes_per_s + gb / 2) / gb; }

TEST(Projection, OfTwoSupernodesHasNpusServersSupernodesAndTheCluster) {
    const Topology topology = projected("cloudmatrix384", {{"supernodes", 2}});
    EXPECT_EQ(topology.rank_count, 1536);
    EXPECT_EQ(topology.hosts, 96);
    EXPECT_THAT(names_of(topology), ElementsAre("npu", "server", "supernode", "cluster"));
    EXPECT_THAT(group_counts(topology), ElementsAre(768, 96, 2, 1));
    EXPECT_EQ(topology.levels[1].group_of[17], 1);
    EXPECT_EQ(topology.levels[2].group_of[768], 1);

    const LevelLink &npu = topology.levels[0].link, &server = topology.levels[1].link;
    const LevelLink &supernode = topology.levels[2].link, &cluster = topology.levels[3].link;
    EXPECT_EQ(gb_per_s(npu.rank_bytes_per_s), 210u);
    EXPECT_EQ(npu.latency_ns, 200u);
    EXPECT_EQ(gb_per_s(server.rank_bytes_per_s), 170u) << "all seven planes side by side";
    EXPECT_EQ(server.latency_ns, 700u);
    EXPECT_EQ(gb_per_s(server.part_bytes_per_s), 340u) << "two dies";
    EXPECT_EQ(gb_per_s(supernode.pair_bytes_per_s), 170u);
    EXPECT_EQ(gb_per_s(supernode.part_bytes_per_s), 16u * 150) << "the server's switches are the narrowest";
    EXPECT_EQ(supernode.latency_ns, 2100u);
    EXPECT_EQ(gb_per_s(cluster.rank_bytes_per_s), 25u);
    EXPECT_EQ(gb_per_s(cluster.part_bytes_per_s), 768u * 25);
    EXPECT_EQ(cluster.latency_ns, 5000u);
}

TEST(Projection, LeavesOutLevelsThatGroupNothingNew) {
    EXPECT_THAT(names_of(projected("cloudmatrix384", {{"supernodes", 1}})), ElementsAre("npu", "server", "supernode"));
    EXPECT_THAT(names_of(projected("cloudmatrix384", {{"servers", 1}})), ElementsAre("npu", "server"));
    EXPECT_THAT(names_of(projected("fat-tree", {{"levels", 3}, {"radix", 4}})), ElementsAre("rack", "pod", "cluster"));
    // A GPU reaches every other of its server alike, whatever PCIe and NUMA nodes they are at.
    EXPECT_THAT(names_of(projected("dgx-h100", {{"servers", 2}})), ElementsAre("server", "cluster"));
}

TEST(Projection, TellsWhatOneRankMovesToOneAndToAllOthersOfAMesh) {
    const Topology topology = projected("atlas-a2", {{"servers", 2}});
    EXPECT_THAT(names_of(topology), ElementsAre("server", "cluster"));
    EXPECT_EQ(topology.levels[0].link.pair_bytes_per_s, 28 * gb);
    EXPECT_EQ(topology.levels[0].link.rank_bytes_per_s, 7 * 28 * gb);
    EXPECT_EQ(topology.levels[1].link.rank_bytes_per_s, 25 * gb);
    EXPECT_EQ(topology.levels[1].link.part_bytes_per_s, 8 * 25 * gb);
}

TEST(Projection, PrefersManyNvlinksToOneWiderPcieLink) {
    const Topology topology = projected("dgx-h100");
    EXPECT_EQ(topology.levels[0].link.rank_bytes_per_s, 18 * 25 * gb);
    EXPECT_EQ(topology.levels[0].link.latency_ns, 1000u);
}

TEST(Projection, SeesAnUplinkThatRanksShare) {
    const Topology topology = projected("fat-tree", {{"radix", 8}, {"devices", 4}, {"oversubscription", 2}});
    EXPECT_THAT(names_of(topology), ElementsAre("server", "rack", "cluster"));
    EXPECT_EQ(topology.levels[1].link.rank_bytes_per_s, 12'500'000'000u);
    EXPECT_EQ(topology.levels[1].link.part_bytes_per_s, 12'500'000'000u) << "four devices, one link";
    EXPECT_EQ(topology.levels[2].link.part_bytes_per_s, 2 * 12'500'000'000u) << "four servers, two links up";
}

TEST(Projection, TakesTheFirstRanksOnly) {
    const Topology topology = projected("cloudmatrix384", {}, 20);
    EXPECT_EQ(topology.rank_count, 20);
    EXPECT_EQ(topology.hosts, 2);
    EXPECT_THAT(group_counts(topology), ElementsAre(10, 2, 1));
}

Result<Map> two_servers(void (*fill)(MapBuilder&, PlaceIndex, PlaceIndex)) {
    MapBuilder map{kinds::cluster, "two"};
    const PlaceIndex first = map.add_place(outermost, kinds::server, "a");
    const PlaceIndex second = map.add_place(outermost, kinds::server, "b");
    fill(map, first, second);
    return std::move(map).finish();
}

TEST(Projection, WithoutLinksKnowsTheGroupsAndNoFigures) {
    const auto map = two_servers([](MapBuilder& builder, PlaceIndex first, PlaceIndex second) {
        Rank rank = 0;
        for (const PlaceIndex server : {first, second})
            for (int i = 0; i < 3; i++)
                builder.set_rank(builder.add_place(server, kinds::device, std::to_string(i)), rank++);
    });
    const auto topology = topology_of(*map);
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_THAT(names_of(*topology), ElementsAre("server", "cluster"));
    EXPECT_EQ(topology->levels[1].link.rank_bytes_per_s, 0u);
    EXPECT_EQ(topology->levels[1].link.latency_ns, 0u);
}

TEST(Projection, NumbersGroupsByTheirLowestRanksWhereverTheyLie) {
    const auto map = two_servers([](MapBuilder& builder, PlaceIndex first, PlaceIndex second) {
        builder.set_rank(builder.add_place(second, kinds::device, "x"), 0);
        builder.set_rank(builder.add_place(first, kinds::device, "x"), 1);
        builder.set_rank(builder.add_place(second, kinds::device, "y"), 2);
    });
    const auto topology = topology_of(*map);
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_THAT(topology->levels[0].group_of, ElementsAre(0, 1, 0));
}

// Two hives of two GPUs, whose links cross NUMA nodes; between the hives is only PCIe.
TEST(Projection, FindsIslandsOfDirectLinks) {
    MapBuilder map{kinds::server, "s"};
    std::vector<PlaceIndex> devices;
    std::vector<PlaceIndex> numas;
    for (int numa = 0; numa < 2; numa++) {
        numas.push_back(map.add_place(outermost, kinds::numa, std::to_string(numa)));
        for (int i = 0; i < 2; i++) {
            devices.push_back(map.add_place(numas.back(), kinds::device, std::to_string(i)));
            map.set_rank(devices.back(), static_cast<Rank>(devices.size() - 1));
            map.add_link({.from = devices.back(), .to = numas.back(), .kind = "pcie", .bytes_per_s = 24 * gb});
        }
    }
    map.add_link({.from = numas[0], .to = numas[1], .kind = "socket", .bytes_per_s = 16 * gb});
    map.add_link({.from = devices[0], .to = devices[2], .kind = "xgmi", .bytes_per_s = 48 * gb});
    map.add_link({.from = devices[1], .to = devices[3], .kind = "xgmi", .bytes_per_s = 48 * gb});
    const auto topology = topology_of(*std::move(map).finish());
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_THAT(names_of(*topology), ElementsAre("island", "server"));
    EXPECT_THAT(topology->levels[0].group_of, ElementsAre(0, 1, 0, 1));
    EXPECT_EQ(topology->levels[0].link.pair_bytes_per_s, 48 * gb);
}

TEST(Projection, OfAPlainMachineNumbersItsDevicesInOrder) {
    const auto map = two_servers([](MapBuilder& builder, PlaceIndex first, PlaceIndex second) {
        for (const PlaceIndex server : {first, second}) {
            builder.add_place(server, kinds::core, "c");
            builder.add_place(server, kinds::device, "d");
        }
    });
    const auto places = rank_places(*map);
    ASSERT_TRUE(places) << places.error().message;
    ASSERT_EQ(places->size(), 2u);
    EXPECT_EQ(map->path_of((*places)[0]), "/a/d");
    EXPECT_EQ(map->path_of((*places)[1]), "/b/d");
}

TEST(Projection, RefusesMoreRanksThanTheMapHas) {
    const auto map = two_servers(
        [](MapBuilder& builder, PlaceIndex first, PlaceIndex) { builder.add_place(first, kinds::device, "d"); });
    EXPECT_THAT(topology_of(*map, 2).error().message, HasSubstr("has 1 devices, but 2 ranks were asked for"));
    EXPECT_THAT(topology_of(*map, 0).error().message, HasSubstr("ask for 1 to 1"));
}

TEST(Projection, RefusesAMapWithoutAnythingThatCouldBeARank) {
    const auto map = two_servers([](MapBuilder&, PlaceIndex, PlaceIndex) {});
    EXPECT_THAT(topology_of(*map).error().message, HasSubstr("no ranks, dies, devices or cores"));
}

}  // namespace
}  // namespace tenon
