// What a map is, and which maps are refused: rules of the builder that every reader relies on.
#include "topology/map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tenon {
namespace {

using testing::HasSubstr;

std::string problem_of(MapBuilder builder) {
    const auto map = std::move(builder).finish();
    return map ? "" : map.error().message;
}

TEST(Map, HasItsPlacesInDepthFirstOrderHoweverTheyWereAdded) {
    MapBuilder builder{"cluster", "c"};
    const PlaceIndex a = builder.add_place(outermost, "server", "a");
    const PlaceIndex b = builder.add_place(outermost, "server", "b");
    const PlaceIndex b0 = builder.add_place(b, "device", "0");
    const PlaceIndex a0 = builder.add_place(a, "device", "0");
    builder.add_place(a, "device", "1");
    builder.set_rank(b0, 1);
    builder.set_rank(a0, 0);
    builder.add_link({.from = b0, .to = a0, .kind = "roce"});
    const auto map = std::move(builder).finish();
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_EQ(map->paths(), (std::vector<std::string>{"/", "/a", "/a/0", "/a/1", "/b", "/b/0"}));
    EXPECT_EQ(map->path_of({5}), "/b/0");
    EXPECT_EQ(map->end_of({1}).value, 4u);
    EXPECT_TRUE(map->holds({4}, {5}));
    EXPECT_FALSE(map->holds({1}, {5}));
    EXPECT_EQ(map->children_of(outermost), (std::vector<PlaceIndex>{{1}, {4}}));
    EXPECT_EQ(map->ranks()[0].value, 2u);
    EXPECT_EQ(map->ranks()[1].value, 5u);
    EXPECT_EQ(map->links()[0].from.value, 2u) << "a link's ends are in the order of places";
}

TEST(Map, KeepsFactsByName) {
    MapBuilder builder{"server", "s"};
    builder.set_fact(outermost, "model", "x");
    builder.set_fact(outermost, "address", "");
    builder.set_fact(outermost, "model", "x");
    const auto map = std::move(builder).finish();
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_EQ((*map)[outermost].facts, (std::vector<Fact>{{"address", ""}, {"model", "x"}}));
    EXPECT_EQ((*map)[outermost].fact("model"), "x");
    EXPECT_EQ((*map)[outermost].fact("colour"), std::nullopt);
}

struct Refusal {
    const char* what;
    void (*build)(MapBuilder&);
    const char* words;
};

const Refusal refusals[] = {
    {"two names", [](MapBuilder& map) { map.add_place(outermost, "nic", "n"), map.add_place(outermost, "nic", "n"); },
     "the server \"s\" holds two places named \"n\""},
    {"a slash", [](MapBuilder& map) { map.add_place(outermost, "nic", "a/b"); }, "/ stands between names"},
    {"no name", [](MapBuilder& map) { map.add_place(outermost, "nic", ""); }, "the name of a nic is empty"},
    {"no kind", [](MapBuilder& map) { map.add_place(outermost, "", "n"); }, "a place's kind is empty"},
    {"a control character", [](MapBuilder& map) { map.add_place(outermost, "nic", "a\nb"); }, "one line"},
    {"no UTF-8", [](MapBuilder& map) { map.add_place(outermost, "nic", "\xc3("); }, "UTF-8"},
    {"a surrogate", [](MapBuilder& map) { map.add_place(outermost, "nic", "\xed\xa0\x80"); }, "UTF-8"},
    {"a long name", [](MapBuilder& map) { map.add_place(outermost, "nic", std::string(257, 'x')); }, "257 bytes"},
    {"a negative rank", [](MapBuilder& map) { map.set_rank(outermost, -1); }, "rank -1"},
    {"a rank twice",
     [](MapBuilder& map) {
         map.set_rank(map.add_place(outermost, "device", "a"), 0);
         map.set_rank(map.add_place(outermost, "device", "b"), 0);
     },
     "rank 0 is given twice, to the device \"a\" and to the device \"b\""},
    {"two ranks",
     [](MapBuilder& map) {
         map.set_rank(outermost, 0);
         map.set_rank(outermost, 1);
     },
     "is both rank 0 and rank 1"},
    {"a gap", [](MapBuilder& map) { map.set_rank(map.add_place(outermost, "device", "a"), 1); },
     "there are 1 ranks, but none is rank 0"},
    {"a rank in a rank",
     [](MapBuilder& map) {
         map.set_rank(outermost, 0);
         map.set_rank(map.add_place(outermost, "device", "a"), 1);
     },
     "rank 1 lies inside rank 0"},
    {"a link to itself", [](MapBuilder& map) { map.add_link({.kind = "pcie"}); }, "with itself"},
    {"an absurd rate",
     [](MapBuilder& map) {
         map.add_link({.to = map.add_place(outermost, "nic", "n"), .kind = "pcie", .bytes_per_s = UINT64_MAX});
     },
     "are not believed"},
    {"an absurd latency",
     [](MapBuilder& map) {
         map.add_link({.to = map.add_place(outermost, "nic", "n"), .kind = "pcie", .latency_ns = UINT64_MAX});
     },
     "are not believed"},
    {"no links at all",
     [](MapBuilder& map) { map.add_link({.to = map.add_place(outermost, "nic", "n"), .kind = "pcie", .count = 0}); },
     "there are 0 pcie links"},
    {"a rank as a pair", [](MapBuilder& map) { map.add_pairs({.transport = "shm", .first = 1, .second = 1}); },
     "ranks 1 and 1 are no pair"},
    {"pairs without a transport", [](MapBuilder& map) { map.add_pairs({.transport = "", .second = 1}); }, "is empty"},
    {"no pairs at all", [](MapBuilder& map) { map.add_pairs({.transport = "shm", .count = 0, .second = 1}); },
     "there are no pairs over shm"},
    {"a pair of no ranks", [](MapBuilder& map) { map.add_pairs({.transport = "shm", .second = 1}); },
     "ranks 0 and 1 are a pair, but there are 0 ranks"},
    {"more pairs than there can be",
     [](MapBuilder& map) {
         for (Rank rank = 0; rank < 3; rank++)
             map.set_rank(map.add_place(outermost, "process", std::to_string(rank)), rank);
         map.add_pairs({.transport = "shm", .count = 2, .second = 1});
         map.add_pairs({.transport = "tcp", .count = 2, .second = 2});
     },
     "there are more pairs than 3 ranks can be: 2 over tcp, of 1 that are left"},
    {"a fact twice",
     [](MapBuilder& map) {
         map.set_fact(outermost, "model", "x");
         map.set_fact(outermost, "model", "y");
     },
     "is given twice"},
    {"too deep",
     [](MapBuilder& map) {
         PlaceIndex place = outermost;
         for (std::uint32_t depth = 0; depth <= max_place_depth; depth++) place = map.add_place(place, "pci", "p");
     },
     "inside one another more than"},
};

TEST(MapBuilder, RefusesWhatMakesNoSense) {
    for (const Refusal& refusal : refusals) {
        MapBuilder builder{"server", "s"};
        refusal.build(builder);
        EXPECT_THAT(problem_of(std::move(builder)), HasSubstr(refusal.words)) << refusal.what;
    }
}

TEST(MapBuilder, TellsTheFirstThingThatIsWrong) {
    MapBuilder builder{"server", "s"};
    builder.add_place(outermost, "nic", "");
    builder.set_rank(outermost, -1);
    EXPECT_THAT(problem_of(std::move(builder)), HasSubstr("the name of a nic is empty"));
}

}  // namespace
}  // namespace tenon
