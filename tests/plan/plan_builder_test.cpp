// The builder writes what its methods say, refuses its author's mistakes, and chunks lie where plan.hpp says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <stdexcept>

#include "tests/plan/worlds.hpp"

namespace tenon {
namespace {

using ::testing::ElementsAre;

const Request all_reduce_of_4{.collective = Collective::all_reduce, .rank = 1, .rank_count = 4};

TEST(PlanBuilder, TakesTheHeaderFromTheRequest) {
    PlanBuilder builder{{.collective = Collective::gather, .rank = 2, .rank_count = 5, .root = 2}, 3};
    const Plan plan = builder.finish().value();
    EXPECT_EQ(plan.collective, Collective::gather);
    EXPECT_EQ(plan.rank, 2);
    EXPECT_EQ(plan.rank_count, 5);
    EXPECT_EQ(plan.root, 2);
    EXPECT_EQ(plan.pieces, 3u);
    EXPECT_EQ(plan.input_blocks, 1u);
    EXPECT_EQ(plan.output_blocks, 5u);
}

TEST(PlanBuilder, WritesStepsInOrderWithWhatWasSaidOfThem) {
    PlanBuilder builder{all_reduce_of_4, 4};
    auto lane = builder.lane();
    lane.send(builder.input(1), 2, 3).source_stable().answered();
    lane.receive_reduce_copy_send(builder.output(2), builder.input(2), 0, 3, 1, 2).completes();
    lane.receive_published(builder.output(0), 3).destination_free();
    const Plan plan = builder.finish().value();
    ASSERT_EQ(plan.lanes.size(), 1u);
    const auto& steps = plan.lanes[0].steps;
    ASSERT_EQ(steps.size(), 3u);
    EXPECT_EQ(steps[0].kind, StepKind::send);
    EXPECT_EQ(steps[0].source, (Chunk{BufferId::input, 1, 1, 1}));
    EXPECT_EQ(steps[0].send_to, 2);
    EXPECT_EQ(steps[0].send_channel, 3);
    EXPECT_TRUE(steps[0].source_stable);
    EXPECT_TRUE(steps[0].answered);
    EXPECT_EQ(steps[1].receive_from, 0);
    EXPECT_EQ(steps[1].receive_channel, 1);
    EXPECT_EQ(steps[1].send_to, 3);
    EXPECT_EQ(steps[1].send_channel, 2);
    EXPECT_TRUE(steps[1].completes);
    EXPECT_FALSE(steps[0].completes);
    EXPECT_EQ(steps[2].receive_channel, board_channel);
    EXPECT_TRUE(steps[2].destination_free);
}

TEST(PlanBuilder, GroupsDependenciesInWhateverOrderTheyWereGiven) {
    PlanBuilder builder{all_reduce_of_4};
    auto first = builder.lane();
    auto second = builder.lane();
    const auto a = first.copy(builder.output(0), builder.input(0));
    const auto b = first.nothing();
    auto x = second.nothing();
    auto y = second.nothing();
    y.after(b);
    x.after(a);
    y.after(a).after(x);  // x comes before y in y's own lane already
    const Plan plan = builder.finish().value();
    EXPECT_THAT(plan.dependencies_of(plan.lanes[1].steps[0]), ElementsAre(StepRef{0, 0}));
    EXPECT_THAT(plan.dependencies_of(plan.lanes[1].steps[1]), ElementsAre(StepRef{0, 1}, StepRef{0, 0}));
    EXPECT_THAT(plan.dependencies_of(plan.lanes[0].steps[0]), ElementsAre());
}

TEST(PlanBuilder, KeepsTheOperandsOfEachReduce) {
    PlanBuilder builder{all_reduce_of_4};
    auto lane = builder.lane();
    const Chunk one = builder.scratch(builder.input(0)), two = builder.scratch(builder.input(0));
    lane.reduce(one, std::initializer_list<Chunk>{builder.input(0), two});
    lane.reduce_publish(builder.output(0), std::initializer_list<Chunk>{two, one, builder.input(0)});
    const Plan plan = builder.finish().value();
    EXPECT_THAT(plan.operands_of(plan.lanes[0].steps[0]), ElementsAre(builder.input(0), two));
    EXPECT_THAT(plan.operands_of(plan.lanes[0].steps[1]), ElementsAre(two, one, Chunk{BufferId::input, 0, 1, 0}));
    EXPECT_EQ(plan.lanes[0].steps[1].send_to, everyone);
}

TEST(PlanBuilder, GivesScratchTheLengthsOfWhatItStandsFor) {
    PlanBuilder builder{all_reduce_of_4, 4};
    EXPECT_EQ(builder.scratch(builder.input(3)), (Chunk{BufferId::scratch, 0, 1, 3}));
    EXPECT_EQ(builder.scratch(builder.output(1, 2)), (Chunk{BufferId::scratch, 1, 2, 1}));
    EXPECT_EQ(builder.finish().value().scratch_cells, 3u);
}

TEST(PlanBuilder, RefusesItsAuthorsMistakes) {
    PlanBuilder builder{all_reduce_of_4, 4};
    auto lane = builder.lane();
    const auto step = lane.nothing();
    EXPECT_THROW(builder.input(4), std::logic_error);
    EXPECT_THROW(builder.output(3, 2), std::logic_error);
    EXPECT_THROW(lane.send(builder.input(0), 1), std::logic_error) << "to itself";
    EXPECT_THROW(lane.send(builder.input(0), 4), std::logic_error) << "to a rank that there is not";
    EXPECT_THROW(lane.send(builder.input(0), 2, board_channel), std::logic_error) << "to one rank on the board";
    EXPECT_THROW(lane.receive(builder.input(0), 2), std::logic_error) << "into the caller's input";
    EXPECT_THROW(lane.copy(builder.output(0), {BufferId::scratch, 0, 1, 0}), std::logic_error);
    EXPECT_THROW(lane.reduce(builder.output(0), {}), std::logic_error);
    EXPECT_THROW(lane.nothing().after(StepRef{0, 9}), std::logic_error);
    EXPECT_THROW(StepHandle(step).after(step), std::logic_error);
    EXPECT_THROW((PlanBuilder{{.collective = Collective::reduce, .rank = 0, .rank_count = 2, .root = 2}}),
                 std::logic_error);
    EXPECT_THROW((PlanBuilder{all_reduce_of_4, 0}), std::logic_error);
}

TEST(PlanGeometry, RoundsPiecesUpToCacheLines) {
    EXPECT_EQ(piece_elements({0}, 4, DataType::float32).value, 0u);
    EXPECT_EQ(piece_elements({7}, 4, DataType::float32).value, 2u) << "smaller than a line: not rounded";
    EXPECT_EQ(piece_elements({100}, 4, DataType::float32).value, 32u) << "25 elements, in lines of 16";
    EXPECT_EQ(piece_elements({100}, 4, DataType::float64).value, 32u) << "25 elements, in lines of 8";
    EXPECT_EQ(piece_elements({100}, 1, DataType::float32).value, 100u) << "never longer than the block";
    EXPECT_EQ(piece_elements({256}, 4, DataType::int8).value, 64u);
}

TEST(PlanGeometry, EndsPiecesWhereTheBlockEnds) {
    const auto range = [](ChunkIndex index, std::uint32_t count) {
        const auto [first, length] =
            element_range({BufferId::output, index, count, index % 4}, 4, {100}, DataType::float32);
        return std::pair{first, length};
    };
    EXPECT_EQ(range(0, 1), std::pair(0ul, 32ul));
    EXPECT_EQ(range(3, 1), std::pair(96ul, 4ul));
    EXPECT_EQ(range(0, 4), std::pair(0ul, 100ul));
    EXPECT_EQ(range(5, 1), std::pair(132ul, 32ul)) << "in the second block";
    EXPECT_EQ(range(3, 2), std::pair(96ul, 36ul)) << "across the blocks' border";
    EXPECT_EQ(element_range({BufferId::scratch, 5, 2, 2}, 4, {100}, DataType::float32).first, 160u);
    EXPECT_EQ(element_range({BufferId::scratch, 5, 2, 2}, 4, {100}, DataType::float32).count, 36u);
}

TEST(PlanGeometry, CutsEveryBlockWithoutGapsOrOverlaps) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random{seed};
    for (int round = 0; round < 2000; round++) {
        const ElementCount count{random() % (round % 2 == 0 ? 40 : 100'000)};
        const auto pieces = static_cast<std::uint32_t>(random() % 40 + 1);
        const auto type = static_cast<DataType>(random() % data_type_count);
        std::uint64_t next = 0;
        for (ChunkIndex index = 0; index < 3 * pieces; index++) {
            const auto [first, length] =
                element_range({BufferId::input, index, 1, index % pieces}, pieces, count, type);
            ASSERT_EQ(first, next) << count.value << " elements in " << pieces << " pieces, chunk " << index;
            ASSERT_LE(length, piece_elements(count, pieces, type).value);
            next += length;
        }
        ASSERT_EQ(next, 3 * count.value);
    }
}

TEST(PlanGeometry, KnowsTheBlocksOfEveryCollective) {
    EXPECT_EQ(input_blocks(Collective::broadcast, 1, 4, 0), 0u);
    EXPECT_EQ(input_blocks(Collective::broadcast, 1, 4, 1), 1u);
    EXPECT_EQ(output_blocks(Collective::reduce, 1, 4, 0), 0u);
    EXPECT_EQ(output_blocks(Collective::gather, 3, 4, 3), 4u);
    EXPECT_EQ(input_blocks(Collective::scatter, 3, 4, 3), 4u);
    EXPECT_EQ(input_blocks(Collective::reduce_scatter, 2, 4, 0), 4u);
    EXPECT_EQ(output_blocks(Collective::reduce_scatter, 2, 4, 0), 1u);
    EXPECT_EQ(output_blocks(Collective::barrier, 0, 4, 0), 0u);
}

}  // namespace
}  // namespace tenon
