// The routers of tenon-perf moe are as uneven as they say, and choose each expert once.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "perf/moe_routing.hpp"

namespace tenon::perf {
namespace {

TEST(MoeRouters, MeetTheirGini) {
    for (const double gini : {0.1, 0.25, 0.38, 0.9})
        for (const std::uint32_t experts : {16U, 256U, 384U}) {
            const std::vector<double> shares = popularity({gini}, experts);
            EXPECT_NEAR(gini_of(shares), gini, 0.001);
            EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-9);
        }
    EXPECT_NEAR(gini_of(popularity({}, 100)), 0, 1e-9);
    EXPECT_NEAR(gini_of({0, 0, 0, 1}), 0.75, 1e-9);
}

TEST(MoeRouters, ChooseDifferentExpertsForEachToken) {
    const MoeModel model{"own", 12, 5, 1};
    const std::vector<std::int64_t> chosen = route({0.25}, model, 300, 2);
    ASSERT_EQ(chosen.size(), 1500U);
    for (std::size_t t = 0; t < 300; t++) {
        std::vector<std::int64_t> of_token(chosen.begin() + static_cast<std::ptrdiff_t>(5 * t),
                                           chosen.begin() + static_cast<std::ptrdiff_t>(5 * t + 5));
        std::ranges::sort(of_token);
        EXPECT_EQ(std::ranges::adjacent_find(of_token), of_token.end());
        EXPECT_GE(of_token.front(), 0);
        EXPECT_LT(of_token.back(), 12);
    }
    EXPECT_EQ(chosen, route({0.25}, model, 300, 2));
    EXPECT_NE(chosen, route({0.25}, model, 300, 3));
}

}  // namespace
}  // namespace tenon::perf
