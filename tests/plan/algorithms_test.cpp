// Every built-in algorithm is right: for every small world and some large ones, every root, in place and not. And every
// row of the manifests says what is true of it.
//
// The suites are enumerated from the manifests, so that a new row is tested without a line here. Suites whose names
// start with Exhaustive take long.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <set>

#include "algorithms/patterns/manifest.hpp"
#include "plan/boards.hpp"
#include "plan/verifier.hpp"

namespace tenon {

// How GoogleTest shows a parameter; found only beside its type.
static void PrintTo(const Algorithm& row, std::ostream* out) { *out << name_of(row.collective) << " " << row.name; }

namespace {

std::vector<Algorithm> all_rows() {
    std::vector<Algorithm> rows;
    for (const auto& manifest :
         {all_reduce_algorithms(), all_gather_algorithms(), reduce_scatter_algorithms(), all_to_all_algorithms(),
          broadcast_algorithms(), reduce_algorithms(), gather_algorithms(), scatter_algorithms(), barrier_algorithms()})
        rows.insert(rows.end(), manifest.begin(), manifest.end());
    return rows;
}

std::string name_of_row(const Algorithm& row) {
    return std::string(name_of(row.collective)) + "_" + std::string(row.name);
}

class EachAlgorithm : public ::testing::TestWithParam<Algorithm> {
protected:
    const Algorithm& row() const { return GetParam(); }

    bool takes(Rank rank_count) const {
        const bool power_of_two = (rank_count & (rank_count - 1)) == 0;
        return rank_count <= row().needs.max_ranks && (power_of_two || !row().needs.power_of_two_ranks);
    }

    std::vector<Plan> plans_of(Rank rank_count, Rank root) const {
        std::vector<Plan> plans;
        for (Rank rank = 0; rank < rank_count; rank++) {
            auto plan =
                row().build({.collective = row().collective, .rank = rank, .rank_count = rank_count, .root = root},
                            {.rank_count = rank_count});
            if (!plan) {
                ADD_FAILURE() << "rank " << rank << " of " << rank_count << ": " << plan.error().message;
                return {};
            }
            plans.push_back(std::move(*plan));
            plans.back().algorithm = row().name;
        }
        return plans;
    }

    void expect_right(Rank rank_count, Rank root, VerifyOptions options = {}) const {
        const auto plans = plans_of(rank_count, root);
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

TEST_P(AlgorithmsInSmallWorlds, AreDeterministicWhereTheirRowSaysSo) {
    bool in_one_step = true, by_powers = true;
    for (Rank rank_count = 1; rank_count <= 16; rank_count++)
        for (const Rank root : two_roots(rank_count)) {
            if (!takes(rank_count)) continue;
            const VerifiedPlan facts = expect_right(plans_of(rank_count, root));
            in_one_step = in_one_step && facts.tree_in_one_step;
            by_powers = by_powers && (facts.tree || !std::has_single_bit(static_cast<unsigned>(rank_count)));
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

const auto row_name = [](const auto& info) { return name_of_row(info.param); };
INSTANTIATE_TEST_SUITE_P(Row, AlgorithmsInSmallWorlds, ::testing::ValuesIn(all_rows()), row_name);
INSTANTIATE_TEST_SUITE_P(Row, AlgorithmsInLargeWorlds, ::testing::ValuesIn(all_rows()), row_name);
INSTANTIATE_TEST_SUITE_P(Row, ExhaustiveAlgorithmsInLargeWorlds, ::testing::ValuesIn(all_rows()), row_name);

TEST(AlgorithmManifests, NameEachAlgorithmOnce) {
    std::set<std::string> names;
    for (const Algorithm& row : all_rows()) EXPECT_TRUE(names.insert(name_of_row(row)).second) << name_of_row(row);
}

TEST(AlgorithmManifests, TellUsersWhatTheyNeedToChoose) {
    for (const Algorithm& row : all_rows())
        for (const std::string_view text : {row.summary, row.cost, row.source})
            EXPECT_FALSE(text.empty()) << name_of_row(row);
}

TEST(AlgorithmManifests, HaveADeterministicWayOfEverySizeForEveryCollective) {
    std::set<Collective> ways;
    for (const Algorithm& row : all_rows())
        if (row.deterministic && row.needs.max_bytes == Needs{}.max_bytes && row.needs.max_ranks == Needs{}.max_ranks &&
            !row.needs.power_of_two_ranks)
            ways.insert(row.collective);
    EXPECT_EQ(ways.size(), planned_collective_count);
}

}  // namespace
}  // namespace tenon
