// Generated machines have the right numbers of everything, and join like things alike.
#include "topology/generators.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "topology/projection.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;

Map generated(std::string_view name, std::map<std::string_view, std::uint64_t> wanted = {}) {
    const Generator* generator = generator_named(name);
    GeneratorValues values{generator->parameters};
    for (std::size_t i = 0; i < generator->parameters.size(); i++)
        if (const auto found = wanted.find(generator->parameters[i].name); found != wanted.end())
            values[i] = found->second;
    auto map = generate(*generator, values);
    EXPECT_TRUE(map) << map.error().message;
    return std::move(*map);
}

std::size_t count_of(const Map& map, std::string_view kind) {
    std::size_t count = 0;
    for (const MapPlace& place : map.places()) count += place.kind == kind;
    return count;
}
std::size_t links_of(const Map& map, std::string_view kind) {
    std::size_t count = 0;
    for (const Link& link : map.links()) count += link.kind == kind ? link.count : 0;
    return count;
}

TEST(CloudMatrix384, HasTwoDiesInEightNpusOfEachOf48Servers) {
    const Map map = generated("cloudmatrix384", {{"supernodes", 2}});
    EXPECT_EQ(map.ranks().size(), 1536u);
    EXPECT_EQ(count_of(map, "supernode"), 2u);
    EXPECT_EQ(count_of(map, "server"), 96u);
    EXPECT_EQ(count_of(map, "npu"), 768u);
    EXPECT_EQ(count_of(map, "die"), 1536u);
    EXPECT_EQ(links_of(map, "sio"), 768u);
    EXPECT_EQ(links_of(map, "roce"), 1536u);
    EXPECT_EQ(links_of(map, "ub"), 1536u * 7 + 96u * 7 * 16);
    EXPECT_EQ(map.path_of(map.ranks()[768 + 17]), "/supernode1/server1/npu0/die1");
}

TEST(AtlasA2, JoinsEveryNpuWithEachOther) {
    const Map map = generated("atlas-a2", {{"servers", 2}});
    EXPECT_EQ(map.ranks().size(), 16u);
    EXPECT_EQ(links_of(map, "hccs"), 2u * 28);
    EXPECT_EQ(links_of(map, "roce"), 16u);
}

TEST(AtlasA3, IsOneServerOf16Ranks) {
    const Map map = generated("atlas-a3");
    EXPECT_EQ(map.ranks().size(), 16u);
    EXPECT_EQ(count_of(map, "supernode"), 0u);
    EXPECT_EQ(links_of(map, "ub"), 16u * 7);
}

TEST(DgxH100, HasEighteenNvlinksAGpu) {
    const Map map = generated("dgx-h100", {{"servers", 4}});
    EXPECT_EQ(map.ranks().size(), 32u);
    EXPECT_EQ(count_of(map, "nic"), 32u);
    EXPECT_EQ(links_of(map, "nvlink"), 32u * 18);
}

TEST(FatTree, HasTheServersOfItsRadix) {
    EXPECT_EQ(generated("fat-tree", {{"radix", 8}}).ranks().size(), 8u * 4);
    const Map three = generated("fat-tree", {{"levels", 3}, {"radix", 4}});
    EXPECT_EQ(three.ranks().size(), 16u);
    EXPECT_EQ(count_of(three, "switch"), 4u + 8 + 8);  // core, aggregation, edge
    EXPECT_EQ(links_of(three, "ethernet"), 3u * 16);   // every level has as many links as there are servers
    EXPECT_EQ(generated("fat-tree", {{"radix", 16}, {"oversubscription", 4}}).ranks().size(), 16u * 8);
}

TEST(FatTree, RefusesATreeThatCannotBe) {
    const Generator& generator = *generator_named("fat-tree");
    GeneratorValues values{generator.parameters};
    values[1] = 7;
    const auto map = generate(generator, values);
    ASSERT_FALSE(map);
    EXPECT_THAT(map.error().message, HasSubstr("radix must be even"));
}

// Every rank of a generated machine has the same links, so that no rank is special by mistake.
TEST(Generators, JoinAllRanksAlike) {
    for (const Generator& generator : generators()) {
        const auto map = generate(generator, GeneratorValues{generator.parameters});
        ASSERT_TRUE(map) << generator.name << ": " << map.error().message;
        std::vector<std::map<std::string, std::uint64_t>> rates(map->place_count());
        for (const Link& link : map->links())
            for (const PlaceIndex end : {link.from, link.to}) rates[end.value][link.kind] += link.bytes_per_s_of_all();
        for (const PlaceIndex rank : map->ranks())
            EXPECT_EQ(rates[rank.value], rates[map->ranks()[0].value]) << generator.name << map->path_of(rank);
    }
}

TEST(Generators, NameTheirSources) {
    for (const Generator& generator : generators()) EXPECT_GT(generator.sources.size(), 20u) << generator.name;
}

TEST(Generators, RefuseValuesOutOfRange) {
    const Generator& generator = *generator_named("cloudmatrix384");
    GeneratorValues values{generator.parameters};
    values[0] = 0;
    const auto map = generate(generator, values);
    ASSERT_FALSE(map);
    EXPECT_EQ(map.error().message, "cloudmatrix384: supernodes is 0, not from 1 to 64");
}

}  // namespace
}  // namespace tenon
