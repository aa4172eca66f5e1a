// Every built-in algorithm is right: for every small world and some large ones, every root, in place and not. And every
// row of the manifests says what is true of it.
//
// The suites are enumerated from the manifests, so that a new row is tested without a line here. Suites whose names
// start with Exhaustive take long.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <set>

#include "algorithms/patterns/manifest.hpp"
#include "plan/boards.hpp"
#include "plan/verifier.hpp"
#include "plan/world.hpp"
#include "tests/plan/every_algorithm.hpp"
#include "topology/shape.hpp"

namespace tenon {

// How GoogleTest shows a parameter; found only beside its type.
static void PrintTo(const Algorithm& row, std::ostream* out) { *out << name_of(row.collective) << " " << row.name; }

namespace {

std::string name_of_row(const Algorithm& row) {
    return std::string(name_of(row.collective)) + "_" + std::string(row.name);
}

// Ranks in groups of that shape; interleaved: neighbours are in different groups, as where a launcher deals them out.
Topology grouped(std::string_view shape, bool interleaved = false) {
    Topology topology{.levels = levels_of_shape(shape).value()};
    topology.rank_count = static_cast<Rank>(topology.levels[0].group_of.size());
    for (Level& level : topology.levels) {
        if (!interleaved) continue;
        const std::vector<std::int32_t> in_order = level.group_of;
        std::size_t step = in_order.size() / 2;
        while (std::gcd(step, in_order.size()) != 1) step++;
        for (std::size_t rank = 0; rank < in_order.size(); rank++)
            level.group_of[rank] = in_order[rank * step % in_order.size()];
    }
    return topology;
}

class EachAlgorithm : public ::testing::TestWithParam<Algorithm> {
protected:
    const Algorithm& row() const { return GetParam(); }

    bool takes(Rank rank_count) const {
        const bool power_of_two = (rank_count & (rank_count - 1)) == 0;
        return rank_count <= row().needs.max_ranks && (power_of_two || !row().needs.power_of_two_ranks);
    }

    std::vector<Plan> plans_of(const Topology& topology, Rank root) const {
        const Rank rank_count = topology.rank_count;
        std::vector<Plan> plans;
        for (Rank rank = 0; rank < rank_count; rank++) {
            auto plan = row().build(
                {.collective = row().collective, .rank = rank, .rank_count = rank_count, .root = root}, topology);
            if (!plan) {
                ADD_FAILURE() << "rank " << rank << " of " << rank_count << ": " << plan.error().message;
                return {};
            }
            plans.push_back(std::move(*plan));
            plans.back().algorithm = row().name;
        }
        return plans;
    }
    std::vector<Plan> plans_of(Rank rank_count, Rank root) const { return plans_of({.rank_count = rank_count}, root); }

    void expect_right(Rank rank_count, Rank root, VerifyOptions options = {}) const {
        expect_right({.rank_count = rank_count}, root, options);
    }
    void expect_right(const Topology& topology, Rank root, VerifyOptions options = {}) const {
        const auto plans = plans_of(topology, root);
        std::vector<Plan> over_network;
        for (const Plan& plan : plans) over_network.push_back(without_boards(plan));
        for (const bool in_place : {false, true}) {
            if (in_place && (!row().in_place || row().collective == Collective::barrier)) continue;
            options.in_place = in_place;
            expect_right(plans, options);
            if (uses_boards(plans)) expect_right(over_network, options);
        }
    }

    static bool uses_boards(std::span<const Plan> plans) {
        for (const Plan& plan : plans)
            for (const Lane& lane : plan.lanes)
                for (const Step& step : lane.steps)
                    if (step.send_to == everyone) return true;
        return false;
    }

    static VerifiedPlan expect_right(std::span<const Plan> plans, const VerifyOptions& options = {}) {
        const auto facts = verify(plans, options);
        EXPECT_TRUE(facts.has_value()) << facts.error().message;
        return facts.value_or(VerifiedPlan{});
    }

