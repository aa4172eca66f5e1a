// What MoE refuses, in which words, and that nothing has happened then: afterwards the same ranks go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <limits>

#include "tenon/moe.h"
#include "tests/conformance/c_job.hpp"

namespace tenon::conformance {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int rank_count = 2;
constexpr std::size_t hidden = 4, most_tokens = 3;

tenonMoeConfig_t good_config() {
    tenonMoeConfig_t config = TENON_MOE_CONFIG_INITIALIZER;
    config.experts = 5;
    config.topK = 2;
    config.hidden = hidden;
    config.maxTokens = most_tokens;
    config.dispatchType = config.combineType = tenonFloat32;
    return config;
}

std::string said(tenonResult_t result, tenonComm_t comm) { return support::outcome(result, comm); }

// A group of both ranks, and a handle of one token each, for experts on both.
struct Ready {
    tenonMoeGroup_t group = nullptr;
    tenonMoeHandle_t handle = nullptr;
    explicit Ready(tenonComm_t comm) {
        const tenonMoeConfig_t config = good_config();
        EXPECT_EQ(said(tenonMoeGroupCreate(&group, comm, &config), comm), "success");
        const std::int64_t indices[] = {0, 4};
        EXPECT_EQ(said(tenonMoePrepare(&handle, group, indices, nullptr, 1, nullptr), comm), "success");
    }
    ~Ready() {
        tenonMoeHandleDestroy(handle);
        tenonMoeGroupDestroy(group);
    }
    // Both ranks: dispatch and combine still give what they should.
    void still_works(tenonComm_t comm, int rank) const {
        const std::vector<float> token(hidden, static_cast<float>(rank + 1));
        std::vector<float> rows(2 * hidden), sum(hidden);
        EXPECT_EQ(said(tenonMoeDispatch(handle, token.data(), rows.data(), 2, nullptr), comm), "success");
        EXPECT_EQ(rows, (std::vector<float>{1, 1, 1, 1, 2, 2, 2, 2}));
        EXPECT_EQ(said(tenonMoeCombine(handle, rows.data(), sum.data(), 1, nullptr), comm), "success");
        EXPECT_EQ(sum, std::vector<float>(hidden, static_cast<float>(2 * (rank + 1))));
    }
};

TEST(MoeErrors, AWrongConfigurationIsNamed) {
    const CJob job(rank_count);
    const auto refuses = [&](const char* words, const auto& change) {
        tenonMoeConfig_t config = good_config();
        change(config);
        tenonMoeGroup_t group = nullptr;
        EXPECT_THAT(said(tenonMoeGroupCreate(&group, job.comm(1), &config), job.comm(1)),
                    AllOf(StartsWith("invalid argument"), HasSubstr("rank 1"), HasSubstr(words)));
        EXPECT_EQ(group, nullptr);
    };
    refuses("experts is 0", [](auto& c) { c.experts = 0; });
    refuses("topK is -1", [](auto& c) { c.topK = -1; });
    refuses("topK is 65; it must be in [1, 64]", [](auto& c) { c.topK = 65; });
    refuses("hidden is 0", [](auto& c) { c.hidden = 0; });
    refuses("hidden", [](auto& c) { c.hidden = SIZE_MAX / 2; });
    refuses("maxTokens is 0", [](auto& c) { c.maxTokens = 0; });
    refuses("maxTokens", [](auto& c) { c.maxTokens = SIZE_MAX; });
    refuses("alignment is 0", [](auto& c) { c.alignment = 0; });
    refuses("dispatch type is int32", [](auto& c) { c.dispatchType = tenonInt32; });
    refuses("token type is float64", [](auto& c) { c.dispatchType = tenonInt8, c.tokenType = tenonFloat64; });
    refuses("token type is float8_e4m3; it can be the dispatch type, int8, or",
            [](auto& c) { c.dispatchType = tenonInt8, c.tokenType = tenonFloat8e4m3; });
    refuses("combine type is float64", [](auto& c) { c.combineType = tenonFloat64; });
    refuses("no data type 99", [](auto& c) { c.combineType = static_cast<tenonDataType_t>(99); });
    refuses("no layout 7", [](auto& c) { c.layout = static_cast<tenonMoeLayout_t>(7); });
    refuses("no path 3", [](auto& c) { c.path = static_cast<tenonMoePath_t>(3); });
    refuses("float32Partials is 2", [](auto& c) { c.float32Partials = 2; });
    refuses("alignment must be 1", [](auto& c) { c.layout = tenonMoeRankMajor, c.alignment = 8; });
    refuses("placement is NULL", [](auto& c) { c.placesPerRank = 3; });
    refuses("TENON_MOE_CONFIG_INITIALIZER", [](auto& c) { c.magic = 0; });
    static const int nowhere[] = {0, 1, 2, 4, -1, 4};
    refuses("leaves expert 3 nowhere", [](auto& c) { c.placement = nowhere, c.placesPerRank = 3; });
    static const int unknown[] = {0, 1, 2, 3, 4, 5};
    refuses("expert 5 at place 2 of rank 1", [](auto& c) { c.placement = unknown, c.placesPerRank = 3; });
    refuses("placesPerRank is 0", [](auto& c) { c.placement = unknown; });
    tenonMoeGroup_t group = nullptr;
    EXPECT_THAT(said(tenonMoeGroupCreate(&group, job.comm(0), nullptr), job.comm(0)), HasSubstr("config is NULL"));
    job.run([](tenonComm_t comm, int rank) { Ready(comm).still_works(comm, rank); });
}

TEST(MoeErrors, RanksWithDifferentConfigurationsAllHearOfIt) {
    const CJob job(rank_count);
    job.run([](tenonComm_t comm, int rank) {
        const auto differs = [&](const char* words, const auto& change) {
            tenonMoeConfig_t config = good_config();
            if (rank == 1) change(config);
            tenonMoeGroup_t group = nullptr;
            EXPECT_THAT(said(tenonMoeGroupCreate(&group, comm, &config), comm),
                        AllOf(StartsWith("mismatch"), HasSubstr(words)));
        };
        differs("rank 0 has hidden 4, but rank 1 has 8", [](auto& c) { c.hidden = 8; });
        differs("rank 0 has experts 5, but rank 1 has 6", [](auto& c) { c.experts = 6; });
        differs("rank 0 has alignment 1, but rank 1 has 2", [](auto& c) { c.alignment = 2; });
        differs("combineType", [](auto& c) { c.combineType = tenonBfloat16; });
        static const int placement[] = {4, 1, 2, 3, 0, -1};
        differs("placement", [](auto& c) { c.placement = placement, c.placesPerRank = 3; });
        Ready(comm).still_works(comm, rank);
    });
}

TEST(MoeErrors, WhatPrepareRefusesIsNotSent) {
    const CJob job(rank_count);
    job.run([](tenonComm_t comm, int rank) {
        const Ready ready(comm);
        // Rank 1 alone errs: rank 0 makes no call meanwhile, and would wait in vain.
        if (rank == 1) {
            tenonMoeHandle_t handle = nullptr;
            const std::int64_t beyond[] = {0, 1, 4, 5}, negative[] = {-2, 0};
            EXPECT_THAT(said(tenonMoePrepare(&handle, ready.group, beyond, nullptr, 2, nullptr), comm),
                        AllOf(StartsWith("invalid argument"), HasSubstr("rank 1"),
                              HasSubstr("token 1 has expert 5 in slot 1"), HasSubstr("[0, 5)")));
            EXPECT_THAT(said(tenonMoePrepare(&handle, ready.group, negative, nullptr, 1, nullptr), comm),
                        HasSubstr("token 0 has expert -2 in slot 0"));
            EXPECT_THAT(said(tenonMoePrepare(&handle, ready.group, beyond, nullptr, 4, nullptr), comm),
                        HasSubstr("4 tokens are more than the group's maxTokens, 3"));
            EXPECT_THAT(said(tenonMoePrepare(&handle, ready.group, nullptr, nullptr, 1, nullptr), comm),
                        HasSubstr("topkIndices is NULL"));
            EXPECT_EQ(handle, nullptr);
            EXPECT_THAT(said(tenonMoePrepare(nullptr, ready.group, beyond, nullptr, 1, nullptr), nullptr),
                        HasSubstr("handle is NULL"));
            EXPECT_THAT(said(tenonMoePrepare(&handle, nullptr, beyond, nullptr, 1, nullptr), nullptr),
                        HasSubstr("not a group"));
        }
        ready.still_works(comm, rank);
    });
}

TEST(MoeErrors, WhatDispatchAndCombineRefuseIsNotSent) {
    const CJob job(rank_count);
    job.run([](tenonComm_t comm, int rank) {
        const Ready ready(comm);
        if (rank == 0) {
            std::vector<float> token(hidden), rows(2 * hidden);
            EXPECT_THAT(said(tenonMoeDispatch(ready.handle, token.data(), rows.data(), 1, nullptr), comm),
                        AllOf(StartsWith("invalid argument"), HasSubstr("rank 0"),
                              HasSubstr("room for 1 rows, but 2 are needed, padding included")));
            EXPECT_THAT(said(tenonMoeDispatch(ready.handle, nullptr, rows.data(), 2, nullptr), comm),
                        HasSubstr("tokens is NULL"));
            EXPECT_THAT(said(tenonMoeDispatch(ready.handle, token.data(), nullptr, 2, nullptr), comm),
                        HasSubstr("rows is NULL"));
            EXPECT_THAT(said(tenonMoeCombine(ready.handle, nullptr, token.data(), 1, nullptr), comm),
                        HasSubstr("rows is NULL"));
            EXPECT_THAT(said(tenonMoeCombine(ready.handle, rows.data(), nullptr, 1, nullptr), comm),
                        HasSubstr("tokens is NULL"));
            EXPECT_THAT(said(tenonMoeCombine(ready.handle, rows.data(), token.data(), 2, nullptr), comm),
                        HasSubstr("weighted must be 0 or 1"));
            EXPECT_THAT(said(tenonMoeDispatch(nullptr, token.data(), rows.data(), 2, nullptr), nullptr),
                        HasSubstr("not a handle"));
            tenonGroupStart();
            EXPECT_THAT(said(tenonMoeDispatch(ready.handle, token.data(), rows.data(), 2, nullptr), comm),
                        AllOf(StartsWith("invalid usage"), HasSubstr("not inside a group")));
            EXPECT_EQ(tenonGroupEnd(), tenonInvalidUsage);
        }
        ready.still_works(comm, rank);
    });
}

// Two calls, of which a group has one; and scales on the side that has them.
TEST(MoeErrors, QuantisedRowsHaveTheirOwnCall) {
    const CJob job(1);
    const std::int64_t indices[] = {0, 1};
    std::vector<float> token(hidden), rows(2 * hidden), scales(2);
    {
        const tenonComm_t comm = job.comm(0);
        const Ready ready(comm);
        EXPECT_THAT(said(tenonMoeDispatchQuantised(ready.handle, token.data(), nullptr, rows.data(), scales.data(), 2,
                                                   nullptr),
                         comm),
                    AllOf(StartsWith("invalid usage"), HasSubstr("call tenonMoeDispatch")));
    }
    for (const tenonDataType_t token_type : {tenonFloat32, tenonInt8}) {
        tenonMoeConfig_t config = good_config();
        config.dispatchType = tenonInt8;
        config.tokenType = token_type;
        tenonMoeGroup_t group = nullptr;
        tenonMoeHandle_t handle = nullptr;
        ASSERT_EQ(tenonMoeGroupCreate(&group, job.comm(0), &config), tenonSuccess);
        ASSERT_EQ(tenonMoePrepare(&handle, group, indices, nullptr, 1, nullptr), tenonSuccess);
        const auto refuses = [&](const char* words, const float* token_scales, float* row_scales) {
            EXPECT_THAT(said(tenonMoeDispatchQuantised(handle, token.data(), token_scales, rows.data(), row_scales, 2,
                                                       nullptr),
                             job.comm(0)),
                        AllOf(StartsWith("invalid argument"), HasSubstr(words)));
        };
        refuses("rowScales is NULL", scales.data(), nullptr);
        if (token_type == tenonInt8) refuses("tokenScales is NULL", nullptr, scales.data());
        else refuses("tokenScales is given", scales.data(), scales.data());
        EXPECT_THAT(said(tenonMoeDispatch(handle, token.data(), rows.data(), 2, nullptr), job.comm(0)),
                    HasSubstr("call tenonMoeDispatchQuantised"));
        tenonMoeHandleDestroy(handle);
        tenonMoeGroupDestroy(group);
    }
}

// Experts 0 and 1 on rank 0, 2 to 4 on rank 1.
TEST(MoeErrors, AMaskThatLeavesAnExpertNowhereChangesNothing) {
    const CJob job(rank_count);
    static const unsigned char second[] = {0, 1}, odd[] = {0, 2};
    tenonMoeGroup_t none = nullptr;
    tenonMoeConfig_t config = good_config();
    config.masked = second;
    EXPECT_THAT(said(tenonMoeGroupCreate(&none, job.comm(0), &config), job.comm(0)),
                AllOf(HasSubstr("leaves expert 2 nowhere but on masked ranks"), HasSubstr("dropMissing")));
    config.masked = odd;
    EXPECT_THAT(said(tenonMoeGroupCreate(&none, job.comm(0), &config), job.comm(0)), HasSubstr("masked[1] is 2"));
    job.run([](tenonComm_t comm, int rank) {
        const Ready ready(comm);
        static const unsigned char first[] = {1, 0};
        EXPECT_THAT(said(tenonMoeGroupMask(ready.group, second), comm), HasSubstr("leaves expert 2 nowhere"));
        EXPECT_THAT(said(tenonMoeGroupMask(ready.group, rank == 0 ? first : second), comm),
                    AllOf(StartsWith("mismatch"), HasSubstr("rank 0 and rank 1 mask different ranks")));
        EXPECT_EQ(said(tenonMoeGroupMask(ready.group, nullptr), comm), "success");
        ready.still_works(comm, rank);
    });
}

// What was prepared before a mask keeps its routing; what comes after leaves the masked rank out, until it is unmasked.
TEST(MoeErrors, AMaskIsForWhatIsPreparedLater) {
    const CJob job(rank_count);
    job.run([](tenonComm_t comm, int rank) {
        tenonMoeConfig_t config = good_config();
        config.dropMissing = 1;
        tenonMoeGroup_t group = nullptr;
        EXPECT_EQ(said(tenonMoeGroupCreate(&group, comm, &config), comm), "success");
        static const unsigned char second[] = {0, 1};
        const std::int64_t indices[] = {0, 4, 3, 2};
        const std::size_t tokens = 2;
        tenonMoeHandle_t before = nullptr, during = nullptr, after = nullptr;
        EXPECT_EQ(said(tenonMoePrepare(&before, group, indices, nullptr, tokens, nullptr), comm), "success");
        EXPECT_EQ(said(tenonMoeGroupMask(group, second), comm), "success");
        if (rank == 1) {
            EXPECT_THAT(said(tenonMoePrepare(&during, group, indices, nullptr, tokens, nullptr), comm),
                        HasSubstr("2 tokens on a rank that is masked"));
        }
        EXPECT_EQ(said(tenonMoePrepare(&during, group, indices, nullptr, rank == 0 ? tokens : 0, nullptr), comm),
                  "success");
        EXPECT_EQ(said(tenonMoeGroupMask(group, nullptr), comm), "success");
        EXPECT_EQ(said(tenonMoePrepare(&after, group, indices, nullptr, tokens, nullptr), comm), "success");
        // Entries that rank 0 sends rank 1, and what it drops.
        for (const auto& [handle, sent, slots, dropped] :
             {std::tuple{before, 3U, 0U, 0U}, {during, 0U, 3U, 1U}, {after, 3U, 0U, 0U}}) {
            tenonMoeCounts_t counts;
            EXPECT_EQ(said(tenonMoeGetCounts(handle, &counts), comm), "success");
            if (rank == 0) {
                EXPECT_EQ(counts.sentEntries[1], sent);
                EXPECT_EQ(counts.droppedSlots, slots);
                EXPECT_EQ(counts.droppedTokens, dropped);
            }
            const std::vector<float> in(counts.tokens * hidden, 3);
            std::vector<float> rows(counts.rows * hidden), out(counts.tokens * hidden);
            EXPECT_EQ(said(tenonMoeDispatch(handle, in.data(), rows.data(), counts.rows, nullptr), comm), "success");
            EXPECT_EQ(said(tenonMoeCombine(handle, rows.data(), out.data(), 1, nullptr), comm), "success");
            if (rank != 0) continue;
            EXPECT_EQ(out.front(), handle == during ? 3 : 6);
            EXPECT_EQ(out.back(), handle == during ? 0 : 6);
        }
        for (const tenonMoeHandle_t handle : {before, during, after}) tenonMoeHandleDestroy(handle);
        tenonMoeGroupDestroy(group);
    });
}

TEST(MoeErrors, RankMajorRowsAreNotWeighted) {
    const CJob job(1);
    tenonMoeConfig_t config = good_config();
    config.layout = tenonMoeRankMajor;
    tenonMoeGroup_t group = nullptr;
    ASSERT_EQ(tenonMoeGroupCreate(&group, job.comm(0), &config), tenonSuccess);
    const std::int64_t indices[] = {0, 1};
    tenonMoeHandle_t handle = nullptr;
    ASSERT_EQ(tenonMoePrepare(&handle, group, indices, nullptr, 1, nullptr), tenonSuccess);
    std::vector<float> row(hidden), token(hidden);
    EXPECT_THAT(said(tenonMoeCombine(handle, row.data(), token.data(), 1, nullptr), job.comm(0)),
                HasSubstr("combine without weights"));
    int slots = 0;
    EXPECT_THAT(said(tenonMoeGetRows(handle, nullptr, nullptr, &slots, nullptr, nullptr), job.comm(0)),
                HasSubstr("slots must be NULL"));
    tenonMoeHandleDestroy(handle);
    tenonMoeGroupDestroy(group);
}

// Ranks that use different handles, or handles of different groups, in one call: an error on both, that names both.
void expect_mismatch(const CJob& job, const char* words, const auto& choose) {
    job.run([&](tenonComm_t comm, int rank) {
        const Ready first(comm), second(comm);
        tenonMoeHandle_t another = nullptr;
        const std::int64_t indices[] = {0, 4};
        ASSERT_EQ(tenonMoePrepare(&another, first.group, indices, nullptr, 1, nullptr), tenonSuccess);
        const std::vector<float> token(hidden, 1);
        std::vector<float> rows(2 * hidden);
        const tenonMoeHandle_t handle = rank == 0 ? first.handle : choose(second.handle, another);
        EXPECT_THAT(said(tenonMoeDispatch(handle, token.data(), rows.data(), 2, nullptr), comm),
                    AllOf(StartsWith("mismatch"), HasSubstr("differs between ranks"), HasSubstr(words)));
        tenonMoeHandleDestroy(another);
    });
}

TEST(MoeErrors, AHandleOfAnotherGroupIsNoticed) {
    expect_mismatch(CJob(rank_count), "handle 1 of MoE group 2", [](auto of_second, auto) { return of_second; });
}

TEST(MoeErrors, AnotherHandleOfTheGroupIsNoticed) {
    expect_mismatch(CJob(rank_count), "handle 2 of MoE group 1", [](auto, auto another) { return another; });
}

TEST(MoeErrors, ACombineThatIsWeightedOnOneRankAloneIsNoticed) {
    const CJob job(rank_count);
    job.run([](tenonComm_t comm, int rank) {
        const Ready ready(comm);
        std::vector<float> sum(hidden), rows(2 * hidden);
        EXPECT_THAT(said(tenonMoeCombine(ready.handle, rows.data(), sum.data(), rank, nullptr), comm),
                    AllOf(StartsWith("mismatch"), HasSubstr("calls moe_combine with handle 1"),
                          HasSubstr("calls weighted moe_combine with handle 1")));
    });
}

TEST(MoeErrors, NaNWeightsAreCarriedThrough) {
    const CJob job(rank_count);
    job.run([](tenonComm_t comm, int rank) {
        const tenonMoeConfig_t config = good_config();
        tenonMoeGroup_t group = nullptr;
        ASSERT_EQ(tenonMoeGroupCreate(&group, comm, &config), tenonSuccess);
        const std::int64_t indices[] = {0, 4, 0, -1};
        const float weights[] = {1, std::numeric_limits<float>::quiet_NaN(), 2, 5};
        tenonMoeHandle_t handle = nullptr;
        ASSERT_EQ(tenonMoePrepare(&handle, group, indices, weights, 2, nullptr), tenonSuccess);
        const std::vector<float> tokens(2 * hidden, 1);
        std::vector<float> rows(4 * hidden), sums(2 * hidden);
        EXPECT_EQ(said(tenonMoeDispatch(handle, tokens.data(), rows.data(), 4, nullptr), comm), "success");
        EXPECT_EQ(said(tenonMoeCombine(handle, rows.data(), sums.data(), 1, nullptr), comm), "success") << rank;
        EXPECT_TRUE(std::isnan(sums[0]));
        EXPECT_EQ(sums[hidden], 2);
        tenonMoeHandleDestroy(handle);
        tenonMoeGroupDestroy(group);
    });
}

// In streams a call returns at once; what it could not know before, the stream says.
TEST(MoeErrors, StreamsSayWhatWasWrong) {
    const CJob job(rank_count);
    job.run([](tenonComm_t comm, int rank) {
        const Ready ready(comm);
        tenonStream_t stream = nullptr;
        ASSERT_EQ(tenonStreamCreate(&stream), tenonSuccess);
        const std::int64_t indices[] = {0, 4};
        const std::vector<float> token(hidden, 1);
        std::vector<float> rows(2 * hidden), sum(hidden);
        tenonMoeHandle_t handle = nullptr;
        EXPECT_EQ(said(tenonMoePrepare(&handle, ready.group, indices, nullptr, 1, stream), comm), "success");
        EXPECT_EQ(said(tenonMoeDispatch(handle, token.data(), rows.data(), 2, stream), comm), "success");
        EXPECT_EQ(said(tenonMoeCombine(handle, rows.data(), sum.data(), 1, stream), comm), "success");
        EXPECT_EQ(said(tenonStreamSynchronize(stream), nullptr), "success");
        EXPECT_EQ(sum, std::vector<float>(hidden, 2));
        if (rank == 1) {
            EXPECT_EQ(said(tenonMoeDispatch(handle, token.data(), rows.data(), 1, stream), comm), "success");
            EXPECT_THAT(said(tenonStreamSynchronize(stream), nullptr), HasSubstr("room for 1 rows"));
        }
        EXPECT_EQ(tenonStreamDestroy(stream), tenonSuccess);
        tenonMoeHandleDestroy(handle);
        ready.still_works(comm, rank);
    });
}

// A rank that does not come: who waited, in what, for whom, and an end within the time.
TEST(MoeErrors, ARankThatDoesNotComeIsATimeout) {
    setenv("TENON_TIMEOUT_MS", "300", 1);
    {
        const CJob job(rank_count);
        job.run([](tenonComm_t comm, int rank) {
            const Ready ready(comm);
            if (rank == 1) return;
            std::vector<float> token(hidden), rows(2 * hidden);
            EXPECT_THAT(said(tenonMoeDispatch(ready.handle, token.data(), rows.data(), 2, nullptr), comm),
                        AllOf(StartsWith("timeout"), HasSubstr("rank 0: moe_dispatch with handle 1 of MoE group 1"),
                              HasSubstr("receiving rows from rank 1"), HasSubstr("TENON_TIMEOUT_MS")));
        });
    }
    unsetenv("TENON_TIMEOUT_MS");
}

TEST(MoeErrors, AbortEndsACall) {
    const CJob job(rank_count);
    std::latch prepared(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Ready ready(comm);
        prepared.arrive_and_wait();
        if (rank == 1) {
            EXPECT_EQ(tenonCommAbort(job.comm(0)), tenonSuccess);
            return;
        }
        // Either the abort was there first, or it ended the call.
        std::vector<float> sum(hidden), rows(2 * hidden);
        EXPECT_THAT(said(tenonMoeCombine(ready.handle, rows.data(), sum.data(), 1, nullptr), nullptr),
                    AnyOf(StartsWith("aborted"), AllOf(StartsWith("invalid argument"), HasSubstr("aborted"))));
    });
}

