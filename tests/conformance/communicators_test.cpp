// Communicators made from others, pre-multiplied sums, and what a communicator says of itself.
#include <gtest/gtest.h>

#include <cstring>

#include "communicator/communicator.hpp"
#include "tests/conformance/c_job.hpp"
#include "tests/support/call_buffers.hpp"
#include "tests/support/seed.hpp"
#include "tests/unit/reduction_reference.hpp"

namespace tenon::conformance {
namespace {

using support::Memory;
using support::Reference;
using support::Shape;

// The ranks of `comm`, as the members' numbers in the job, in order.
std::vector<int> members(tenonComm_t comm, int own_number) {
    int count = 0;
    EXPECT_EQ(did(tenonCommCount(comm, &count)), "success");
    std::vector<int> all(static_cast<std::size_t>(count), -1);
    EXPECT_EQ(did(tenonAllGather(&own_number, all.data(), 1, tenonInt, comm, nullptr)), "success");
    return all;
}

TEST(Split, MakesOneCommunicatorForEachColorOrderedByKeyThenRank) {
    const CJob job(6);
    job.run([&](tenonComm_t comm, int rank) {
        tenonComm_t part = nullptr;
        // Even ranks in reverse order; odd ranks, with equal keys, in their own.
        ASSERT_EQ(did(tenonCommSplit(comm, rank % 2, rank % 2 == 0 ? -rank : 0, &part, nullptr)), "success");
        EXPECT_EQ(members(part, rank), rank % 2 == 0 ? (std::vector{4, 2, 0}) : (std::vector{1, 3, 5}));
        EXPECT_EQ(members(comm, rank), (std::vector{0, 1, 2, 3, 4, 5})) << "the parent still works";
        EXPECT_EQ(did(tenonCommDestroy(part)), "success");
    });
}

TEST(Split, LeavesOutRanksWithoutAColor) {
    const CJob job(4);
    job.run([&](tenonComm_t comm, int rank) {
        tenonComm_t part = comm;
        ASSERT_EQ(did(tenonCommSplit(comm, rank == 2 ? TENON_SPLIT_NOCOLOR : 7, 0, &part, nullptr)), "success");
        if (rank == 2) {
            EXPECT_EQ(part, nullptr);
        } else {
            EXPECT_EQ(members(part, rank), (std::vector{0, 1, 3}));
            EXPECT_EQ(did(tenonCommDestroy(part)), "success");
        }
    });
}

TEST(Split, MayBeRepeatedAndOutliveTheParent) {
    CJob job(4);
    job.run([&](tenonComm_t comm, int rank) {
        tenonComm_t half = nullptr, alone = nullptr;
        ASSERT_EQ(did(tenonCommSplit(comm, rank / 2, rank, &half, nullptr)), "success");
        ASSERT_EQ(did(tenonCommSplit(half, rank, 0, &alone, nullptr)), "success");
        EXPECT_EQ(did(tenonCommDestroy(comm)), "success");
        EXPECT_EQ(members(half, rank), rank < 2 ? (std::vector{0, 1}) : (std::vector{2, 3}));
        EXPECT_EQ(members(alone, rank), std::vector{rank});
        EXPECT_EQ(did(tenonCommDestroy(half)), "success");
        EXPECT_EQ(did(tenonCommDestroy(alone)), "success");
    });
}

TEST(Split, TakesSettingsOfItsOwn) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int) {
        tenonConfig_t config = TENON_CONFIG_INITIALIZER;
        config.algorithm = "all_reduce=ring";
        tenonComm_t part = nullptr;
        ASSERT_EQ(did(tenonCommSplit(comm, 0, 0, &part, &config)), "success");
        const char* name = nullptr;
        ASSERT_EQ(did(tenonCommAlgorithm(part, tenonCollectiveAllReduce, 100, tenonFloat, tenonSum, &name)), "success");
        EXPECT_STREQ(name, "ring");
        EXPECT_EQ(did(tenonCommDestroy(part)), "success");
    });
}

