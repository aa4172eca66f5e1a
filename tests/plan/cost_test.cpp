// Prices against what can be reckoned by hand, and of ranks that stand for others against all of them.
#include "plan/cost.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "algorithms/patterns/manifest.hpp"
#include "plan/representatives.hpp"
#include "tests/plan/cost_worlds.hpp"
#include "tests/plan/every_algorithm.hpp"
#include "tests/plan/worlds.hpp"

namespace tenon {
namespace {

using namespace tenon::testing;
using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;

constexpr std::uint64_t KiB = 1 << 10, MiB = 1 << 20;
// A nanosecond for each byte of a rank alone.
constexpr LevelLink one_ns_a_byte{.latency_ns = 100, .rank_bytes_per_s = 1'000'000'000};

Request bytes_of(Collective collective, Rank ranks, std::uint64_t bytes, Rank root = 0) {
    return {.collective = collective, .rank_count = ranks, .count = {bytes}, .type = DataType::int8, .root = root};
}

std::vector<Plan> chain(Rank ranks) {
    return make_world(Collective::broadcast, ranks, 1, [ranks](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        if (r == 0) {
            lane.copy(plan.output(0), plan.input(0));
            lane.send(plan.input(0), 1);
        } else if (r + 1 < ranks) {
            lane.receive_send(plan.output(0), r - 1, r + 1);
        } else {
            lane.receive(plan.output(0), r - 1);
        }
    });
}

TEST(Price, OfAMessageIsItsLatencyAndItsBytes) {
    const Price p =
        price(chain(2), bytes_of(Collective::broadcast, 2, 1000), nested({{2, one_ns_a_byte}}), links_only());
    EXPECT_DOUBLE_EQ(p.total_ns, 1100);
    EXPECT_DOUBLE_EQ(p.latency_ns, 100);
    EXPECT_DOUBLE_EQ(p.levels[0].part_bytes, 1000);
    EXPECT_DOUBLE_EQ(p.levels[0].busy_ns, 1000);
    EXPECT_EQ(p.limit(), "links of a group");
}

TEST(Price, OfEndsIsAddedToThatOfTheLink) {
    CostParameters ends = links_only();
    ends.memory = {.message_ns = 7, .send_bytes_per_s = 2e9, .receive_bytes_per_s = 4e9};
    ends.step_ns = 3;
    // Copying 500 ns, then on the link 1000, then 250 out of it; the steps and messages of both, and the root's copy.
    const Price p = price(chain(2), bytes_of(Collective::broadcast, 2, 1000), nested({{2, one_ns_a_byte}}), ends);
    EXPECT_DOUBLE_EQ(p.total_ns, 3 + (3 + 7 + 500) + 1000 + 100 + (3 + 7 + 250));
    EXPECT_DOUBLE_EQ(p.cores_ns, 3 + 3 + 7 + 500);
}

TEST(Price, OfAChainIsTheFirstTilesWayAndThenTheOthersBehindIt) {
    const Topology topology = nested({{5, one_ns_a_byte}});
    const double tile = 64 * KiB;
    const auto hops = [&](double bytes) { return 4 * (bytes + 100); };
    EXPECT_DOUBLE_EQ(price(chain(5), bytes_of(Collective::broadcast, 5, 64 * KiB), topology, links_only()).total_ns,
                     hops(tile));
    EXPECT_DOUBLE_EQ(
        price(chain(5), bytes_of(Collective::broadcast, 5, 10 * 64 * KiB), topology, links_only()).total_ns,
        hops(tile) + 9 * tile);
    // Only the first of these many tiles are simulated.
    EXPECT_DOUBLE_EQ(
        price(chain(5), bytes_of(Collective::broadcast, 5, 1000 * 64 * KiB), topology, links_only()).total_ns,
        hops(tile) + 999 * tile);
}

TEST(Price, OfALongLaneBesideAShortOneIsThatOfBoth) {
    // Two lanes to one rank, of 90 and of 10 parts of a hundred.
    const auto plans = make_world(Collective::broadcast, 2, 10, [](PlanBuilder& plan, Rank r) {
        for (const auto& [first, count] : {std::pair{0U, 9U}, std::pair{9U, 1U}}) {
            auto lane = plan.lane();
            if (r == 0)
                lane.send(plan.input(first, count), 1, first == 0 ? 0 : 1);
            else
                lane.receive(plan.output(first, count), 0, first == 0 ? 0 : 1);
        }
    });
    const double bytes = 10 * 100 * 64 * KiB;
    const Price p = price(plans, bytes_of(Collective::broadcast, 2, 10 * 100 * 64 * KiB), nested({{2, one_ns_a_byte}}),
                          links_only());
    EXPECT_NEAR(p.total_ns / bytes, 1, 0.05);
}

TEST(Price, OfALinkThatRanksShareIsThatOfAllTheirBytes) {
    // Two hosts of four; all of one send to the other's across a link of 1 byte a nanosecond.
    const Topology topology =
        nested({{4, {.latency_ns = 1}}, {2, {.latency_ns = 1000, .part_bytes_per_s = 1'000'000'000}}});
    const Price p = price(direct_all_to_all(8), bytes_of(Collective::all_to_all, 8, 1000), topology, links_only());
    EXPECT_DOUBLE_EQ(p.levels[1].part_bytes, 16 * 1000);
    EXPECT_DOUBLE_EQ(p.levels[1].busy_ns, 16 * 1000);
    EXPECT_DOUBLE_EQ(p.total_ns, 16 * 1000 + 1000);
}

TEST(Price, OfWhatComesTogetherIsThatOfTheWayIn) {
    const auto plans = make_world(Collective::gather, 4, 1, [](PlanBuilder& plan, Rank r) {
        if (r != 0) {
            plan.lane().send(plan.input(0), 0);
            return;
        }
        plan.lane().copy(plan.output(0), plan.input(0));
        for (Rank peer = 1; peer < 4; peer++) plan.lane().receive(plan.block_of_output(peer), peer);
    });
    const Price p = price(plans, bytes_of(Collective::gather, 4, 1000), nested({{4, one_ns_a_byte}}), links_only());
    EXPECT_DOUBLE_EQ(p.total_ns, 3 * 1000 + 100);
}

TEST(Price, OfABarrierIsItsRounds) {
    const Price p = price(dissemination_barrier(8), bytes_of(Collective::barrier, 8, 0),
                          nested({{8, {.latency_ns = 500}}}), links_only());
    EXPECT_DOUBLE_EQ(p.total_ns, 3 * 500);
    EXPECT_EQ(p.limit(), "latency");
}

TEST(Price, OfSumsIsThatOfTheirOperands) {
    CostParameters sums = links_only();
    sums.reduce_bytes_per_s = 1e9;
    const Price p = price(one_shot_all_reduce(4), bytes_of(Collective::all_reduce, 4, 1000),
                          nested({{4, {.latency_ns = 10}}}), sums);
    EXPECT_DOUBLE_EQ(p.total_ns, 10 + 4 * 1000);
    EXPECT_DOUBLE_EQ(p.reduction_ns, 4 * 1000);
    EXPECT_EQ(p.limit(), "cores");
}

TEST(Price, WithFewerCoresThanRanksIsThatOfTakingTurns) {
    CostParameters sums = links_only();
    sums.reduce_bytes_per_s = 1e9;
    Topology topology = nested({{4, {.latency_ns = 10}}});
    topology.cores = 2;
    const Request request = bytes_of(Collective::all_reduce, 4, 1000);
    EXPECT_DOUBLE_EQ(price(one_shot_all_reduce(4), request, topology, sums).total_ns, 10 + 2 * 4 * 1000);
    topology.cores = 4;
    EXPECT_DOUBLE_EQ(price(one_shot_all_reduce(4), request, topology, sums).total_ns, 10 + 4 * 1000);
    sums.cores = 1;  // as a tuning file may say
    EXPECT_DOUBLE_EQ(price(one_shot_all_reduce(4), request, topology, sums).total_ns, 10 + 4 * 4 * 1000);
}

// Ranks that share cores send one after the other, and all that they have; what leaves first still arrives first.
TEST(Price, OfMessagesThatAreSentAheadIsThatOfTheOrderInWhichTheyLeave) {
    const Topology topology = nested({{2, {.latency_ns = 5'000, .rank_bytes_per_s = 9'000'000'000}},
                                      {4, {.latency_ns = 30'000, .part_bytes_per_s = 125'000'000}}});
    const std::vector<Algorithm> all = every_algorithm();
    const Algorithm& direct = *std::ranges::find_if(
        all, [](const Algorithm& a) { return a.collective == Collective::all_to_all && a.name == "direct"; });
    CostParameters parameters;
    parameters.cores = 2;
    const auto p = price(direct, bytes_of(Collective::all_to_all, 8, 512 * KiB), topology, parameters);
    ASSERT_TRUE(p);
    EXPECT_THAT(p->total_ns / p->levels.back().busy_ns, AllOf(Ge(1), Le(1.2)));
}

TEST(Representatives, AreTheFirstTheLastAndOneBetweenAtEachLevel) {
    const LevelMap map(nested({{16, {}}, {48, {}}, {2, {}}}));
    const Representatives some = Representatives::some(map, 5, 27);
    EXPECT_EQ(some.all().size(), 3 * 3 * 2 + 1U);
    double all = 0;
    for (const Representative& one : some.all()) all += one.rank == 5 ? 0 : one.like;
    EXPECT_DOUBLE_EQ(all, 16 * 48 * 2);
    EXPECT_EQ(some.all()[some.stand_in(5)].rank, 5);
    EXPECT_EQ(some.all()[some.stand_in(9)].rank, 1);
    EXPECT_DOUBLE_EQ(some.all()[some.stand_in(9)].like_in_part[1], 14);
    EXPECT_EQ(some.stand_in(16 * 48 + 17), some.stand_in(16 * 48 + 46 * 16 + 14));
    EXPECT_LE(Representatives::some(map, no_rank, 8).all().size(), 8U);
}

struct World {
    std::string name;
    Topology topology;
};

std::vector<World> worlds() {
    const LevelLink memory{.latency_ns = 200};
    const LevelLink network{.latency_ns = 20'000, .rank_bytes_per_s = 1'000'000'000, .part_bytes_per_s = 1'250'000'000};
    const LevelLink uplink{.latency_ns = 40'000, .part_bytes_per_s = 500'000'000};
    return {{"12 ranks", nested({{12, memory}})},
            {"4 hosts of 4", nested({{4, memory}, {4, network}})},
            {"2 hosts of 6", nested({{6, memory}, {2, uplink}})},
            {"8 hosts of 1", nested({{1, memory}, {8, network}})},
            {"2 pods of 4 hosts of 3", nested({{3, memory}, {4, network}, {2, uplink}})}};
}

// Plans in which every rank does much, so that among many ranks they are priced by those that stand for others.
bool is_of_like_ranks(const Algorithm& a) {
    return a.name == "ring" || a.name == "ring_direct" || a.name == "pairwise" || a.name == "one_shot" ||
           (a.name == "two_shot" && !is_rooted(a.collective)) || (a.name == "direct" && !is_rooted(a.collective)) ||
           a.name == "board";
}

double of_some_to_all(const Algorithm& a, const World& world, std::uint64_t bytes) {
    const Request request = bytes_of(a.collective, world.topology.rank_count, bytes, 3);
    const auto of_all = price(a, request, world.topology, {}, {.steps = SIZE_MAX});
    const auto of_some = price(a, request, world.topology, {}, {.steps = 0});
    EXPECT_TRUE(of_all && of_some) << a.name;
    EXPECT_EQ(of_all->simulated_ranks, static_cast<std::size_t>(world.topology.rank_count));
    return of_some->total_ns / of_all->total_ns;
}

// Of the rows that `counts`, over worlds and sizes.
void expect_price_of_all(bool (*counts)(const Algorithm&), double least, double most) {
    for (const World& world : worlds())
        for (const Algorithm& a : every_algorithm())
            for (const std::uint64_t bytes : {std::uint64_t{32}, 16 * KiB, 4 * MiB}) {
                if (!counts(a)) continue;
                EXPECT_THAT(of_some_to_all(a, world, bytes), AllOf(Ge(least), Le(most)))
                    << name_of(a.collective) << " " << a.name << ", " << world.name << ", " << bytes << " bytes";
            }
}

TEST(RanksThatStandForOthers, HaveThePriceOfAll) { expect_price_of_all(is_of_like_ranks, 0.67, 1.5); }

// Where what a rank does depends on how far it is from the root, those between are less alike.
TEST(RanksThatStandForOthers, HaveThePriceOfAllWithinTwiceWhereThereIsARoot) {
    const auto has_root = [](const Algorithm& a) {
        return a.name == "scatter_all_gather" || (a.name == "two_shot" && is_rooted(a.collective));
    };
    expect_price_of_all(has_root, 0.5, 2);
}

TEST(Price, IsThereForEveryAlgorithmAndGrowsWithTheBytes) {
    for (const World& world : worlds())
        for (const Algorithm& a : every_algorithm()) {
            if (a.needs.power_of_two_ranks) continue;
            double last = 0;
            for (std::uint64_t bytes = 8; bytes <= 64 * MiB; bytes *= 8) {
                const auto p = price(a, bytes_of(a.collective, world.topology.rank_count, bytes), world.topology);
                ASSERT_TRUE(p) << a.name;
                EXPECT_GE(p->total_ns * 1.1, last) << name_of(a.collective) << " " << a.name << ", " << world.name;
                EXPECT_GE(p->total_ns * 1.0001, p->latency_ns);
                last = p->total_ns;
            }
            EXPECT_TRUE(last > 0 || a.collective == Collective::barrier);
        }
}

// So that whoever chooses need not know by how much a candidate is slower.
TEST(Price, BeyondALimitIsInfiniteOrAsItWouldBeAndBelowItTheSame) {
    int cut_short = 0;
    for (const World& world : worlds())
        for (const Algorithm& a : every_algorithm()) {
            if (a.needs.power_of_two_ranks) continue;
            for (const std::uint64_t bytes : {std::uint64_t{8}, std::uint64_t{200} << 10, 20 * MiB}) {
                const Request request = bytes_of(a.collective, world.topology.rank_count, bytes);
                const auto priced = [&](double most_ns) {
                    return price(a, request, world.topology, {}, {.is_only_total = true, .most_ns = most_ns})->total_ns;
                };
                const double known = priced(std::numeric_limits<double>::infinity());
                const auto about = fmt::format("{} {}, {}, {} bytes", name_of(a.collective), a.name, world.name, bytes);
                for (const double part : {1.001, 2.0}) EXPECT_EQ(priced(known * part), known) << about;
                for (const double part : {0.1, 0.6, 0.99}) {
                    const double limited = priced(known * part);
                    EXPECT_TRUE(std::isinf(limited) || limited == known) << about << ": " << limited;
                    cut_short += std::isinf(limited) ? 1 : 0;
                }
            }
        }
    EXPECT_GT(cut_short, 100);
}

// Before anything is simulated.
TEST(Outlook, OfEveryAlgorithmIsNoMoreThanItsPrice) {
    for (const World& world : worlds())
        for (const Algorithm& a : every_algorithm()) {
            if (a.needs.power_of_two_ranks) continue;
            for (std::uint64_t bytes = 1; bytes <= 64 * MiB; bytes = bytes * 50 + 1) {
                const Request request = bytes_of(a.collective, world.topology.rank_count, bytes);
                const auto seen = outlook(a, request, world.topology);
                const auto priced = price(a, request, world.topology);
                ASSERT_TRUE(seen && priced) << a.name;
                EXPECT_LE(seen->least_ns, priced->total_ns)
                    << name_of(a.collective) << " " << a.name << ", " << world.name << ", " << bytes << " bytes";
            }
        }
}

TEST(Outlook, IsWhatRankZeroDoes) {
    CostParameters parameters = links_only();
    parameters.step_ns = 5;
    parameters.memory.message_ns = 20;
    parameters.memory.send_bytes_per_s = 1e9;
    const Topology topology = nested({{4, one_ns_a_byte}});
    const std::vector<Algorithm> all = every_algorithm();
    const Algorithm& ring = *std::ranges::find_if(all, [](const Algorithm& a) {
        return a.collective == Collective::all_gather && a.name == "ring";
    });
    const auto seen = outlook(ring, bytes_of(Collective::all_gather, 4, 1000), topology, parameters);
    ASSERT_TRUE(seen);
    // Its own block is copied and sent, two are handed on, and the last is received: 3 messages out and 3 in.
    EXPECT_NEAR(seen->least_ns, static_cast<double>(seen->steps) * 5 + 3 * (20 + 1000) + 3 * 20, 1);
}

}  // namespace
}  // namespace tenon
