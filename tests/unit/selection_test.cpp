// What is chosen where nobody asks for anything, and that the table's rows can be what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <chrono>
#include <limits>

#include "communicator/surroundings.hpp"
#include "config/config.hpp"
#include "selection/selection.hpp"
#include "topology/generators.hpp"
#include "topology/met_ranks.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Topology on_hosts(std::initializer_list<int> ranks_of_hosts, bool has_boards = false) {
    std::vector<RankFacts> ranks;
    std::int32_t host = 0;
    for (const int count : ranks_of_hosts) ranks.insert(ranks.end(), static_cast<std::size_t>(count), {.host = host++});
    return topology_of(ranks, {.has_boards = has_boards, .slot_bytes = 65536});
}

// Hosts of so many ranks each, over a network of 1 Gbit/s.
Topology cluster(Rank hosts, Rank ranks_of_host) {
    std::vector<RankFacts> ranks;
    for (Rank r = 0; r < hosts * ranks_of_host; r++) ranks.push_back({.host = r / ranks_of_host});
    return topology_of(ranks, {.has_boards = hosts == 1,
                               .slot_bytes = 65536,
                               .speeds_mbps = std::vector<std::uint32_t>(static_cast<std::size_t>(hosts), 1000)});
}

// Supernodes of two hosts of two ranks each: nobody has measured those.
Topology nested(Rank supernodes) {
    Topology made = cluster(2 * supernodes, 2);
    Level level{.name = "supernode", .group_of = {}, .link = {.latency_ns = 2000, .part_bytes_per_s = 25'000'000'000}};
    for (Rank r = 0; r < made.rank_count; r++) level.group_of.push_back(r / 4);
    made.levels.insert(made.levels.begin() + 1, std::move(level));
    return made;
}

Request of(Collective collective, const Topology& topology, std::uint64_t bytes) {
    Request request{
        .collective = collective, .rank_count = topology.rank_count, .count = {1}, .type = DataType::float32};
    request.count.value = std::max<std::uint64_t>(1, bytes / large_buffer_bytes(request).value);
    return request;
}

Selection selection(std::string_view tuning_text = "tenon tuning 1\n", std::vector<AlgorithmChoice> forced = {}) {
    return Selection::make(known_algorithms(Config{}).value(), std::move(forced),
                           parse_tuning(tuning_text, "file").value())
        .value();
}

Choice chosen(Collective collective, std::uint64_t bytes, const Topology& topology) {
    return selection().choose(of(collective, topology, bytes), topology).value();
}

TEST(Selection, EveryRowOfItsTablesNamesAnAlgorithm) {
    const std::span<const Algorithm> known = known_algorithms(Config{}).value();
    for (const auto table : {measured_table(), measured_table_over_network()})
        for (const TableRow& row : table)
            EXPECT_TRUE(std::ranges::any_of(known, [&](const Algorithm& a) {
                return a.collective == row.collective && a.name == row.algorithm;
            })) << name_of(row.collective) << " " << row.algorithm;
}

TEST(Selection, IsHierarchicalWhereRanksOfAHostShareItsLink) {
    using enum Collective;
    for (const Collective collective : {all_reduce, all_gather, reduce_scatter, all_to_all}) {
        const std::uint64_t bytes = collective == all_to_all ? 16 << 10 : 16 << 20;
        const Choice several = chosen(collective, bytes, on_hosts({4, 4, 4, 4}));
        EXPECT_THAT(several.algorithm->name, StartsWith("hierarchical")) << name_of(collective);
        EXPECT_THAT(several.reason, HasSubstr("several ranks in a group"));
        EXPECT_THAT(chosen(collective, bytes, on_hosts({1, 2})).algorithm->name, StartsWith("hierarchical"));
        for (const Topology& other : {on_hosts({1, 1, 1, 1}), on_hosts({4}), on_hosts({4}, true)})
            EXPECT_THAT(chosen(collective, bytes, other).algorithm->name, Not(StartsWith("hierarchical")));
    }
}

TEST(Selection, GoesByTheTableForLayoutsLikeThoseItWasMeasuredOn) {
    const Selection by_default = selection();
    for (const Topology& topology :
         {cluster(1, 4), cluster(4, 1), cluster(4, 2), Topology{.rank_count = 4, .has_boards = false}})
        EXPECT_THAT(by_default.choose(of(Collective::all_reduce, topology, 8), topology)->reason,
                    StartsWith("measured table"));
}

TEST(Selection, GoesByPricesElsewhereAndNamesTheRunnersUp) {
    const Topology topology = nested(2);
    const auto choice = selection().choose(of(Collective::all_reduce, topology, 1 << 20), topology);
    ASSERT_TRUE(choice);
    EXPECT_THAT(choice->reason,
                ::testing::MatchesRegex("priced: [0-9.]+ [um]s, ([a-z_]+ [0-9.]+ [um]s, .*|others longer)"));
}

TEST(Selection, GoesByATuningFileBeforeTheTableAndByTheUserBeforeTheFile) {
    const std::string_view tuning =
        "tenon tuning 1\n"
        "choose ranks=4 hosts=1 all_reduce:0-1k=ring\n"
        "choose ranks=8 hosts=4 all_reduce=two_shot\n";
    const Topology topology = cluster(1, 4);
    const auto chosen = [&](const Selection& s, std::uint64_t bytes) {
        return *s.choose(of(Collective::all_reduce, topology, bytes), topology);
    };
    const Selection tuned = selection(tuning);
    EXPECT_EQ(chosen(tuned, 1024).algorithm->name, "ring");
    EXPECT_EQ(chosen(tuned, 1024).reason, "tuning file, for 4 ranks on 1 host, up to 1024 bytes");
    EXPECT_THAT(chosen(tuned, 2048).reason, StartsWith("measured table"));
    const Selection forced = selection(tuning, {{.collective = Collective::all_reduce, .name = "recursive_doubling"}});
    EXPECT_EQ(chosen(forced, 1024).algorithm->name, "recursive_doubling");
    const Topology hosts = cluster(4, 2);
    EXPECT_EQ(tuned.choose(of(Collective::all_reduce, hosts, 8), hosts)->reason,
              "tuning file, for 8 ranks on 4 hosts, from 0 bytes on");
}

TEST(Selection, KeepsToTheTreeInDeterministicModeWhateverTheFileSays) {
    const Selection tuned = selection("tenon tuning 1\nchoose ranks=8 hosts=4 all_reduce=ring\n");
    const Topology topology = cluster(4, 2);
    for (std::uint64_t bytes = 8; bytes <= 64 << 20; bytes *= 16) {
        Request request = of(Collective::all_reduce, topology, bytes);
        request.deterministic = true;
        const auto choice = tuned.choose(request, topology);
        ASSERT_TRUE(choice);
        EXPECT_EQ(Selection::obstacle(*choice->algorithm, request), "");
    }
}

TEST(Selection, RefusesAFileThatNamesNoAlgorithm) {
    const auto made = Selection::make(known_algorithms(Config{}).value(), {},
                                      *parse_tuning("tenon tuning 1\nchoose ranks=4 hosts=1 all_reduce=rong\n", "f"));
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message, AllOf(HasSubstr("TENON_TUNING_FILE"), HasSubstr("rong"), HasSubstr("ring")));
}

TEST(Selection, TakesTheLinksOfTheFileForPrices) {
    const Selection tuned = selection("tenon tuning 1\nlink cluster latency_ns=1000 part_bytes_per_s=1000000\n");
    const Topology slow = tuned.tuning().applied_to(cluster(2, 2));
    EXPECT_EQ(slow.levels[1].link.latency_ns, 1000U);
    EXPECT_EQ(slow.levels[1].link.part_bytes_per_s, 1'000'000U);
    const auto candidates = tuned.candidates(of(Collective::all_gather, slow, 1 << 20), slow);
    // Half of it has to cross, at a million bytes a second.
    for (const Candidate& c : candidates) {
        if (!c.price) continue;
        EXPECT_GE(c.price->total_ns, 0.5e9) << c.algorithm->name;
    }
}

// What a choice goes by: every rank of every world comes to the same, whatever was asked before.
TEST(EveryRank, ChoosesTheSame) {
    const Selection by_default = selection();
    for (const Topology& topology : {cluster(1, 4), cluster(2, 3), cluster(5, 1), nested(2), nested(3)}) {
        std::vector<PricedChoices> known(static_cast<std::size_t>(topology.rank_count));
        for (std::size_t c = 0; c < planned_collective_count; c++)
            for (std::uint64_t bytes = 4; bytes <= 16 << 20; bytes = bytes * 3 + 4) {
                Request request = of(static_cast<Collective>(c), topology, bytes);
                const auto first = by_default.choose(request, topology);
                ASSERT_TRUE(first);
                for (; request.rank < topology.rank_count; request.rank++) {
                    PricedChoices& own = known[static_cast<std::size_t>(request.rank)];
                    // Some have been asked of other sizes before.
                    Request other = request;
                    other.count.value += static_cast<std::uint64_t>(request.rank);
                    EXPECT_TRUE(by_default.choose(other, topology, &own));
                    const auto choice = by_default.choose(request, topology, &own);
                    ASSERT_TRUE(choice);
                    EXPECT_EQ(choice->algorithm, first->algorithm);
                    EXPECT_EQ(choice->reason, first->reason);
                }
            }
    }
}

// Most candidates are not priced to the end, if at all; the choice is that of who prices all.
TEST(Selection, ByPriceIsTheCheapestOfAllCandidates) {
    const Selection by_default = selection();
    for (const Topology& topology : {nested(2), nested(3), nested(12), nested(40)})
        for (std::size_t c = 0; c < planned_collective_count; c++)
            for (std::uint64_t bytes = 8; bytes <= 64 << 20; bytes *= 100) {
                Request request = of(static_cast<Collective>(c), topology, bytes);
                request.count.value = std::bit_floor(request.count.value);
                const std::vector<Candidate> all = by_default.candidates(request, topology);
                const auto cheapest = std::ranges::min_element(all, {}, [](const Candidate& one) {
                    return one.price ? one.price->total_ns : std::numeric_limits<double>::infinity();
                });
                const auto choice = by_default.choose(request, topology);
                ASSERT_TRUE(choice);
                EXPECT_EQ(choice->algorithm, cheapest->algorithm)
                    << choice->algorithm->name << " (" << choice->reason << ") instead of " << cheapest->algorithm->name
                    << " for " << name_of(request.collective) << " of " << bytes << " bytes, " << topology.rank_count
                    << " ranks";
            }
}

TEST(EveryRank, ChoosesTheSameHoweverItsThreadRounds) {
    const Selection by_default = selection();
    const Topology topology = nested(3);
    for (std::size_t c = 0; c < planned_collective_count; c++)
        for (std::uint64_t bytes = 4; bytes <= 16 << 20; bytes = bytes * 3 + 4) {
            const Request request = of(static_cast<Collective>(c), topology, bytes);
            const auto first = by_default.choose(request, topology);
            std::fesetround(FE_UPWARD);
            const auto other = by_default.choose(request, topology);
            std::fesetround(FE_TONEAREST);
            ASSERT_TRUE(first && other);
            EXPECT_EQ(other->algorithm, first->algorithm);
            EXPECT_EQ(other->reason, first->reason);
        }
}

TEST(Selection, IsMadeForEveryCollectiveOfTwoSupernodesInTime) {
    const Generator* machine = generator_named("cloudmatrix384");
    ASSERT_NE(machine, nullptr);
    GeneratorValues values(machine->parameters);
    for (std::size_t i = 0; i < machine->parameters.size(); i++)
        if (machine->parameters[i].name == "supernodes") values[i] = 2;
    const Topology topology = topology_of(generate(*machine, values).value()).value();
    ASSERT_EQ(topology.rank_count, 1536);
    const Selection by_default = selection();
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t c = 0; c < planned_collective_count; c++)
        for (const std::uint64_t bytes : {std::uint64_t{8}, std::uint64_t{1} << 20, std::uint64_t{1} << 28}) {
            const Request request = of(static_cast<Collective>(c), topology, bytes);
            const auto choice = by_default.choose(request, topology);
            ASSERT_TRUE(choice) << choice.error().message;
        }
    // A bound that only a price of every rank by itself would miss, on a busy machine too.
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

}  // namespace
}  // namespace tenon
