// What `tenon-perf links` makes of figures: which links it names, and how it draws them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perf/heat_map.hpp"
#include "perf/links.hpp"
#include "perf/options.hpp"

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

// Two ranks on each host; what joins the hosts is ten times slower.
const std::vector<std::string> two_hosts{"a", "a", "b", "b"};
LinkFigures links_of_two_hosts() {
    LinkFigures figures = even_links(4);
    for (Rank a = 0; a < 4; a++)
        for (Rank b = 0; b < 4; b++)
            if (a / 2 != b / 2) figures.latency_us.at(a, b) = 100, figures.bandwidth_GBs.at(a, b) = 0.1;
    return figures;
}

TEST(Links, AreComparedWithThoseOfTheirReach) {
    const LinkFigures figures = links_of_two_hosts();
    const Comparison latency{figures.latency_us, two_hosts, true}, bandwidth{figures.bandwidth_GBs, two_hosts, false};
    for (const Reach reach : reaches) {
        for (const auto& link : latency.slowest_first(reach, true)) EXPECT_NEAR(link.times_slower, 1, 1e-9);
        for (const auto& link : bandwidth.slowest_first(reach, false)) EXPECT_NEAR(link.times_slower, 1, 1e-9);
    }
    EXPECT_EQ(latency.slowest_first(Reach::one_host, true).size(), 2U) << "each pair once, as it is so both ways";
    EXPECT_EQ(bandwidth.slowest_first(Reach::other_hosts, false).size(), 8U) << "each direction";
    EXPECT_EQ(latency.best(Reach::other_hosts), 100);
    EXPECT_EQ(bandwidth.best(Reach::one_host), 1);
}

TEST(Links, TheSlowestComesFirst) {
    LinkFigures figures = links_of_two_hosts();
    figures.bandwidth_GBs.at(1, 2) = 0.05;
    figures.bandwidth_GBs.at(3, 0) = 0.01;
    figures.latency_us.at(2, 3) = figures.latency_us.at(3, 2) = 40;
    const Comparison latency{figures.latency_us, two_hosts, true}, bandwidth{figures.bandwidth_GBs, two_hosts, false};
    const auto narrow = bandwidth.slowest_first(Reach::other_hosts, false);
    EXPECT_EQ(std::pair(narrow[0].from, narrow[0].to), std::pair(3, 0));
    EXPECT_NEAR(narrow[0].times_slower, 10, 1e-9);
    EXPECT_EQ(narrow[1].from, 1);
    EXPECT_EQ(latency.slowest_first(Reach::one_host, true)[0].from, 2);
    EXPECT_NEAR(latency.slowest_first(Reach::one_host, true)[0].times_slower, 4, 1e-9);
}

// Where most links are slow, the median is that of a slow one.
TEST(Links, ThoseOfMostPairsMayBeTheSlowOnes) {
    LinkFigures figures = even_links(4);
    for (Rank a = 0; a < 4; a++)
        for (Rank b = 0; b < 4; b++)
            if (a / 2 != b / 2) figures.bandwidth_GBs.at(a, b) = 0.2;
    const std::vector<std::string> hosts{"a", "b", "c", "d"};
    const auto links = Comparison{figures.bandwidth_GBs, hosts, false}.slowest_first(Reach::other_hosts, false);
    EXPECT_NEAR(links[0].times_slower, 5, 1e-9);
    EXPECT_NEAR(links[7].times_slower, 5, 1e-9);
    EXPECT_NEAR(links[8].times_slower, 1, 1e-9);
}

std::string colour_in(const std::string& svg, const std::string& pair) {
    const auto title = svg.find("<title>" + pair + ":");
    const auto fill = svg.rfind("fill=\"", title);
    return title == std::string::npos ? "" : svg.substr(fill + 6, 7);
}

TEST(HeatMaps, TellSlowLinksBetweenHostsApart) {
    LinkFigures figures = links_of_two_hosts();
    figures.bandwidth_GBs.at(0, 2) = 0.02;
    figures.bandwidth_GBs.at(0, 3) = 0.01;
    const HeatMap map{"bandwidth", {figures.bandwidth_GBs, two_hosts, false}};
    const std::string svg = as_svg(std::span{&map, 1});
    const std::string quick = colour_in(svg, "rank 0 to rank 1");
    EXPECT_EQ(colour_in(svg, "rank 1 to rank 2"), quick) << "as quick as a link between hosts is here";
    EXPECT_NE(colour_in(svg, "rank 0 to rank 2"), quick);
    EXPECT_NE(colour_in(svg, "rank 0 to rank 2"), colour_in(svg, "rank 0 to rank 3"));
}

TEST(HeatMaps, ShowEveryPairAndEscapeNames) {
    const LinkFigures figures = even_links(3);
    const std::vector<std::string> hosts{"a<b", "c", "d"};
    const HeatMap map{"bandwidth", {figures.bandwidth_GBs, hosts, false}};
    const std::string svg = as_svg(std::span{&map, 1});
    EXPECT_THAT(svg, HasSubstr("a&lt;b 0"));
    for (const char* pair : {"rank 0 to rank 1", "rank 2 to rank 0", "rank 1 to rank 2"})
        EXPECT_THAT(svg, HasSubstr(pair));
    EXPECT_EQ(as_text(map, false), "bandwidth\n  from\\to       0       1       2\n        0       -    1.00    1.00\n"
                                   "        1    1.00       -    1.00\n        2    1.00    1.00       -\n");
    EXPECT_THAT(as_text(map, true), HasSubstr("\033[48;2;"));
}

TEST(Colour, IsAsTheUserSaysThenTheEnvironmentThenTheTerminal) {
    EXPECT_TRUE(is_in_colour("auto", {}, true));
    EXPECT_FALSE(is_in_colour("auto", {}, false));
    EXPECT_TRUE(is_in_colour("auto", {{"CLICOLOR_FORCE", "1"}}, false));
    EXPECT_FALSE(is_in_colour("auto", {{"CLICOLOR_FORCE", "0"}}, true));
    EXPECT_FALSE(is_in_colour("auto", {{"NO_COLOR", "1"}, {"CLICOLOR_FORCE", "1"}}, true));
    EXPECT_TRUE(is_in_colour("auto", {{"NO_COLOR", ""}}, true));
    EXPECT_TRUE(is_in_colour("always", {{"NO_COLOR", "1"}}, false));
    EXPECT_FALSE(is_in_colour("never", {{"CLICOLOR_FORCE", "1"}}, true));
}

}  // namespace
}  // namespace tenon::perf
