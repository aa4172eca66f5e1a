// What is chosen where nobody asks for anything, and that the table's rows can be what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "communicator/surroundings.hpp"
#include "config/config.hpp"
#include "selection/selection.hpp"
#include "topology/met_ranks.hpp"

namespace tenon {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Topology on_hosts(std::initializer_list<int> ranks_of_hosts, bool has_boards = false) {
    std::vector<RankFacts> ranks;
    std::int32_t host = 0;
    for (const int count : ranks_of_hosts) ranks.insert(ranks.end(), static_cast<std::size_t>(count), {.host = host++});
    return topology_of(ranks, {.has_boards = has_boards, .slot_bytes = 65536});
}

Choice chosen(Collective collective, std::uint64_t bytes, const Topology& topology) {
    const Selection selection = Selection::make(known_algorithms(Config{}).value(), {}).value();
    Request request{.collective = collective, .rank_count = topology.rank_count, .count = {1}};
    request.count = {bytes / large_buffer_bytes(request).value};
    return selection.choose(request, topology).value();
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

}  // namespace
}  // namespace tenon
