// The verifier proves what steps claim of their memory and messages, and refuses claims that are false.
#include <gtest/gtest.h>

#include "tests/plan/verdicts.hpp"

namespace tenon {
namespace {

using namespace testing;

TEST(PlanClaims, RefusesAFalseStableSource) {
    const auto plans = make_world(Collective::all_reduce, 2, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        lane.send(plan.input(0), 1 - r).source_stable();
        lane.receive_reduce(plan.output(0), plan.input(0), 1 - r).completes();
    });
    expect_right(plans);
    expect_refused(plans,
                   {", in place: rank 0, lane 0, step 0 (send) claims a stable source",
                    "rank 0, lane 0, step 1 (receive_reduce) may overwrite input 0"},
                   {.in_place = true});
}

TEST(PlanClaims, RefusesAFalseFreeDestination) {
    const auto plans = make_world(Collective::broadcast, 2, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        if (r == 0) lane.copy(plan.output(0), plan.input(0));
        for (int times = 0; times < 2; times++) {
            if (r == 0) lane.send(plan.input(0), 1);
            if (r == 1) lane.receive(plan.output(0), 0);
            if (r == 1) lane.copy(plan.scratch(plan.output(0)), plan.output(0));
        }
    });
    expect_right(plans);
    auto first = plans, second = plans;
    step(first, 1, 0).destination_free = true;
    expect_right(first);
    step(second, 1, 2).destination_free = true;
    expect_refused(second,
                   {"rank 1, lane 0, step 2 (receive) claims a free destination", "step 0 (receive) may still write"});
}

TEST(PlanClaims, AcceptsAFreeDestinationThatWasTakenBefore) {
    // Rank 1 adds what rank 0 sends, and sends the sum back to where it came from.
    const auto plans = make_world(Collective::all_reduce, 2, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        if (r == 0) lane.send(plan.input(0), 1).source_stable();
        if (r == 0) lane.receive(plan.output(0), 1).destination_free();
        if (r == 1) lane.receive_reduce_copy_send(plan.output(0), plan.input(0), 0, 0).completes();
    });
    expect_right(plans, {.in_place = true});
}

// Rank 1 adds what rank 0 sends, and sends the sum back; or, before it has seen rank 0's, another message.
std::vector<Plan> sum_and_answer(bool in_order) {
    return make_world(Collective::all_reduce, 2, 1, [&](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        if (r == 0) lane.send(plan.input(0), 1, 0).source_stable().answered();
        if (r == 0) lane.receive_reduce(plan.output(0), plan.input(0), 1, 1).completes();
        if (r == 1 && in_order) lane.receive_reduce(plan.output(0), plan.input(0), 0, 0).completes();
        lane.nothing();
        if (r == 1) lane.send(plan.input(0), 0, 1).source_stable();
        if (r == 1 && !in_order) lane.receive_reduce(plan.output(0), plan.input(0), 0, 0).completes();
    });
}

TEST(PlanClaims, KnowsWhatIsAnswered) {
    expect_right(sum_and_answer(true));
    expect_refused(sum_and_answer(false), {"rank 0, lane 0, step 0 (send) claims to be answered"});
}

TEST(PlanClaims, RefusesAnAnswerThatMayBeEmptyOrShorter) {
    // Rank 0 sends `sent` and gets `back` from its receiver, in a plan of two pieces, whose second may be empty.
    const auto exchange = [](ChunkIndex sent, std::uint32_t sent_count, ChunkIndex back, std::uint32_t back_count) {
        auto plans = make_world(Collective::all_reduce, 2, 2, [&](PlanBuilder& plan, Rank r) {
            auto lane = plan.lane();
            lane.exchange_reduce(plan.output(0, 2), plan.input(0, 2), 1 - r, 2).completes();
            if (r == 0) lane.send(plan.input(sent, sent_count), 1, 0).source_stable().answered();
            if (r == 0) lane.receive(plan.scratch(plan.input(back, back_count)), 1, 1);
            if (r == 1) lane.receive(plan.scratch(plan.input(sent, sent_count)), 0, 0);
            if (r == 1) lane.send(plan.input(back, back_count), 0, 1).source_stable();
        });
        return plans;
    };
    expect_right(exchange(0, 1, 0, 1));
    expect_right(exchange(1, 1, 0, 1));
    expect_right(exchange(0, 2, 0, 2));
    expect_refused(exchange(0, 1, 1, 1), {"claims to be answered"});
    expect_refused(exchange(0, 2, 0, 1), {"claims to be answered"});
}

TEST(PlanClaims, KnowsWhatIsExchanged) {
    const auto exchange = [](auto&& change) {
        auto plans = make_world(Collective::all_reduce, 2, 1, [](PlanBuilder& plan, Rank r) {
            plan.lane().exchange_reduce(plan.output(0), plan.input(0), 1 - r).completes();
        });
        change(plans);
        return plans;
    };
    expect_right(exchange([](auto&) {}), {.in_place = true});
    expect_refused(exchange([](auto& plans) { step(plans, 1, 0).exchanged = false; }),
                   {"rank 0, lane 0, step 0 (send) claims to be exchanged", "rank 1, lane 0, step 0"});
    expect_refused(exchange([](auto& plans) { plans[0].lanes.push_back({}); }), {"claims to be exchanged", "one lane"});
    auto other_chunk = make_world(Collective::all_reduce, 2, 1, [](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        const Chunk copy = plan.scratch(plan.input(0));
        lane.copy(copy, plan.input(0));
        lane.send(plan.input(0), 1 - r);
        lane.receive_reduce(plan.output(0), copy, 1 - r).completes();
    });
    step(other_chunk, 0, 1).exchanged = step(other_chunk, 1, 1).exchanged = true;
    expect_refused(other_chunk, {"claims to be exchanged, but the next step does not add"});
}

TEST(PlanClaims, RefusesClaimsThatMeanNothing) {
    auto plans = ring_all_reduce(3);
    step(plans, 0, 4).source_stable = true;
    expect_refused(plans, {"step 4 (receive) claims a stable source, but sends nothing"});
    plans = ring_all_reduce(3);
    step(plans, 0, 1).destination_free = true;
    expect_refused(plans, {"step 1 (receive_reduce_send) claims a free destination"});
    plans = ring_all_reduce(3);
    step(plans, 0, 4).answered = true;
    expect_refused(plans, {"step 4 (receive) claims to be answered, but sends nothing"});
    plans = ring_all_reduce(3);
    step(plans, 0, 1).exchanged = true;
    expect_refused(plans, {"step 1 (receive_reduce_send) claims to be exchanged, but is no plain send"});
}

}  // namespace
}  // namespace tenon
