// The verifier accepts right worlds with the right facts, and refuses broken ones with words that lead to the fault.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/plan/verdicts.hpp"

namespace tenon {
namespace {

using namespace testing;
using ::testing::HasSubstr;

TEST(PlanVerifier, AcceptsARingAndCountsItsMessages) {
    for (Rank ranks = 2; ranks <= 9; ranks++)
        for (const bool in_place : {false, true}) {
            const auto facts = expect_right(ring_all_reduce(ranks), {.in_place = in_place});
            EXPECT_EQ(facts.messages, static_cast<std::uint64_t>(2 * (ranks - 1) * ranks));
            EXPECT_EQ(facts.message_chain, static_cast<std::uint32_t>(2 * (ranks - 1)));
            EXPECT_TRUE(facts.accesses_ordered);
            EXPECT_EQ(facts.tree, ranks <= 2) << ranks;
        }
}

TEST(PlanVerifier, KnowsTheTreeOverRanksWhenOneStepFormsIt) {
    const auto facts = expect_right(one_shot_all_reduce(6), {.in_place = true});
    EXPECT_TRUE(facts.tree);
    EXPECT_TRUE(facts.tree_in_one_step);
    EXPECT_EQ(facts.message_chain, 1u);
}

TEST(PlanVerifier, KnowsTheTreeOverRanksWhenPartialSumsTravel) {
    const auto recursive_doubling = make_world(Collective::all_reduce, 4, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        const Chunk pair = plan.scratch(plan.input(0));
        lane.send(plan.input(0), r ^ 1);
        lane.receive_reduce(pair, plan.input(0), r ^ 1);
        lane.send(pair, r ^ 2);
        lane.receive_reduce(plan.output(0), pair, r ^ 2).completes();
    });
    const auto facts = expect_right(recursive_doubling);
    EXPECT_TRUE(facts.tree);
    EXPECT_FALSE(facts.tree_in_one_step);
}

TEST(PlanVerifier, OperandsOutOfRankOrderAreNotTheTree) {
    auto plans = one_shot_all_reduce(3);
    std::swap(plans[1].operands[0], plans[1].operands[2]);
    EXPECT_FALSE(expect_right(plans).tree);
}

TEST(PlanVerifier, AcceptsTwoLanesAndABarrier) {
    for (Rank ranks = 1; ranks <= 9; ranks++) {
        expect_right(direct_all_to_all(ranks));
        expect_right(dissemination_barrier(ranks));
    }
}

TEST(PlanVerifier, ProvesAThousandRanksWithoutLookingAtOrder) {
    const auto facts = expect_right(dissemination_barrier(1000));
    EXPECT_EQ(facts.message_chain, 10u);
    EXPECT_FALSE(facts.accesses_ordered);
    EXPECT_EQ(expect_right(ring_all_reduce(256)).message_chain, 510u);
}

TEST(PlanVerifier, RefusesAMissingRank) {
    auto plans = ring_all_reduce(4);
    plans.pop_back();
    expect_refused(plans, {"example all_reduce of 3 ranks", "give every rank's, in order"});
    expect_refused({}, {"no plans"});
}

TEST(PlanVerifier, RefusesPlansOfDifferentCalls) {
    auto plans = ring_all_reduce(4);
    plans[2].tile_bytes = 4096;
    expect_refused(plans, {"rank 2's plan and rank 0's are not of one call"});
}

TEST(PlanVerifier, RefusesAWrongContribution) {
    auto plans = ring_all_reduce(4);
    step(plans, 2, 3).source = step(plans, 2, 3).destination = {BufferId::output, 0, 1, 0};
    expect_refused(plans, {"rank 2, lane 0, step 3"});

    plans = ring_all_reduce(4);
    auto repeated = ring_all_reduce(4);
    for (Rank rank = 0; rank < 4; rank++) step(plans, rank, 3).completes = false;
    expect_refused(plans, {"rank 0's output 0", "complete sum that no step is marked as completing"});
}

TEST(PlanVerifier, RefusesAContributionGivenTwice) {
    auto plans = make_world(Collective::all_reduce, 2, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        const Chunk sum = plan.scratch(plan.input(0));
        lane.send(plan.input(0), 1 - r);
        lane.receive_reduce(sum, plan.input(0), 1 - r);
        const Chunk twice[] = {sum, plan.input(0)};
        lane.reduce(plan.output(0), twice);
    });
    expect_refused(plans, {"rank 0's output 0 ends as rank 0's input 0 (2 times) + rank 1's input 0", "each once"});
    step(plans, 1, 2).completes = true;
    expect_refused(plans, {"rank 1, lane 0, step 2 (reduce) is marked as completing", "rank 1's input 0 (2 times)"});
}

