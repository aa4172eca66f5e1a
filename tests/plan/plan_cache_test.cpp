// The cache builds a plan once for all counts, never gives one request another's plan, and stays within its bound.
#include <gtest/gtest.h>

#include "plan/cache.hpp"
#include "tests/plan/worlds.hpp"

namespace tenon {
namespace {

int builds = 0;

Result<Plan> build(const Request& request, const Topology&) {
    builds++;
    if (request.rank_count > 100) return fail(Status::invalid_usage, "too many ranks for this one");
    return PlanBuilder{request}.finish();
}
constexpr Algorithm first{
    .name = "first", .collective = Collective::broadcast, .summary = {}, .cost = {}, .source = {}, .build = build};
constexpr Algorithm second{
    .name = "second", .collective = Collective::broadcast, .summary = {}, .cost = {}, .source = {}, .build = build};

class PlanCacheTest : public ::testing::Test {
protected:
    void SetUp() override { builds = 0; }
    const Plan& get(const Algorithm& algorithm, const Request& request) {
        return **cache_.plan_for(algorithm, request, {});
    }

    PlanCache cache_{3};
    Request request_{.collective = Collective::broadcast, .rank = 1, .rank_count = 4, .count = {10}};
};

TEST_F(PlanCacheTest, BuildsOnceForAllCounts) {
    const Plan& plan = get(first, request_);
    EXPECT_EQ(plan.algorithm, "first");
    Request larger = request_;
    larger.count = {1'000'000};
    EXPECT_EQ(&get(first, larger), &plan);
    EXPECT_EQ(builds, 1);
}

TEST_F(PlanCacheTest, TellsRequestsApart) {
    Request other_root = request_, more_ranks = request_;
    other_root.root = 2;
    more_ranks.rank_count = 5;
    EXPECT_EQ(get(first, request_).root, 0);
    EXPECT_EQ(get(first, other_root).root, 2);
    EXPECT_EQ(get(first, more_ranks).rank_count, 5);
    EXPECT_EQ(get(second, request_).algorithm, "second");
    EXPECT_EQ(builds, 4);
}

TEST_F(PlanCacheTest, ForgetsThePlanUsedLeastRecently) {
    const auto with_root = [this](Rank root) {
        Request request = request_;
        request.root = root;
        return request;
    };
    for (const Rank root : {0, 1, 2, 0, 3}) get(first, with_root(root));  // 1 goes
    EXPECT_EQ(cache_.size(), 3u);
    EXPECT_EQ(builds, 4);
    for (const Rank root : {0, 2, 3}) get(first, with_root(root));
    EXPECT_EQ(builds, 4);
    get(first, with_root(1));
    EXPECT_EQ(builds, 5);
}

TEST_F(PlanCacheTest, PassesOnAnErrorAndDoesNotKeepIt) {
    Request huge = request_;
    huge.rank_count = 101;
    for (int times = 1; times <= 2; times++) {
        const auto plan = cache_.plan_for(first, huge, {});
        ASSERT_FALSE(plan.has_value());
        EXPECT_EQ(plan.error().status, Status::invalid_usage);
        EXPECT_EQ(builds, times);
    }
    EXPECT_EQ(cache_.size(), 0u);
}

}  // namespace
}  // namespace tenon
