// The routers of tenon-perf moe are as uneven as they say, and choose each expert once; recordings are read, or it is
// said what is wrong with which line.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "perf/moe_recording.hpp"
#include "perf/moe_routing.hpp"

namespace tenon::perf {
namespace {

TEST(MoeRouters, MeetTheirGini) {
    for (const double gini : {0.1, 0.25, 0.38, 0.9})
        for (const std::uint32_t experts : {16U, 256U, 384U}) {
            const std::vector<double> shares = popularity(gini, experts);
            EXPECT_NEAR(gini_of(shares), gini, 0.001);
            EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-9);
        }
    EXPECT_NEAR(gini_of(popularity(0, 100)), 0, 1e-9);
    EXPECT_NEAR(gini_of({0, 0, 0, 1}), 0.75, 1e-9);
}

constexpr MoeModel v4_pro{"v4-pro", 384, 6, 1};

std::vector<std::int64_t> chosen(std::string_view router, const MoeModel& model, std::uint64_t tokens,
                                 std::uint32_t rank = 0, std::uint32_t ranks = 4) {
    const auto made = route(*moe_router_named(router), model, tokens, rank, ranks);
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error());
    return made ? made->experts : std::vector<std::int64_t>{};
}

// Whatever the router, a token has each expert at most once, and the same call gives the same.
TEST(MoeRouters, ChooseDifferentExpertsForEachToken) {
    const MoeModel model{"own", 24, 5, 1};
    for (const char* router : {"uniform", "zipf-0.25", "hot-rank-1.3", "hot-expert-30", "group-limited-4", "masked-0.1",
                               "uneven", "idle-rank"}) {
        SCOPED_TRACE(router);
        const std::vector<std::int64_t> all = chosen(router, model, 300, 2);
        ASSERT_EQ(all.size() % 5, 0U);
        ASSERT_GT(all.size(), 0U);
        for (std::size_t t = 0; t < all.size() / 5; t++) {
            std::set<std::int64_t> of_token;
            for (std::size_t s = 5 * t; s < 5 * t + 5; s++) {
                EXPECT_TRUE(all[s] == -1 || of_token.insert(all[s]).second);
                EXPECT_GE(all[s], -1);
                EXPECT_LT(all[s], 24);
            }
        }
        EXPECT_EQ(all, chosen(router, model, 300, 2));
        EXPECT_NE(all, chosen(router, model, 300, 1));
    }
}

double part(const std::vector<std::int64_t>& all, const auto& is_meant) {
    return static_cast<double>(std::ranges::count_if(all, is_meant)) / static_cast<double>(all.size());
}

TEST(MoeRouters, MakeOneRankOrExpertAsHotAsTheySay) {
    for (const auto& [router, factor] : {std::pair{"hot-rank-1.3", 1.3}, {"hot-rank-2", 2.0}, {"hot-rank-4", 4.0}})
        EXPECT_NEAR(part(chosen(router, v4_pro, 3000, 1, 8), [](std::int64_t e) { return e < 48; }) * 8, factor,
                    0.05 * factor);
    EXPECT_NEAR(part(chosen("hot-expert-30", v4_pro, 3000), [](std::int64_t e) { return e == 0; }) * 384, 30, 1.5);
    // Not more often than in every token.
    const MoeModel mixtral{"mixtral", 8, 2, 1};
    EXPECT_NEAR(part(chosen("hot-expert-30", mixtral, 500), [](std::int64_t e) { return e == 0; }), 0.5, 0.01);
    const auto impossible = route(*moe_router_named("hot-rank-4"), v4_pro, 10, 0, 2);
    ASSERT_FALSE(impossible.has_value());
    EXPECT_NE(impossible.error().find("at most 2.00 times the mean"), std::string::npos) << impossible.error();
}

