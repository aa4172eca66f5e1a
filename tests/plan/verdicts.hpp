// What the verifier must say of a world of plans: that it is right, or, in certain words, what is wrong.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/verifier.hpp"
#include "tests/plan/worlds.hpp"

namespace tenon::testing {

inline Step& step(std::vector<Plan>& plans, Rank rank, std::size_t at, std::size_t lane = 0) {
    return plans[static_cast<std::size_t>(rank)].lanes[lane].steps[at];
}

inline void expect_refused(std::span<const Plan> plans, std::initializer_list<const char*> words,
                           VerifyOptions options = {}) {
    const auto facts = verify(plans, options);
    ASSERT_FALSE(facts.has_value()) << "the plans were accepted";
    EXPECT_EQ(facts.error().status, Status::invalid_argument);
    for (const char* word : words) EXPECT_THAT(facts.error().message, ::testing::HasSubstr(word));
}

inline VerifiedPlan expect_right(std::span<const Plan> plans, VerifyOptions options = {}) {
    const auto facts = verify(plans, options);
    EXPECT_TRUE(facts.has_value()) << facts.error().message;
    return facts.value_or(VerifiedPlan{});
}

}  // namespace tenon::testing