TEST(Split, OfAnAbortedParentIsAborted) {
    const CJob job(2);
    std::vector<tenonComm_t> parts(2);
    job.run([&](tenonComm_t comm, int rank) {
        ASSERT_EQ(did(tenonCommSplit(comm, 0, 0, &parts[static_cast<std::size_t>(rank)], nullptr)), "success");
        if (rank == 0) {
            EXPECT_EQ(did(tenonCommAbort(comm)), "success");
            EXPECT_EQ(tenonBarrier(parts[0], nullptr), tenonAborted);
        } else {
            EXPECT_EQ(tenonBarrier(parts[1], nullptr), tenonRemoteError);
        }
    });
    for (tenonComm_t part : parts) EXPECT_EQ(did(tenonCommDestroy(part)), "success");
}

// Each rank multiplies by its own factor, which is one element of the type.
class PreMultipliedSum : public ::testing::TestWithParam<DataType> {
protected:
    void expect_right(const CJob& job, Collective collective, std::size_t count) {
        const DataType type = GetParam();
        std::vector<std::uint64_t> factors;
        for (int r = 0; r < job.rank_count(); r++)
            factors.push_back(reference::is_float(type) ? reference::nearest(type, r % 2 == 0 ? 0.5 : 2)
                                                        : static_cast<std::uint64_t>(r + 2));
        const Shape shape{collective, type, ReduceOp::sum, job.rank_count(), 1, count};
        const Reference reference(shape, support::Values::ordinary, false, support::test_seed(), factors);
        job.run([&](tenonComm_t comm, int rank) {
            tenonRedOp_t op;
            ASSERT_EQ(
                did(tenonRedOpCreatePreMulSum(&op, &factors[static_cast<std::size_t>(rank)],
                                              static_cast<tenonDataType_t>(type), tenonScalarHostImmediate, comm)),
                "success");
            for (const bool in_place : {false, true}) {
                const support::CallBuffers buffers(reference, rank, in_place, Memory::ordinary);
                Shape with_op = shape;
                with_op.op = static_cast<ReduceOp>(op);
                ASSERT_EQ(did(support::submit(with_op, buffers.send(), buffers.receive(), comm)), "success");
                EXPECT_EQ(buffers.problem(), std::nullopt) << in_words(shape) << ", rank " << rank;
            }
            EXPECT_EQ(did(tenonRedOpDestroy(op, comm)), "success");
        });
    }
};

