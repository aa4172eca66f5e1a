// Tenon's own JSON: what is written reads back the same, and what is wrong is refused with place and reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "topology/files/files.hpp"
#include "topology/generators.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;

std::string refusal_of(std::string_view json) {
    const auto read = read_map(json, "f.json");
    return read ? "" : read.error().message;
}

TEST(TenonJson, ReadsBackWhatItWrote) {
    for (const Generator& generator : generators()) {
        const auto map = generate(generator, GeneratorValues{generator.parameters});
        ASSERT_TRUE(map) << map.error().message;
        const std::string json = json_of(*map);
        const auto again = read_map(json, "f.json");
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(again->format, MapFormat::tenon_json);
        EXPECT_EQ(again->map, *map) << generator.name;
        EXPECT_EQ(json_of(again->map), json) << generator.name;
    }
}

TEST(TenonJson, ReadsBackNamesAndFactsThatNeedQuoting) {
    MapBuilder builder{"a \"kind\"", "na\\me"};
    const PlaceIndex place = builder.add_place(outermost, "Gerät", "~1 \u4e2d");
    builder.set_fact(place, "quote\"", "back\\slash");
    builder.add_link({.from = outermost, .to = place, .kind = "x", .facts = {{"b", "2"}, {"a", "1"}}});
    const auto map = std::move(builder).finish();
    ASSERT_TRUE(map) << map.error().message;
    const auto again = read_map(json_of(*map), "f.json");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->map, *map);
}

constexpr std::string_view small = R"({"tenon_topology": 1, "place": {"kind": "server", "name": "s", "places": [
  {"kind": "device", "name": "d", "rank": 0}]}, "links": [{"from": "/", "to": "/d", "kind": "pcie"%s}]})";

std::string with(std::string_view more) {
    std::string json{small};
    return json.replace(json.find("%s"), 2, more);
}

TEST(TenonJson, IsRefusedWithPointerAndReason) {
    EXPECT_EQ(refusal_of(with("")), "");
    EXPECT_EQ(
        refusal_of(with(", \"count\": 0")),
        "f.json:2: /links/0: there are 0 pcie links between the server \"s\" and the device \"d\"; 1 to 65536 are "
        "allowed");
    EXPECT_EQ(refusal_of(with(", \"latency_ns\": -1")),
              "f.json:2: /links/0/latency_ns: is -1, not a whole number from 0 to 100000000000");
    EXPECT_THAT(refusal_of(with(", \"latency_ns\": 0.5")), HasSubstr("/links/0/latency_ns: is 0.5, not a whole"));
    EXPECT_THAT(refusal_of(with(", \"latency_ns\": \"5\"")), HasSubstr("is the text \"5\", not a whole number"));
    EXPECT_THAT(refusal_of(with(", \"latency\": 5")), HasSubstr("/links/0/latency: is no key here; from, to, kind"));
    EXPECT_THAT(refusal_of(with(", \"kind\": \"x\"")), HasSubstr("has the key \"kind\" twice"));
    EXPECT_THAT(refusal_of(R"({"tenon_topology": 2, "place": {"kind": "a", "name": "b"}})"),
                HasSubstr("/tenon_topology: is 2, not a whole number from 1 to 1"));
    EXPECT_THAT(refusal_of(R"({"tenon_topology": 1})"), HasSubstr("/place"));
    EXPECT_THAT(refusal_of(R"({"tenon_topology": 1, "place": {"kind": "a"}})"), HasSubstr("/place/name: is missing"));
    EXPECT_THAT(refusal_of(R"({"tenon_topology": 1, "place": {"kind": "a", "name": "b"},
                               "links": [{"from": "/c", "to": "/", "kind": "x"}]})"),
                HasSubstr("/links/0/from: is not the path of a place"));
    EXPECT_THAT(refusal_of("{\"tenon_topology\": 1,\n\"place\": {,}}"), HasSubstr("f.json:2: not well-formed JSON"));
}

constexpr std::string_view job = R"({"tenon_topology": 1, "place": {"kind": "cluster", "name": "c", "places": [
  {"kind": "process", "name": "a", "rank": 0}, {"kind": "process", "name": "b", "rank": 1}]}, "pairs": [%s]})";

std::string with_pairs(std::string_view pairs) {
    std::string json{job};
    return json.replace(json.find("%s"), 2, pairs);
}

TEST(TenonJson, SaysHowPairsAreReached) {
    const auto read = read_map(with_pairs(R"({"where": "between servers", "transport": "tcp", "over": "eth0",
                                              "bytes_per_s": 125000000, "such_as": [0, 1]})"),
                               "f.json");
    ASSERT_TRUE(read) << read.error().message;
    const LikePairs pairs{.is_between_servers = true, .transport = "tcp", .over = "eth0", .bytes_per_s = 125'000'000,
                          .first = 0, .second = 1};
    EXPECT_THAT(read->map.pairs(), testing::ElementsAre(pairs));
    const auto again = read_map(json_of(read->map), "f.json");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->map, read->map);
    EXPECT_NE(read_map(with_pairs(""), "f.json")->map, read->map);
}

TEST(TenonJson, IsRefusedWherePairsMakeNoSense) {
    EXPECT_THAT(refusal_of(with_pairs(R"({"where": "here", "transport": "shm", "such_as": [0, 1]})")),
                HasSubstr("/pairs/0/where: is neither \"within a server\" nor \"between servers\""));
    EXPECT_THAT(refusal_of(with_pairs(R"({"where": "within a server", "transport": "shm", "such_as": [0]})")),
                HasSubstr("/pairs/0/such_as: is not two ranks"));
    EXPECT_THAT(refusal_of(with_pairs(R"({"where": "within a server", "transport": "shm", "such_as": [1, 0]})")),
                HasSubstr("/pairs/0: ranks 1 and 0 are no pair"));
    EXPECT_THAT(refusal_of(with_pairs(R"({"where": "within a server", "transport": "shm", "rate": 1})")),
                HasSubstr("/pairs/0/rate: is no key here"));
    EXPECT_THAT(refusal_of(with_pairs(
                    R"({"where": "within a server", "transport": "shm", "such_as": [0, 1], "count": 2})")),
                HasSubstr("there are more pairs than 2 ranks can be"));
}

TEST(TenonJson, IsRefusedWhereItIsNestedWithoutEnd) {
    EXPECT_THAT(refusal_of(std::string(1'000'000, '[')),
                HasSubstr("f.json:1: arrays and objects lie inside one another"));
    std::string places = R"({"kind": "pci", "name": "p"})";
    for (int depth = 0; depth < 60; depth++) places = R"({"kind": "pci", "name": "p", "places": [)" + places + "]}";
    EXPECT_THAT(refusal_of(R"({"tenon_topology": 1, "place": )" + places + "}"),
                HasSubstr("inside one another more than 48"));
}

TEST(TenonJson, IsRefusedWhereRanksMakeNoSense) {
    EXPECT_EQ(refusal_of(R"({"tenon_topology": 1, "place": {"kind": "server", "name": "s", "places": [
                {"kind": "device", "name": "a", "rank": 0}, {"kind": "device", "name": "b", "rank": 0}]}})"),
              "f.json:2: /place/places/1: rank 0 is given twice, to the device \"a\" and to the device \"b\"");
    EXPECT_EQ(refusal_of(R"({"tenon_topology": 1, "place": {"kind": "server", "name": "s", "rank": 3}})"),
              "f.json:1: /: there are 1 ranks, but none is rank 0");
}

}  // namespace
}  // namespace tenon