TEST(PlanVerifier, RefusesAddingToACompleteSum) {
    auto plans = ring_all_reduce(3);
    step(plans, 1, 2).completes = false;
    expect_refused(plans, {"no step is marked as completing"});
    plans = make_world(Collective::all_reduce, 2, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        lane.send(plan.input(0), 1 - r);
        lane.receive_reduce(plan.output(0), plan.input(0), 1 - r).completes();
        lane.send(plan.output(0), 1 - r);
        lane.receive_reduce(plan.output(0), plan.output(0), 1 - r);
    });
    expect_refused(plans, {"rank 0, lane 0, step 3 (receive_reduce) adds to a sum that is complete already"});
}

TEST(PlanVerifier, RefusesAPrematureCompletes) {
    auto plans = ring_all_reduce(4);
    step(plans, 3, 1).completes = true;
    expect_refused(plans, {"rank 3, lane 0, step 1 (receive_reduce_send)", "is not each rank's contribution once",
                           "rank 2's input 2 + rank 3's input 2"});
    plans = ring_all_reduce(4);
    step(plans, 3, 0).completes = true;
    expect_refused(plans, {"rank 3, lane 0, step 0 (send)", "combines nothing"});
}

TEST(PlanVerifier, RefusesABlockFromTheWrongRank) {
    auto plans = direct_all_to_all(4);
    std::swap(step(plans, 2, 1).source, step(plans, 2, 2).source);
    expect_refused(plans, {"rank 0's output 2 ends as rank 2's input 3, but must be rank 2's input 0"});
}

TEST(PlanVerifier, RefusesAnOutputThatIsNeverWritten) {
    auto plans = direct_all_to_all(3);
    step(plans, 1, 0) = {};
    expect_refused(plans, {"rank 1's output 1 is never written"});
}

TEST(PlanVerifier, RefusesReadingWhatNobodyWrote) {
    auto plans = one_shot_all_reduce(2);
    step(plans, 0, 1).destination = {BufferId::output, 0, 1, 0};
    expect_refused(plans, {"rank 0, lane 0, step 2 (reduce) reads scratch 0, which nothing has written yet"});
}

TEST(PlanVerifier, RefusesAMissingReceive) {
    auto plans = direct_all_to_all(4);
    plans[2].lanes[1].steps.pop_back();
    expect_refused(plans,
                   {"rank 3, lane 0, step 3 (send) sends to rank 2 on channel 0", "rank 2 receives nothing there"});
    plans = ring_all_reduce(4);
    plans[2].lanes[0].steps.pop_back();
    expect_refused(plans, {"rank 1, lane 0, step 5", "sends message 6 to rank 2", "receives only 5"});
    plans = one_shot_all_reduce(4);
    step(plans, 2, 2) = {};
    expect_refused(plans,
                   {"rank 1, lane 0, step 0 (send) sends to everyone on the board", "rank 2 receives nothing there"});
}

TEST(PlanVerifier, RefusesAMissingSend) {
    auto plans = direct_all_to_all(4);
    step(plans, 3, 3) = {};
    expect_refused(
        plans, {"rank 2, lane 1, step 2 (receive) receives from rank 3 on channel 0", "rank 3 sends nothing there"});
}

TEST(PlanVerifier, RefusesMessagesOfDifferentLengths) {
    auto plans = make_world(Collective::broadcast, 2, 4, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        if (r == 0) lane.copy(plan.output(0, 4), plan.input(0, 4));
        if (r == 0) lane.send(plan.input(0, 4), 1);
        if (r == 1) lane.receive(plan.output(0, 4), 0);
    });
    expect_right(plans);
    step(plans, 1, 0).destination.count = 3;
    expect_refused(plans,
                   {"rank 0, lane 0, step 1 (send) sends 4 piece(s)", "rank 1, lane 0, step 0 (receive) receives 3"});
}

TEST(PlanVerifier, RefusesOneChannelForTwoLanes) {
    const auto plans = make_world(Collective::broadcast, 2, 2, [](PlanBuilder& plan, Rank r) {
        auto first = plan.lane();
        auto second = plan.lane();
        for (ChunkIndex piece = 0; piece < 2; piece++) {
            LaneBuilder& lane = piece == 0 ? first : second;
            if (r == 0) lane.copy(plan.output(piece), plan.input(piece));
            if (r == 0) lane.send(plan.input(piece), 1);
            if (r == 1) lane.receive(plan.output(piece), 0);
        }
    });
    expect_refused(plans, {"rank 0, lane 0, step 1", "rank 0, lane 1, step 1", "from two lanes"});
}