TEST(MoeRouters, LimitGroupsMaskSlotsAndLeaveRanksWithFewTokens) {
    const MoeModel v3{"v3", 256, 8, 1};
    const std::vector<std::int64_t> limited = chosen("group-limited-4", v3, 500);
    std::size_t most = 0;
    for (std::size_t t = 0; t < 500; t++) {
        std::set<std::int64_t> groups;
        for (std::size_t s = 8 * t; s < 8 * t + 8; s++) groups.insert(limited[s] / 32);
        most = std::max(most, groups.size());
    }
    EXPECT_EQ(most, 4U);
    EXPECT_NEAR(part(chosen("masked-0.1", v4_pro, 3000), [](std::int64_t e) { return e == -1; }), 0.1, 0.01);
    EXPECT_EQ(chosen("uneven", v4_pro, 100, 0).size(), 600U);
    EXPECT_EQ(chosen("uneven", v4_pro, 100, 3).size(), 150U);
    EXPECT_EQ(chosen("idle-rank", v4_pro, 100, 2).size(), 600U);
    EXPECT_EQ(chosen("idle-rank", v4_pro, 100, 3).size(), 0U);
    EXPECT_FALSE(route(*moe_router_named("group-limited-1"), {"mixtral", 8, 2, 1}, 1, 0, 1).has_value());
}

TEST(MoeRouters, AreKnownByTheirNames) {
    for (const char* name : {"", "zipf", "zipf-2", "zipf-x", "hot-rank-0.5", "hot-rank-", "hot-expert-1x", "masked-1",
                             "group-limited-2.5", "group-limited-9", "uniform ", "file:"})
        EXPECT_FALSE(moe_router_named(name).has_value()) << name;
    EXPECT_EQ(moe_router_named("file:a,b")->path, "a,b");
}

TEST(MoeRecordings, AreRead) {
    const auto made = parse_moe_recording("tenon-moe-routing 1\n\n# of\tmine\nranks 2 experts 8 top_k 2\r\n"
                                          "1 0 -1 # one\n0\t3 5\n1 7 7");
    ASSERT_TRUE(made.has_value()) << made.error();
    EXPECT_EQ(made->experts, 8U);
    EXPECT_EQ(made->choices, (std::vector<std::vector<std::int64_t>>{{3, 5}, {0, -1, 7, 7}}));
}

TEST(MoeRecordings, AreRefusedWithTheLine) {
    const std::string head = "tenon-moe-routing 1\nranks 2 experts 8 top_k 2\n";
    for (const auto& [text, words] :
         {std::pair<std::string, const char*>{"", "line 1: the file ends before 'ranks"},
          {"tenon-moe-routing 2\n", "line 1: is not 'tenon-moe-routing 1'"},
          {"tenon-moe-routing 1\n", "line 2: the file ends"},
          {"tenon-moe-routing 1\nrank 2", "line 2: found 'rank' where 'ranks' must be"},
          {"tenon-moe-routing 1\nranks 0 experts 8 top_k 2", "line 2: ranks is '0'; it must be a number in [1, 65536]"},
          {"tenon-moe-routing 1\nranks 2 experts 8 top_k 65", "line 2: top_k is '65'"},
          {"tenon-moe-routing 1\nranks 2 experts 8 top_k 2 x", "line 2: found 'x' behind"},
          {head + "0 1 2\n2 1 2\n", "line 4: the rank is '2'; it must be a number in [0, 1]"},
          {head + "0 1 8\n", "line 3: the expert in slot 1 is '8'; it must be a number in [-1, 7]"},
          {head + "0 1\n", "line 3: has 1 experts; it must have 2"},
          {head + "0 1 2 3\n", "line 3: has more than 2 experts"},
          {head + "0 1 2\n0 \x01\xff 2\n", "line 4: the expert in slot 0 is '\?\?'"}}) {
        const auto made = parse_moe_recording(text);
        ASSERT_FALSE(made.has_value()) << text;
        EXPECT_NE(made.error().find(words), std::string::npos) << made.error();
    }
    EXPECT_EQ(read_moe_recording("/nowhere/routing").error(), "cannot read the routing /nowhere/routing");
}

}  // namespace
}  // namespace tenon::perf
