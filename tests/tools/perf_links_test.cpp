// What `tenon-perf links` makes of figures: which links it names, and how it draws them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perf/heat_map.hpp"
#include "perf/links.hpp"

namespace tenon::perf {
namespace {

using testing::HasSubstr;

LinkFigures even_links(Rank ranks) {
    LinkFigures figures{PairFigures{ranks}, PairFigures{ranks}};
    for (Rank a = 0; a < ranks; a++)
        for (Rank b = 0; b < ranks; b++)
            if (a != b) figures.latency_us.at(a, b) = 10, figures.bandwidth_GBs.at(a, b) = 1;
    return figures;
}

TEST(Links, EvenOnesDoNotStandOut) {
    const LinkFigures figures = even_links(4);
    EXPECT_TRUE(slow_latencies(figures).empty());
    EXPECT_TRUE(slow_bandwidths(figures).empty());
}

TEST(Links, TheSlowestIsNamedFirst) {
    LinkFigures figures = even_links(4);
    figures.bandwidth_GBs.at(1, 2) = 0.5;
    figures.bandwidth_GBs.at(3, 0) = 0.1;
    figures.latency_us.at(1, 3) = figures.latency_us.at(3, 1) = 40;
    const auto narrow = slow_bandwidths(figures);
    ASSERT_EQ(narrow.size(), 2U);
    EXPECT_EQ(narrow[0].from, 3);
    EXPECT_EQ(narrow[0].to, 0);
    EXPECT_NEAR(narrow[0].times_slower, 10, 1e-9);
    EXPECT_EQ(narrow[1].from, 1);
    const auto far = slow_latencies(figures);
    ASSERT_EQ(far.size(), 1U) << "once, though it is so both ways";
    EXPECT_EQ(far[0].from, 1);
    EXPECT_NEAR(far[0].times_slower, 4, 1e-9);
}

TEST(HeatMaps, ShowEveryPairAndEscapeNames) {
    const LinkFigures figures = even_links(3);
    const HeatMap map{"bandwidth", figures.bandwidth_GBs, false};
    const std::string names[] = {"a<b", "c", "d"};
    const std::string svg = as_svg(std::span{&map, 1}, names);
    EXPECT_THAT(svg, HasSubstr("a&lt;b 0"));
    for (const char* pair : {"rank 0 to rank 1", "rank 2 to rank 0", "rank 1 to rank 2"})
        EXPECT_THAT(svg, HasSubstr(pair));
    EXPECT_EQ(as_text(map, false), "bandwidth\n  from\\to       0       1       2\n        0       -    1.00    1.00\n"
                                   "        1    1.00       -    1.00\n        2    1.00    1.00       -\n");
    EXPECT_THAT(as_text(map, true), HasSubstr("\033[48;2;"));
}

}  // namespace
}  // namespace tenon::perf
