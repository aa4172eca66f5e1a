// What ranks know of each other beside the messages, over memory that they share.
#include "communicator/job_control.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace tenon {
namespace {

class TwoRanks : public ::testing::Test {
protected:
    struct alignas(64) Line {
        std::byte bytes[64] = {};
    };
    std::vector<Line> memory_ = std::vector<Line>(JobControl::bytes(2) / sizeof(Line) + 1);
    JobControl first_{memory_.front().bytes, 0, 2}, second_{memory_.front().bytes, 1, 2};
};

TEST_F(TwoRanks, SeeEachOthersLastCalls) {
    for (std::uint64_t n = 1; n <= 20; n++)
        first_.record({.number = n,
                       .count = 10 * n,
                       .signature = static_cast<std::uint32_t>(n),
                       .collective = Collective::broadcast,
                       .type = DataType::float64,
                       .op = ReduceOp::max,
                       .root = 1});
    const auto call = second_.call_of(0, 20);
    ASSERT_TRUE(call);
    EXPECT_EQ(call->count, 200U);
    EXPECT_EQ(in_words(*call), "broadcast of 200 float64, root 1");
    EXPECT_TRUE(second_.call_of(0, 20 - JobControl::records_kept + 1)) << "the oldest that is kept";
    EXPECT_FALSE(second_.call_of(0, 20 - JobControl::records_kept));
    EXPECT_FALSE(second_.call_of(0, 21));
    EXPECT_TRUE(second_.is_behind(0, 21));
    EXPECT_FALSE(second_.is_behind(0, 20));
}

TEST_F(TwoRanks, ReportTheFirstErrorOnly) {
    EXPECT_FALSE(second_.failed());
    first_.raise({Status::timeout, "the first"});
    second_.raise({Status::mismatch, "the second"});
    for (const JobControl& rank : {first_, second_}) {
        ASSERT_TRUE(rank.failed());
        EXPECT_EQ(rank.failure().status, Status::timeout);
        EXPECT_EQ(rank.failure().message, "the first");
    }
}

TEST_F(TwoRanks, ShareWhatOneHasFoundOut) {
    constexpr std::uint64_t question = 0x9e3779b97f4a7c15, another = question + 8 * 61;  // of one place
    EXPECT_EQ(second_.finding(question), std::nullopt);
    for (unsigned answer = 0; answer < 8; answer++) {
        first_.tell_finding(question, answer);
        EXPECT_EQ(second_.finding(question), answer);
    }
    EXPECT_EQ(second_.finding(another), std::nullopt);
    first_.tell_finding(another, 3);
    EXPECT_EQ(second_.finding(another), 3U);
    EXPECT_EQ(second_.finding(question), std::nullopt) << "forgotten";
}

}  // namespace
}  // namespace tenon