TEST(MoeErrors, OutliveTheirCommunicator) {
    tenonMoeGroup_t group = nullptr;
    tenonMoeHandle_t handle = nullptr;
    const tenonMoeConfig_t config = good_config();
    const std::int64_t indices[] = {0, -1};
    {
        const CJob job(1);
        ASSERT_EQ(tenonMoeGroupCreate(&group, job.comm(0), &config), tenonSuccess);
        ASSERT_EQ(tenonMoePrepare(&handle, group, indices, nullptr, 1, nullptr), tenonSuccess);
    }
    std::vector<float> token(hidden), rows(hidden);
    EXPECT_THAT(said(tenonMoeDispatch(handle, token.data(), rows.data(), 1, nullptr), nullptr),
                HasSubstr("destroyed or aborted"));
    EXPECT_EQ(tenonMoeGroupDestroy(group), tenonSuccess);
    EXPECT_EQ(tenonMoeHandleDestroy(handle), tenonSuccess);
}

// 4,200 experts whose rows begin at multiples of a million.
TEST(MoeErrors, MoreRowsThanCanBeNumberedEndTheCommunicator) {
    const CJob job(1);
    tenonMoeConfig_t config = good_config();
    config.topK = 1;
    config.experts = 4200;
    config.maxTokens = 4200;
    config.alignment = 1 << 20;
    tenonMoeGroup_t group = nullptr;
    ASSERT_EQ(tenonMoeGroupCreate(&group, job.comm(0), &config), tenonSuccess);
    std::vector<std::int64_t> indices(4200);
    for (std::size_t i = 0; i < indices.size(); i++) indices[i] = static_cast<std::int64_t>(i);
    tenonMoeHandle_t handle = nullptr;
    EXPECT_THAT(
        said(tenonMoePrepare(&handle, group, indices.data(), nullptr, indices.size(), nullptr), job.comm(0)),
        AllOf(StartsWith("system error"), HasSubstr("rank 0"), HasSubstr("at most 4294967295 can be numbered")));
    EXPECT_EQ(handle, nullptr);
    tenonMoeGroupDestroy(group);
}

TEST(MoeErrors, MemoryIsKnownBeforehand) {
    const CJob job(rank_count);
    tenonMoeConfig_t config = good_config();
    std::uint64_t bytes = 0, more = 0;
    EXPECT_EQ(said(tenonMoeMemory(job.comm(0), &config, &bytes), job.comm(0)), "success");
    // Each token's two slots, sent from here and coming here from both ranks.
    const std::uint64_t of_token = 2 * (32 + 2 * 16);
    EXPECT_GE(bytes, most_tokens * of_token);
    config.maxTokens += 1000;
    EXPECT_EQ(tenonMoeMemory(job.comm(0), &config, &more), tenonSuccess);
    EXPECT_GE(more, bytes + 1000 * of_token);
    EXPECT_LE(more, bytes + 2000 * of_token);
    EXPECT_THAT(said(tenonMoeMemory(job.comm(0), &config, nullptr), job.comm(0)), HasSubstr("bytes is NULL"));
}

}  // namespace
}  // namespace tenon::conformance
