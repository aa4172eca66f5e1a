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
            PathTrial trial(everything, 0, 4);
            run(trial, [&](const Path& p, std::size_t) {
                return ((p.streaming_slots ? 1 : p.kernel_copies ? 2 : 0) == way ? 500U : 1000U) + (p.streaming_stores == streaming ? 0U : 100U);
            });
            EXPECT_EQ(trial.path().streaming_stores, streaming);
            EXPECT_EQ(trial.path().streaming_slots, way == 1);
            EXPECT_EQ(trial.path().kernel_copies, way == 2);
        }
}

TEST(PathTrial, TakesTheSameNumberOfCallsWhateverTheyCost) {
    for (const std::uint64_t cost : {1u, 100u, 1'000'000u}) {
        PathTrial trial(everything, 7, 3);
        EXPECT_EQ(run(trial, [&](const Path&, std::size_t call) { return cost + call * 13 % 5; }), 7U + 3 * 4);
    }
    PathTrial two_ways({.kernel_copies = true}, 0, 100);
    EXPECT_EQ(run(two_ways, [](const Path&, std::size_t) { return 1u; }), 2 * PathTrial::most_rounds);
    PathTrial output_only({.streaming_stores = true}, 0, 5);
    EXPECT_EQ(run(output_only, [](const Path&, std::size_t) { return 1u; }), 2U * 5);
    EXPECT_TRUE(PathTrial().decided());
    EXPECT_TRUE(PathTrial({}, 3, 4).decided()) << "nothing to choose from";
}

TEST(PathTrial, WhatComesBeforeAWayIsSettledDoesNotCount) {
    PathTrial trial({.streaming_stores = true}, 5, 4);
    std::size_t streamed = 0;
    run(trial, [&](const Path& p, std::size_t call) -> std::uint64_t {
        if (call < 5) return 1;  // memory that nobody has used
        if (!p.streaming_stores) return 1000;
        return streamed++ < 2 ? 5000 : 500;  // the caches are as the other way left them
    });
    EXPECT_TRUE(trial.path().streaming_stores);
}

TEST(PathTrial, SizesOfOneClassAreComparedByTheByte) {
    PathTrial trial({.kernel_copies = true}, 0, 4);
    for (const std::uint64_t bytes : {100'000u, 100'000u, 100'000u, 100'000u, 190'000u, 190'000u, 190'000u, 190'000u})
        trial.took(bytes / (trial.path().kernel_copies ? 12 : 10), bytes);
    EXPECT_TRUE(trial.decided() && trial.path().kernel_copies);
    EXPECT_EQ(trial.explanation(), "copied by the kernel is quickest; us per 64 KiB: staged 6.55; copied by the kernel 5.46");
}

TEST(PathTrial, TakesOverWhatAnotherRankFound) {
    PathTrial trial({.streaming_slots = true, .kernel_copies = true}, 0, 2);
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
    EXPECT_EQ(asked, 8) << "it asks no longer after a while";
}

TEST(PathTrial, NoiseChangesNothing) {
    PathTrial trial(everything, 0, 4);
    run(trial, [](const Path& p, std::size_t) { return p.streaming_stores || p.streaming_slots || p.kernel_copies ? 990u : 1000u; });
    EXPECT_FALSE(trial.path().streaming_stores || trial.path().streaming_slots || trial.path().kernel_copies) << "a gain of 1 % is none";
}

}  // namespace
}  // namespace tenon