TEST(PlanVerifier, RefusesADeadlockWhenEveryRankReceivesFirst) {
    const auto plans = make_world(Collective::all_gather, 3, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        for (Rank k = 1; k < 3; k++) lane.receive(plan.block_of_output((r + k) % 3), (r + k) % 3);
        for (Rank k = 1; k < 3; k++) lane.send(plan.input(0), (r + k) % 3);
        lane.copy(plan.block_of_output(r), plan.input(0));
    });
    expect_refused(plans, {"deadlock", "rank 0, lane 0, step 0 (receive) waits for rank 1, lane 0, step 0 (receive)",
                           "3 lane(s) wait in a circle"});
}

TEST(PlanVerifier, RefusesMoreMessagesInFlightThanChannelsHold) {
    const auto exchange = [](ChunkIndex pieces) {
        return make_world(Collective::all_gather, 2, pieces, [pieces](PlanBuilder& plan, Rank r) {
            auto lane = plan.lane();
            const ChunkIndex mine = static_cast<ChunkIndex>(r) * pieces,
                             theirs = static_cast<ChunkIndex>(1 - r) * pieces;
            for (ChunkIndex piece = 0; piece < pieces; piece++) lane.send(plan.input(piece), 1 - r);
            for (ChunkIndex piece = 0; piece < pieces; piece++) lane.receive(plan.output(theirs + piece), 1 - r);
            lane.copy(plan.output(mine, pieces), plan.input(0, pieces));
        });
    };
    expect_right(exchange(2));
    expect_refused(exchange(3), {"deadlock with 2 message(s) per channel", "step 2 (send)"});
    expect_right(exchange(3), {.channel_depth = 3});
}

TEST(PlanVerifier, RefusesAnExchangeOfWholeChunksInOneLane) {
    const auto exchange = [](std::uint64_t tile_bytes, bool in_one_lane) {
        return make_world(Collective::all_gather, 2, 1, [=](PlanBuilder& plan, Rank r) {
            plan.tile_bytes(tile_bytes);
            auto sender = plan.lane();
            auto receiver = plan.lane();
            sender.copy(plan.block_of_output(r), plan.input(0));
            sender.send(plan.input(0), 1 - r);
            (in_one_lane ? sender : receiver).receive(plan.block_of_output(1 - r), 1 - r);
        });
    };
    expect_right(exchange(0, true));
    expect_right(exchange(one_tile, false));
    expect_refused(exchange(one_tile, true), {"deadlock with chunks larger than a channel", "one_tile",
                                              "rank 0, lane 0, step 1 (send) waits for rank 1, lane 0, step 1 (send)"});
}

TEST(PlanVerifier, RefusesARaceBetweenLanes) {
    const auto relay = [](bool ordered, bool swapped) {
        return make_world(Collective::broadcast, 3, 1, [ordered, swapped](PlanBuilder& plan, Rank r) {
            auto first = plan.lane();
            auto second = plan.lane();
            if (r == 0) first.copy(plan.output(0), plan.input(0));
            if (r == 0) first.send(plan.input(0), 1);
            if (r == 2) first.receive(plan.output(0), 1);
            if (r != 1) return;
            LaneBuilder& receiver = swapped ? second : first;
            LaneBuilder& sender = swapped ? first : second;
            const auto arrived = receiver.receive(plan.output(0), 0);
            auto sent = sender.send(plan.output(0), 2);
            if (ordered) sent.after(arrived);
        });
    };
    expect_right(relay(true, false));
    expect_right(relay(true, true));
    expect_refused(relay(false, false), {"rank 1, lane 0, step 0 (receive) races with rank 1, lane 1, step 0 (send)",
                                         "one writes output 0, the other reads output 0"});
}

TEST(PlanVerifier, SeesOrderThatComesThroughAPeer) {
    // Rank 1's two lanes are ordered by a message to rank 0 and its answer, but not where that message may be empty.
    const auto world = [](ChunkIndex asked) {
        return make_world(Collective::broadcast, 2, 2, [asked](PlanBuilder& plan, Rank r) {
            auto first = plan.lane();
            auto second = plan.lane();
            if (r == 0) {
                first.copy(plan.output(0, 2), plan.input(0, 2));
                first.send(plan.input(0), 1, 0);
                first.send(plan.input(1), 1, 0);
                second.receive(plan.scratch(plan.input(asked)), 1, 1);
                second.send(plan.input(asked), 1, 1);
            } else {
                first.receive(plan.output(0), 0, 0);
                first.receive(plan.output(1), 0, 0);
                first.send(plan.output(asked), 0, 1);
                second.receive(plan.scratch(plan.output(asked)), 0, 1);
                second.copy(plan.scratch(plan.output(0)), plan.output(0));
            }
        });
    };
    expect_right(world(0));
    expect_refused(world(1), {"rank 1, lane 0, step 0 (receive) races with rank 1, lane 1, step 1 (copy)"});
}

