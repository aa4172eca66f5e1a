// Which way of moving bytes a trial keeps, and for how long it tries: ranks must agree on that without talking.
#include "execution/path_trial.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace tenon {
namespace {

// Runs the trial with calls that take what `cost_ns` says; how many calls it took.
std::size_t run(PathTrial& trial, const std::function<std::uint64_t(const Path&, std::size_t call)>& cost_ns) {
    std::size_t calls = 0;
    for (; !trial.decided(); calls++) trial.took(cost_ns(trial.path(), calls), 1 << 16);
    return calls;
}

constexpr Path everything{.streaming_stores = true, .streaming_slots = true, .kernel_copies = true};

TEST(PathTrial, KeepsTheQuickestWay) {
    for (const bool streaming : {false, true})
        for (const int way : {0, 1, 2}) {
            PathTrial trial(everything, {0, 2, 2});
            run(trial, [&](const Path& p, std::size_t) {
                return ((p.streaming_slots ? 1
                         : p.kernel_copies ? 2
                                           : 0) == way
                            ? 500U
                            : 1000U) +
                       (p.streaming_stores == streaming ? 0U : 100U);
            });
            EXPECT_EQ(trial.path().streaming_stores, streaming);
            EXPECT_EQ(trial.path().streaming_slots, way == 1);
            EXPECT_EQ(trial.path().kernel_copies, way == 2);
        }
}

TEST(PathTrial, TakesTheSameNumberOfCallsWhateverTheyCost) {
    for (const std::uint64_t cost : {1u, 100u, 1'000'000u}) {
        PathTrial trial(everything, {7, 2, 1});
        EXPECT_EQ(run(trial, [&](const Path&, std::size_t call) { return cost + call * 13 % 5; }), 7U + 3 * 4);
    }
    PathTrial two_ways({.kernel_copies = true}, {0, 94, 6});
    EXPECT_EQ(run(two_ways, [](const Path&, std::size_t) { return 1u; }), 2U * 100);
    PathTrial output_only({.streaming_stores = true}, {0, 0, 5});
    EXPECT_EQ(run(output_only, [](const Path&, std::size_t) { return 1u; }), 2U * 5);
    EXPECT_TRUE(PathTrial().decided());
    EXPECT_TRUE(PathTrial({}, {3, 2, 2}).decided()) << "nothing to choose from";
}

TEST(PathTrial, WhatComesBeforeAWayIsSettledDoesNotCount) {
    PathTrial trial({.streaming_stores = true}, {5, 2, 2});
    std::size_t streamed = 0;
    run(trial, [&](const Path& p, std::size_t call) -> std::uint64_t {
        if (call < 5) return 1;  // memory that nobody has used
        if (!p.streaming_stores) return 1000;
        return streamed++ < 2 ? 5000 : 500;  // the caches are as the other way left them
    });
    EXPECT_TRUE(trial.path().streaming_stores);
}

TEST(PathTrial, SizesOfOneClassAreComparedByTheByte) {
    PathTrial trial({.kernel_copies = true}, {0, 2, 2});
    for (const std::uint64_t bytes : {100'000u, 100'000u, 100'000u, 100'000u, 190'000u, 190'000u, 190'000u, 190'000u})
        trial.took(bytes / (trial.path().kernel_copies ? 12 : 10), bytes);
    EXPECT_TRUE(trial.decided() && trial.path().kernel_copies);
    EXPECT_EQ(trial.explanation(),
              "copied by the kernel is quickest; us per 64 KiB: staged 6.55; copied by the kernel 5.46");
}

TEST(PathTrial, TakesOverWhatAnotherRankFound) {
    PathTrial trial({.streaming_slots = true, .kernel_copies = true}, {0, 1, 1});
    EXPECT_FALSE(trial.asks_others()) << "nothing is decided";
    run(trial, [](const Path& p, std::size_t) { return p.kernel_copies ? 500u : 501u; });
    for (unsigned n = 0; n < 8; n++) EXPECT_EQ(Path::of_number(n).number(), n);
    ASSERT_TRUE(trial.asks_others());
    trial.adopt({.streaming_slots = true});
    EXPECT_EQ(trial.path(), (Path{.streaming_slots = true}));
    trial.adopt({.streaming_stores = true});
    EXPECT_EQ(trial.path(), (Path{.streaming_slots = true})) << "this rank may not stream to the output";
    int asked = 1;
    while (trial.asks_others()) asked++;
    EXPECT_EQ(asked, 256) << "it asks no longer after a while";
}

TEST(PathTrial, BeginsAgainWhenTheMachineMayHaveChanged) {
    for (const Path& ways : {everything, Path{.kernel_copies = true}}) {
        PathTrial trial(ways, {7, 2, 1});
        const auto kernel_takes = [](unsigned cost) {
            return [=](const Path& p, std::size_t) { return p.kernel_copies && !p.streaming_stores ? cost : 1000u; };
        };
        const std::size_t tries = run(trial, kernel_takes(500)) - 7;
        EXPECT_TRUE(trial.path().kernel_copies && trial.changed());
        std::size_t calls_per_try = 4;
        for (const unsigned cost : {2000u, 500u, 500u, 500u, 2000u, 500u, 500u}) {
            const auto before = trial.beginnings();
            const Path found = trial.path();
            std::size_t calls = 0;
            for (; trial.decided(); calls++) {
                EXPECT_EQ(trial.path(), found);
                trial.next_call();
            }
            EXPECT_EQ(calls, calls_per_try * tries + 1) << "soon at first; then tries cost next to nothing";
            calls_per_try = std::min<std::size_t>(2 * calls_per_try, 160);
            EXPECT_EQ(trial.beginnings(), before + 1);
            EXPECT_EQ(run(trial, kernel_takes(cost)), tries) << "the memory is known by now";
            EXPECT_EQ(trial.path().kernel_copies, cost < 1000);
            EXPECT_EQ(trial.changed(), trial.path() != found);
        }
    }
    PathTrial nothing_to_try({}, {3, 2, 2});
    for (int call = 0; call < 10'000; call++) nothing_to_try.next_call();
    EXPECT_TRUE(nothing_to_try.decided());
}

TEST(PathTrial, NoiseChangesNothing) {
    PathTrial trial(everything, {0, 2, 2});
    run(trial, [](const Path& p, std::size_t) {
        return p.streaming_stores || p.streaming_slots || p.kernel_copies ? 990u : 1000u;
    });
    EXPECT_FALSE(trial.path().streaming_stores || trial.path().streaming_slots || trial.path().kernel_copies)
        << "a gain of 1 % is none";
}

}  // namespace
}  // namespace tenon
