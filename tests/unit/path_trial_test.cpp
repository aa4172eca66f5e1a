// Which way of moving bytes a trial keeps, and for how long it tries: ranks must agree on that without talking.
#include "execution/path_trial.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace tenon {
namespace {

// Runs the trial with calls that take what `cost_ns` says; how many calls it took.
std::size_t run(PathTrial& trial, const std::function<std::uint64_t(const Path&, std::size_t call)>& cost_ns) {
    std::size_t calls = 0;
    for (; !trial.decided(); calls++) trial.took(cost_ns(trial.path(), calls));
    return calls;
}

TEST(PathTrial, KeepsTheQuickestOfFourWays) {
    for (const bool streaming : {false, true})
        for (const bool kernel : {false, true}) {
            PathTrial trial(true, true, 0, 4);
            run(trial, [&](const Path& p, std::size_t) { return p.streaming_stores == streaming && p.kernel_copies == kernel ? 500 : 1000; });
            EXPECT_EQ(trial.path().streaming_stores, streaming);
            EXPECT_EQ(trial.path().kernel_copies, kernel);
        }
}

TEST(PathTrial, TakesTheSameNumberOfCallsWhateverTheyCost) {
    for (const std::uint64_t cost : {1u, 100u, 1'000'000u}) {
        PathTrial trial(true, true, 7, 3);
        EXPECT_EQ(run(trial, [&](const Path&, std::size_t call) { return cost + call * 13 % 5; }), 7U + 3 * 4);
    }
    PathTrial two_ways(false, true, 0, 100);
    EXPECT_EQ(run(two_ways, [](const Path&, std::size_t) { return 1u; }), 2 * PathTrial::most_rounds);
    EXPECT_TRUE(PathTrial().decided());
    EXPECT_TRUE(PathTrial(false, false, 0, 4).decided()) << "nothing to choose from";
}

TEST(PathTrial, WhatComesBeforeAWayIsSettledDoesNotCount) {
    PathTrial trial(true, false, 5, 4);
    std::size_t streamed = 0;
    run(trial, [&](const Path& p, std::size_t call) -> std::uint64_t {
        if (call < 5) return 1;  // memory that nobody has used
        if (!p.streaming_stores) return 1000;
        return streamed++ < 2 ? 5000 : 500;  // the caches are as the other way left them
    });
    EXPECT_TRUE(trial.path().streaming_stores);
}

TEST(PathTrial, NoiseChangesNothing) {
    PathTrial trial(true, true, 0, 4);
    run(trial, [](const Path& p, std::size_t) { return p.streaming_stores || p.kernel_copies ? 990u : 1000u; });
    EXPECT_FALSE(trial.path().streaming_stores || trial.path().kernel_copies) << "a gain of 1 % is none";
}

}  // namespace
}  // namespace tenon