TEST(PlanVerifier, RefusesChunksWhoseTilesDoNotMeet) {
    auto plans = make_world(Collective::broadcast, 3, 2, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        if (r == 0) lane.copy(plan.output(0, 2), plan.input(0, 2));
        if (r == 0) lane.send(plan.input(0, 2), 1);
        if (r == 1) lane.receive(plan.output(0, 2), 0);
        for (ChunkIndex piece = 0; piece < 2; piece++) {
            if (r == 1) lane.send(plan.output(piece), 2);
            if (r == 2) lane.receive(plan.output(piece), 1);
        }
    });
    expect_refused(
        plans, {"rank 1, lane 0, step 2 (send) touches output 1", "step 0 (receive) writes output 0..1", "one_tile"});
    for (Plan& plan : plans) plan.tile_bytes = one_tile;
    expect_right(plans);
}

TEST(PlanVerifier, RefusesPackedScratchTakenApart) {
    auto plans = make_world(Collective::all_to_all, 2, 2, [](PlanBuilder& plan, Rank r) {
        plan.tile_bytes(one_tile);
        auto lane = plan.lane();
        const Chunk both = plan.scratch(plan.input(0, 4));
        lane.copy(both, plan.input(0, 4));
        lane.send({BufferId::scratch, static_cast<ChunkIndex>(2 * (1 - r)), 2, 0}, 1 - r);
        lane.copy(plan.block_of_output(r), plan.block_of_input(r));
        plan.lane().receive(plan.block_of_output(1 - r), 1 - r);
    });
    expect_refused(plans, {"rank 0, lane 0, step 1 (send) touches scratch 2..3 inside scratch 0..3", "packed"});
}

TEST(PlanVerifier, RefusesIndicesOutOfBounds) {
    const auto refused = [](auto&& edit, std::initializer_list<const char*> words) {
        auto plans = one_shot_all_reduce(3);
        edit(plans[1]);
        expect_refused(plans, words);
    };
    refused([](Plan& p) { p.lanes[0].steps[1].destination.index = 2; },
            {"rank 1, lane 0, step 1", "out of bounds: scratch 2"});
    refused([](Plan& p) { p.scratch_cells = 1; }, {"out of bounds: scratch 1", "scratch has 1 pieces"});
    refused([](Plan& p) { p.lanes[0].steps[0].source.count = 2; }, {"step 0 (send)", "out of bounds: input 0..1"});
    refused([](Plan& p) { p.lanes[0].steps[0].source.count = 0; }, {"has no source"});
    refused([](Plan& p) { p.lanes[0].steps[1].destination.shape = 1; }, {"shape of piece 1"});
    refused([](Plan& p) { p.lanes[0].steps[1].destination.buffer = BufferId::input; }, {"writes the input"});
    refused([](Plan& p) { p.lanes[0].steps[3].operand_count = 4; }, {"step 3 (reduce) has operands outside"});
    refused([](Plan& p) { p.lanes[0].steps[3].operand_count = 0; }, {"step 3 (reduce) reduces no operands"});
    refused([](Plan& p) { p.lanes[0].steps[3].dependency_count = 1; }, {"step 3 (reduce) has dependencies outside"});
    refused([](Plan& p) { p.lanes[0].steps[0].send_to = 1; }, {"step 0 (send) sends to rank 1 on channel 32"});
    refused([](Plan& p) { p.lanes[0].steps[1].receive_from = 7; }, {"step 1 (receive) receives from rank 7"});
    refused([](Plan& p) { p.lanes[0].steps[1].receive_channel = 99; }, {"on channel 99"});
    refused([](Plan& p) { p.lanes[0].steps[0].kind = static_cast<StepKind>(77); },
            {"step 0 (unknown) is of no known kind"});
    refused([](Plan& p) { p.output_blocks = 2; }, {"rank 1 of a all_reduce has 1 and 1"});
    refused(
        [](Plan& p) {
            p.dependencies.push_back({3, 0});
            p.lanes[0].steps[3].dependency_count = 1;
        },
        {"waits for lane 3, step 0, which there is not"});
    refused(
        [](Plan& p) {
            p.dependencies.push_back({0, 3});
            p.lanes[0].steps[3].dependency_count = 1;
        },
        {"waits for step 3 of its own lane"});
}

TEST(PlanVerifier, RefusesABarrierThatDoesNotMeetEveryRank) {
    auto plans = dissemination_barrier(5);
    for (Plan& plan : plans) plan.lanes[0].steps.resize(4);
    expect_refused(plans, {"rank 0 may leave the barrier before rank 1 has entered it"});
}

TEST(PlanVerifier, RefusesDataInABarrier) {
    const auto plans = make_world(Collective::barrier, 2, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        lane.send(plan.scratch({.count = 1}), 1 - r);
        lane.receive(Chunk{}, 1 - r);
    });
    expect_refused(plans, {"rank 0, lane 0, step 0 (send) moves data in a barrier: scratch 0"});
}

}  // namespace
}  // namespace tenon