TEST_P(PreMultipliedSum, EqualsTheReference) {
    const CJob job(3);
    for (const std::size_t count : {0, 1, 1025, 70'001})
        for (const Collective collective : {Collective::all_reduce, Collective::reduce, Collective::reduce_scatter})
            expect_right(job, collective, count);
}

constexpr DataType scaled_types[] = {DataType::int8,        DataType::uint8,      DataType::int16,   DataType::uint16,
                                     DataType::int32,       DataType::uint32,     DataType::int64,   DataType::uint64,
                                     DataType::float16,     DataType::bfloat16,   DataType::float32, DataType::float64,
                                     DataType::float8_e4m3, DataType::float8_e5m2};
INSTANTIATE_TEST_SUITE_P(Types, PreMultipliedSum, ::testing::ValuesIn(scaled_types),
                         [](const auto& type) { return std::string{tenon::name_of(type.param)}; });

TEST(PreMultipliedSumRules, ItIsOfOneTypeOneCommunicatorAndEndsWhenDestroyed) {
    const CJob job(1), other(1);
    float factor = 2, value = 3;
    tenonRedOp_t op;
    ASSERT_EQ(did(tenonRedOpCreatePreMulSum(&op, &factor, tenonFloat32, tenonScalarHostImmediate, job.comm(0))),
              "success");
    factor = 100;  // was read already
    EXPECT_EQ(did(tenonAllReduce(&value, &value, 1, tenonFloat32, op, job.comm(0), nullptr)), "success");
    EXPECT_EQ(value, 6);
    EXPECT_EQ(tenonAllReduce(&value, &value, 1, tenonInt32, op, job.comm(0), nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonAllReduce(&value, &value, 1, tenonFloat32, op, other.comm(0), nullptr), tenonInvalidArgument);
    EXPECT_EQ(did(tenonRedOpDestroy(op, job.comm(0))), "success");
    EXPECT_EQ(tenonRedOpDestroy(op, job.comm(0)), tenonInvalidArgument);
    EXPECT_EQ(tenonAllReduce(&value, &value, 1, tenonFloat32, op, job.comm(0), nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonRedOpCreatePreMulSum(&op, &factor, tenonFloat32, tenonScalarDevice, job.comm(0)), tenonInvalidUsage);
    EXPECT_EQ(value, 6);
}

// A program may make one for each call, as PyTorch does.
TEST(PreMultipliedSumRules, TheNumberOfADestroyedOneIsUsedAgain) {
    const CJob job(1);
    tenonRedOp_t first, second, third;
    const auto make = [&](tenonRedOp_t& op, tenonDataType_t type, void* factor) {
        EXPECT_EQ(did(tenonRedOpCreatePreMulSum(&op, factor, type, tenonScalarHostImmediate, job.comm(0))), "success");
    };
    float two = 2, five = 5, value = 3;
    int seven = 7, number = 3;
    make(first, tenonFloat32, &two);
    make(second, tenonFloat32, &five);
    EXPECT_EQ(did(tenonRedOpDestroy(first, job.comm(0))), "success");
    make(third, tenonInt32, &seven);
    EXPECT_EQ(third, first);
    EXPECT_EQ(did(tenonAllReduce(&number, &number, 1, tenonInt32, third, job.comm(0), nullptr)), "success");
    EXPECT_EQ(number, 21);
    EXPECT_EQ(did(tenonAllReduce(&value, &value, 1, tenonFloat32, second, job.comm(0), nullptr)), "success");
    EXPECT_EQ(value, 15);
    EXPECT_EQ(tenonAllReduce(&value, &value, 1, tenonFloat32, third, job.comm(0), nullptr), tenonInvalidArgument);
}

TEST(Communicators, SayWhoTheyAreAndWhatTheyUse) {
    const CJob job(3);
    for (int r = 0; r < 3; r++) {
        int rank = -1, count = -1;
        EXPECT_EQ(did(tenonCommUserRank(job.comm(r), &rank)), "success");
        EXPECT_EQ(did(tenonCommCount(job.comm(r), &count)), "success");
        EXPECT_EQ(rank, r);
        EXPECT_EQ(count, 3);
        const char* name = nullptr;
        EXPECT_EQ(did(tenonCommTransport(job.comm(r), (r + 1) % 3, &name)), "success");
        EXPECT_STREQ(name, "inproc");
        EXPECT_EQ(did(tenonCommTransport(job.comm(r), r, &name)), "success");
        EXPECT_STREQ(name, "self");
    }
}

// A rank's slots grow with what it uses and stay below the cap, for every collective and size.
TEST(Communicators, SlotsStayWithinTheirCap) {
    constexpr std::uint64_t cap = 3 << 20;
    tenonConfig_t config = TENON_CONFIG_INITIALIZER;
    config.slotMemoryBytes = cap;
    const CJob job(6);
    job.run([&](tenonComm_t whole, int r) {
        tenonComm_t comm = nullptr;
        ASSERT_EQ(did(tenonCommSplit(whole, 0, r, &comm, &config)), "success");
        std::uint64_t before = 0, after = 0;
        EXPECT_EQ(did(tenonCommSlotMemory(comm, &before)), "success");
        EXPECT_EQ(tenonCommSlotMemory(comm, nullptr), tenonInvalidArgument);
        std::vector<float> in(6 * 300'000, 1), out(6 * 300'000);
        for (const std::size_t count : {1U, 100U, 3'000U, 300'000U}) {
            EXPECT_EQ(did(tenonAllReduce(in.data(), out.data(), count, tenonFloat, tenonSum, comm, nullptr)),
                      "success");
            EXPECT_EQ(did(tenonAlltoAll(in.data(), out.data(), count, tenonFloat, comm, nullptr)), "success");
            EXPECT_EQ(did(tenonReduceScatter(in.data(), out.data(), count, tenonFloat, tenonSum, comm, nullptr)),
                      "success");
        }
        EXPECT_EQ(did(tenonCommSlotMemory(comm, &after)), "success");
        EXPECT_GT(after, before);
        EXPECT_LE(after, cap);
        EXPECT_EQ(did(tenonCommDestroy(comm)), "success");
    });
}

// As many bytes of slots for each peer as between 1,536 ranks.
TEST(Communicators, WorkWithTheSmallSlotsOfManyRanks) {
    constexpr int count = 8;
    constexpr std::size_t block = 5'000;
    constexpr std::uint64_t cap = (std::uint64_t{64} << 20) * count / 1536;
    tenonConfig_t config = TENON_CONFIG_INITIALIZER;
    config.slotMemoryBytes = cap;
    const CJob job(count);
    job.run([&](tenonComm_t whole, int r) {
        tenonComm_t comm = nullptr;
        ASSERT_EQ(did(tenonCommSplit(whole, 0, r, &comm, &config)), "success");
        std::vector<int> in(count * block), out(in.size(), -1), expected(in.size());
        for (std::size_t i = 0; i < in.size(); i++) {
            const auto other = static_cast<int>(i / block);
            in[i] = r * count + other;
            expected[i] = other * count + r;
        }
        ASSERT_EQ(did(tenonAlltoAll(in.data(), out.data(), block, tenonInt, comm, nullptr)), "success");
        EXPECT_EQ(out, expected);
        out.assign(out.size(), -1);
        tenonGroupStart();
        for (int peer = 0; peer < count; peer++) {
            const std::size_t at = static_cast<std::size_t>(peer) * block;
            tenonSend(in.data() + at, block, tenonInt, peer, comm, nullptr);
            tenonRecv(out.data() + at, block, tenonInt, peer, comm, nullptr);
        }
        ASSERT_EQ(did(tenonGroupEnd()), "success");
        EXPECT_EQ(out, expected);
        ASSERT_EQ(did(tenonAllReduce(in.data(), out.data(), in.size(), tenonInt, tenonSum, comm, nullptr)), "success");
        EXPECT_EQ(out.back(), count * count * (count - 1) / 2 + count * (count - 1));
        ASSERT_EQ(did(tenonBroadcast(in.data(), out.data(), in.size(), tenonInt, 0, comm, nullptr)), "success");
        EXPECT_EQ(out.back(), count - 1);
        std::uint64_t taken = 0;
        EXPECT_EQ(did(tenonCommSlotMemory(comm, &taken)), "success");
        EXPECT_LE(taken, cap);
        EXPECT_EQ(did(tenonCommDestroy(comm)), "success");
    });
}

TEST(Communicators, TakeGroupsForAsManyRanksAndTheHostsOtherwise) {
    Config config;
    config.groups = "2x3";
    const auto levels_of = [&](Rank rank_count) {
        return Communicator::make_local(rank_count, config).value()[0]->topology().levels;
    };
    ASSERT_EQ(levels_of(6).size(), 2U);
    EXPECT_EQ(levels_of(6)[0].group_of, (std::vector<std::int32_t>{0, 0, 0, 1, 1, 1}));
    ASSERT_EQ(levels_of(4).size(), 1U) << "all on one host";
    config.groups = "2 by 3";
    const auto refused = Communicator::make_local(6, config);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("TENON_GROUPS: '2 by 3' is no shape"), std::string::npos)
        << refused.error().message;
}

TEST(Communicators, OnlyAnswerQuestionsOnceFinalized) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int) {
        int one = 1, rank = -1;
        EXPECT_EQ(did(tenonCommFinalize(comm)), "success");
        EXPECT_EQ(tenonAllReduce(&one, &one, 1, tenonInt, tenonSum, comm, nullptr), tenonInvalidUsage);
        EXPECT_EQ(did(tenonCommUserRank(comm, &rank)), "success");
        const auto refusal_of = [&](const char* call) {
            return "rank " + std::to_string(rank) + ": " + call + ": the communicator was finalized; make a new one";
        };
        EXPECT_EQ(tenonGetLastError(comm), refusal_of("tenonAllReduce"));
        tenonComm_t part = nullptr;
        EXPECT_EQ(tenonCommSplit(comm, 0, 0, &part, nullptr), tenonInvalidUsage);
        EXPECT_EQ(tenonGetLastError(comm), refusal_of("tenonCommSplit"));
    });
}

}  // namespace
}  // namespace tenon::conformance