    Rank last_root(Rank rank_count) const { return is_rooted(row().collective) ? rank_count - 1 : 0; }
    // Root 0, and one whose subtrees wrap around the last rank.
    std::set<Rank> two_roots(Rank rank_count) const { return {0, last_root(rank_count) * 2 / 3}; }
};

using AlgorithmsInSmallWorlds = EachAlgorithm;

TEST_P(AlgorithmsInSmallWorlds, AreRightForEveryRankCountAndRoot) {
    for (Rank rank_count = 1; rank_count <= 16; rank_count++)
        for (Rank root = 0; takes(rank_count) && root <= last_root(rank_count); root++) {
            SCOPED_TRACE(testing::Message() << rank_count << " ranks, root " << root);
            expect_right(rank_count, root);
        }
}

constexpr std::string_view small_shapes[] = {"1x4",   "4x1",   "2x2",   "2x3",   "4x4",    "5x3",
                                             "2x2x2", "2x3x4", "3,1,4", "1,1,5", "1,6,2,2"};

TEST_P(AlgorithmsInSmallWorlds, AreRightForEveryShapeOfGroupsAndRoot) {
    for (const std::string_view shape : small_shapes)
        for (const bool interleaved : {false, true}) {
            const Topology topology = grouped(shape, interleaved);
            for (Rank root = 0; takes(topology.rank_count) && root <= last_root(topology.rank_count); root++) {
                SCOPED_TRACE(testing::Message() << shape << (interleaved ? ", interleaved" : "") << ", root " << root);
                expect_right(topology, root);
            }
        }
}

// Groups within groups, of unequal size and depth, that no shape describes.
TEST_P(AlgorithmsInSmallWorlds, AreRightForUnevenGroupsWithinGroups) {
    Topology topology{.rank_count = 11,
                      .levels = {{.name = "server", .group_of = {0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4}},
                                 {.name = "supernode", .group_of = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2}},
                                 {.name = "cluster", .group_of = std::vector<std::int32_t>(11)}}};
    if (takes(topology.rank_count))
        for (const Rank root : two_roots(topology.rank_count)) expect_right(topology, root);
}

TEST_P(AlgorithmsInSmallWorlds, AreDeterministicWhereTheirRowSaysSo) {
    bool in_one_step = true, by_powers = true;
    std::vector<Topology> worlds;
    for (Rank rank_count = 1; rank_count <= 16; rank_count++) worlds.push_back({.rank_count = rank_count});
    for (const std::string_view shape : {"2x2", "4x4", "3,1,4"}) worlds.push_back(grouped(shape, true));
    for (const Topology& topology : worlds)
        for (const Rank root : two_roots(topology.rank_count)) {
            if (!takes(topology.rank_count)) continue;
            const VerifiedPlan facts = expect_right(plans_of(topology, root));
            in_one_step = in_one_step && facts.tree_in_one_step;
            by_powers = by_powers && (facts.tree || !std::has_single_bit(static_cast<unsigned>(topology.rank_count)));
        }
    EXPECT_EQ(row().deterministic, in_one_step);
    EXPECT_EQ(row().deterministic_by_powers, by_powers && !in_one_step);
}

using AlgorithmsInLargeWorlds = EachAlgorithm;

TEST_P(AlgorithmsInLargeWorlds, AreRight) {
    for (const Rank rank_count : {61, 64, 100, 256})
        for (const Rank root : two_roots(rank_count))
            if (takes(rank_count)) expect_right(rank_count, root);
}

TEST_P(AlgorithmsInLargeWorlds, AreRightInGroups) {
    for (const std::string_view shape : {"16x16", "4x8x8", "7x9", "24,1,40"}) {
        const Topology topology = grouped(shape);
        if (takes(topology.rank_count)) expect_right(topology, *two_roots(topology.rank_count).rbegin());
    }
}

TEST_P(AlgorithmsInLargeWorlds, AreRightForAThousandRanks) {
    const Rank rank_count = row().needs.power_of_two_ranks ? 1024 : 1000;
    if (takes(rank_count)) expect_right(plans_of(rank_count, *two_roots(rank_count).rbegin()));
}

using ExhaustiveAlgorithmsInLargeWorlds = EachAlgorithm;

TEST_P(ExhaustiveAlgorithmsInLargeWorlds, AreRightForAThousandRanksInPlaceToo) {
    const Rank rank_count = row().needs.power_of_two_ranks ? 1024 : 1000;
    for (const Rank root : two_roots(rank_count))
        if (takes(rank_count)) expect_right(rank_count, root);
}

TEST_P(ExhaustiveAlgorithmsInLargeWorlds, HaveNoRacesBetweenLanes) {
    for (const Rank root : two_roots(256))
        if (takes(256)) expect_right(256, root, {.most_ranks_for_order = 256});
}

TEST_P(ExhaustiveAlgorithmsInLargeWorlds, AreRightForAThousandRanksInGroups) {
    const Topology topology = grouped("2x32x16");
    if (takes(topology.rank_count)) expect_right(topology, *two_roots(topology.rank_count).rbegin());
}

const auto row_name = [](const auto& info) { return name_of_row(info.param); };
INSTANTIATE_TEST_SUITE_P(Row, AlgorithmsInSmallWorlds, ::testing::ValuesIn(every_algorithm()), row_name);
INSTANTIATE_TEST_SUITE_P(Row, AlgorithmsInLargeWorlds, ::testing::ValuesIn(every_algorithm()), row_name);
INSTANTIATE_TEST_SUITE_P(Row, ExhaustiveAlgorithmsInLargeWorlds, ::testing::ValuesIn(every_algorithm()), row_name);

// What ranks of other groups of the innermost level are sent by each group: messages, and pieces of a buffer.
struct Sent {
    std::vector<std::uint64_t> messages, pieces;
};
Sent sent_between_groups(std::string_view collective, std::string_view algorithm, std::string_view shape,
                         Rank root = 0) {
    const Topology topology = grouped(shape);
    const std::vector<std::int32_t>& group_of = topology.levels[0].group_of;
    Sent sent{std::vector<std::uint64_t>(group_of.size()), std::vector<std::uint64_t>(group_of.size())};
    for (const Algorithm& row : every_algorithm()) {
        if (row.name != algorithm || name_of(row.collective) != collective) continue;
        for (Rank rank = 0; rank < topology.rank_count; rank++) {
            const Plan plan = row.build({.collective = row.collective, .rank = rank, .rank_count = topology.rank_count,
                                         .root = root}, topology).value();
            const auto group = static_cast<std::size_t>(group_of[static_cast<std::size_t>(rank)]);
            for (const Lane& lane : plan.lanes)
                for (const Step& step : lane.steps) {
                    if (!sends(step.kind) || group_of[static_cast<std::size_t>(step.send_to)] ==
                                                 group_of[static_cast<std::size_t>(rank)])
                        continue;
                    sent.messages[group]++;
                    sent.pieces[group] += sent_chunk(step).count;
                }
        }
    }
    sent.messages.resize(static_cast<std::size_t>(*std::ranges::max_element(group_of)) + 1);
    sent.pieces.resize(sent.messages.size());
    return sent;
}

using ::testing::Each;

TEST(HierarchicalAlgorithms, SendTheLeastBetweenGroups) {
    // 4 groups of 4 ranks; of an all-reduce 16 pieces, of the others a block each.
    EXPECT_THAT(sent_between_groups("all_reduce", "hierarchical", "4x4").pieces, Each(2 * 16 * 3 / 4));
    EXPECT_THAT(sent_between_groups("all_reduce", "hierarchical_circulant", "4x4").pieces, Each(2 * 16 * 3 / 4));
    EXPECT_THAT(sent_between_groups("reduce_scatter", "hierarchical", "4x4").pieces, Each(12));
    EXPECT_THAT(sent_between_groups("all_gather", "hierarchical", "4x4").pieces, Each(12));
    EXPECT_THAT(sent_between_groups("all_to_all", "hierarchical", "4x4").pieces, Each(4 * 12));
    // A buffer of 4 slices into each group but the root's.
    for (const std::string_view collective : {"broadcast", "reduce"}) {
        const auto pieces = sent_between_groups(collective, "hierarchical", "4x4", 5).pieces;
        EXPECT_EQ(std::accumulate(pieces.begin(), pieces.end(), 0U), 3 * 4U) << collective;
        EXPECT_THAT(pieces, Each(::testing::Le(4U))) << collective;
    }
}

TEST(HierarchicalAlgorithms, SendFewMessagesBetweenGroups) {
    // Each rank one to each other group, or in log2(groups) rounds.
    EXPECT_THAT(sent_between_groups("all_to_all", "hierarchical", "4x4").messages, Each(4 * 3));
    EXPECT_THAT(sent_between_groups("all_reduce", "hierarchical_doubling", "4x4").messages, Each(4 * 2));
    // In 3 rounds for 7 blocks, of which two may wrap around the end.
    EXPECT_THAT(sent_between_groups("reduce_scatter", "hierarchical_circulant", "8x4").messages,
                Each(::testing::Le(4 * 5)));
    EXPECT_THAT(sent_between_groups("all_gather", "hierarchical_bruck", "8x4").messages, Each(::testing::Le(4 * 5)));
}

TEST(HierarchicalAlgorithms, AllRanksOfAGroupCarryTheSame) {
    const Topology topology = grouped("4x4");
    for (const Algorithm& row : all_reduce_algorithms()) {
        if (row.name != "hierarchical") continue;
        for (Rank rank = 0; rank < topology.rank_count; rank++) {
            const Plan plan =
                row.build({.collective = row.collective, .rank = rank, .rank_count = topology.rank_count}, topology)
                    .value();
            std::uint64_t pieces = 0;
            for (const Lane& lane : plan.lanes)
                for (const Step& step : lane.steps)
                    if (sends(step.kind) && step.send_to / 4 != rank / 4) pieces += sent_chunk(step).count;
            EXPECT_EQ(pieces, 2 * 4 * 3 / 4U) << "rank " << rank;
        }
    }
}

TEST(HierarchicalAlgorithms, RefuseGroupsThatDoNotNest) {
    Topology topology = grouped("2x2x2");
    topology.levels[1].group_of = {0, 1, 1, 1, 0, 0, 0, 1};
    for (const Algorithm& row : every_algorithm()) {
        if (!row.name.starts_with("hierarchical")) continue;
        const auto plan = row.build({.collective = row.collective, .rank = 1, .rank_count = 8}, topology);
        ASSERT_FALSE(plan) << name_of_row(row);
        EXPECT_THAT(plan.error().message, ::testing::HasSubstr("do not nest")) << name_of_row(row);
    }
}

TEST(AlgorithmManifests, NameEachAlgorithmOnce) {
    std::set<std::string> names;
    for (const Algorithm& row : every_algorithm())
        EXPECT_TRUE(names.insert(name_of_row(row)).second) << name_of_row(row);
}

TEST(AlgorithmManifests, TellUsersWhatTheyNeedToChoose) {
    for (const Algorithm& row : every_algorithm())
        for (const std::string_view text : {row.summary, row.cost, row.source})
            EXPECT_FALSE(text.empty()) << name_of_row(row);
}

TEST(AlgorithmManifests, HaveADeterministicWayOfEverySizeForEveryCollective) {
    std::set<Collective> ways;
    for (const Algorithm& row : every_algorithm())
        if (row.deterministic && row.needs.max_bytes == Needs{}.max_bytes && row.needs.max_ranks == Needs{}.max_ranks &&
            !row.needs.power_of_two_ranks)
            ways.insert(row.collective);
    EXPECT_EQ(ways.size(), planned_collective_count);
}

}  // namespace
}  // namespace tenon
