// Wrong arguments: the right status, a message that names the rank and the call, nothing changed, and the communicator
// as usable as before.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "tests/conformance/c_job.hpp"

namespace tenon::conformance {
namespace {

class BadInput : public ::testing::Test {
protected:
    const CJob job{2};
    tenonComm_t comm = job.comm(1);
    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {};
    std::size_t two[2] = {2, 2}, offsets[2] = {0, 2};
    static constexpr std::size_t huge = SIZE_MAX / 2;

    void expect_refused(tenonResult_t result, const char* call, const char* what) {
        EXPECT_EQ(result, tenonInvalidArgument) << call << ": " << what;
        const std::string message = tenonGetLastError(comm);
        EXPECT_NE(message.find("rank 1"), std::string::npos) << message;
        EXPECT_NE(message.find(call), std::string::npos) << message;
        EXPECT_NE(message.find(what), std::string::npos) << message;
        EXPECT_EQ(message, tenonGetLastError(nullptr));
    }
    ~BadInput() override {
        for (const float f : out) EXPECT_EQ(f, 0) << "a refused call wrote its output";
        job.run([](tenonComm_t c, int) {
            float sum = 1;
            EXPECT_EQ(did(tenonAllReduce(&sum, &sum, 1, tenonFloat, tenonSum, c, nullptr)), "success");
            EXPECT_EQ(sum, 2);
        });
    }
};

TEST_F(BadInput, NullBuffers) {
    expect_refused(tenonAllReduce(nullptr, out, 8, tenonFloat, tenonSum, comm, nullptr), "all_reduce",
                   "sendbuff is NULL");
    expect_refused(tenonAllReduce(in, nullptr, 8, tenonFloat, tenonSum, comm, nullptr), "all_reduce",
                   "recvbuff is NULL");
    expect_refused(tenonBroadcast(nullptr, out, 8, tenonFloat, 1, comm, nullptr), "broadcast", "sendbuff is NULL");
    expect_refused(tenonReduce(in, nullptr, 8, tenonFloat, tenonSum, 1, comm, nullptr), "reduce", "recvbuff is NULL");
    expect_refused(tenonReduceScatter(nullptr, out, 4, tenonFloat, tenonSum, comm, nullptr), "reduce_scatter",
                   "sendbuff is NULL");
    expect_refused(tenonAllGather(in, nullptr, 4, tenonFloat, comm, nullptr), "all_gather", "recvbuff is NULL");
    expect_refused(tenonAlltoAll(nullptr, out, 4, tenonFloat, comm, nullptr), "all_to_all", "sendbuff is NULL");
    expect_refused(tenonGather(in, nullptr, 4, tenonFloat, 1, comm, nullptr), "gather", "recvbuff is NULL");
    expect_refused(tenonScatter(nullptr, out, 4, tenonFloat, 1, comm, nullptr), "scatter", "sendbuff is NULL");
    expect_refused(tenonSend(nullptr, 8, tenonFloat, 0, comm, nullptr), "send", "sendbuff is NULL");
    expect_refused(tenonRecv(nullptr, 8, tenonFloat, 0, comm, nullptr), "receive", "recvbuff is NULL");
}

TEST_F(BadInput, NullArrays) {
    expect_refused(tenonAlltoAllv(in, nullptr, offsets, out, two, offsets, tenonFloat, comm, nullptr), "all_to_all_v",
                   "NULL");
    expect_refused(tenonAlltoAllv(in, two, nullptr, out, two, offsets, tenonFloat, comm, nullptr), "all_to_all_v",
                   "NULL");
    expect_refused(tenonAlltoAllv(in, two, offsets, out, nullptr, offsets, tenonFloat, comm, nullptr), "all_to_all_v",
                   "NULL");
    expect_refused(tenonAlltoAllv(in, two, offsets, out, two, nullptr, tenonFloat, comm, nullptr), "all_to_all_v",
                   "NULL");
    expect_refused(tenonAlltoAllv(nullptr, two, offsets, out, two, offsets, tenonFloat, comm, nullptr), "all_to_all_v",
                   "sendbuff is NULL");
    expect_refused(tenonAllGatherv(in, 2, out, nullptr, offsets, tenonFloat, comm, nullptr), "all_gather_v", "NULL");
    expect_refused(tenonAllGatherv(in, 2, out, two, nullptr, tenonFloat, comm, nullptr), "all_gather_v", "NULL");
    expect_refused(tenonReduceScatterv(in, out, nullptr, tenonFloat, tenonSum, comm, nullptr), "reduce_scatter_v",
                   "NULL");
}

TEST_F(BadInput, CountsThatDoNotFitTogether) {
    expect_refused(tenonAllGatherv(in, 3, out, two, offsets, tenonFloat, comm, nullptr), "all_gather_v",
                   "sendcount is 3");
    const std::size_t other[2] = {2, 3};
    expect_refused(tenonAlltoAllv(in, two, offsets, out, other, offsets, tenonFloat, comm, nullptr), "all_to_all_v",
                   "is 3");
}

TEST_F(BadInput, CountsThatOverflow) {
    expect_refused(tenonAllReduce(in, out, huge, tenonFloat, tenonSum, comm, nullptr), "all_reduce", "overflows");
    expect_refused(tenonAllGather(in, out, huge / 4, tenonFloat, comm, nullptr), "all_gather", "overflows");
    expect_refused(tenonSend(in, huge, tenonFloat64, 0, comm, nullptr), "send", "overflows");
    const std::size_t counts[2] = {huge, huge};
    expect_refused(tenonAlltoAllv(in, counts, offsets, out, counts, offsets, tenonFloat, comm, nullptr), "all_to_all_v",
                   "overflows");
    const std::size_t far[2] = {SIZE_MAX - 1, 0};
    expect_refused(tenonAllGatherv(in, 2, out, two, far, tenonFloat, comm, nullptr), "all_gather_v", "overflows");
    expect_refused(tenonReduceScatterv(in, out, counts, tenonFloat, tenonSum, comm, nullptr), "reduce_scatter_v",
                   "overflows");
}

TEST_F(BadInput, TypesAndOperationsThatAreNone) {
    for (const int type : {14, 15})
        expect_refused(tenonAllReduce(in, out, 8, static_cast<tenonDataType_t>(type), tenonSum, comm, nullptr),
                       "AllReduce", "data type");
    expect_refused(tenonAllGather(in, out, 4, tenonNumTypes, comm, nullptr), "AllGather", "data type");
    for (const int op : {5, 6, 0x7fffffff})
        expect_refused(tenonReduce(in, out, 8, tenonFloat, static_cast<tenonRedOp_t>(op), 0, comm, nullptr), "Reduce",
                       "operation");
}

TEST_F(BadInput, RootsAndPeersThatAreNoRank) {
    for (const int rank : {-1, 2, INT32_MAX, INT32_MIN}) {
        expect_refused(tenonBroadcast(in, out, 8, tenonFloat, rank, comm, nullptr), "broadcast", "root");
        expect_refused(tenonReduce(in, out, 8, tenonFloat, tenonSum, rank, comm, nullptr), "reduce", "root");
        expect_refused(tenonGather(in, out, 4, tenonFloat, rank, comm, nullptr), "gather", "root");
        expect_refused(tenonScatter(in, out, 4, tenonFloat, rank, comm, nullptr), "scatter", "root");
        expect_refused(tenonSend(in, 8, tenonFloat, rank, comm, nullptr), "send", "peer");
        expect_refused(tenonRecv(out, 8, tenonFloat, rank, comm, nullptr), "receive", "peer");
    }
}

TEST_F(BadInput, BuffersWithoutElementsMayBeNull) {
    job.run([&](tenonComm_t c, int rank) {
        EXPECT_EQ(did(tenonAllReduce(nullptr, nullptr, 0, tenonFloat, tenonSum, c, nullptr)), "success");
        EXPECT_EQ(did(tenonAlltoAll(nullptr, nullptr, 0, tenonFloat, c, nullptr)), "success");
        const std::size_t none[2] = {0, 0};
        EXPECT_EQ(did(tenonAlltoAllv(nullptr, none, none, nullptr, none, none, tenonFloat, c, nullptr)), "success");
        float x = 4;
        EXPECT_EQ(did(tenonBroadcast(rank == 0 ? &x : nullptr, &x, 1, tenonFloat, 0, c, nullptr)), "success")
            << "ignored elsewhere";
    });
}

TEST_F(BadInput, QueriesWithoutAPlaceForTheAnswer) {
    expect_refused(tenonCommCount(comm, nullptr), "tenonCommCount", "count is NULL");
    expect_refused(tenonCommUserRank(comm, nullptr), "tenonCommUserRank", "rank is NULL");
    expect_refused(tenonCommGetAsyncError(comm, nullptr), "tenonCommGetAsyncError", "asyncError is NULL");
    expect_refused(tenonCommSplit(comm, 0, 0, nullptr, nullptr), "tenonCommSplit", "newcomm is NULL");
    EXPECT_EQ(tenonGetUniqueId(nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonGetVersion(nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonMemAlloc(nullptr, 8), tenonInvalidArgument);
    EXPECT_EQ(tenonStreamCreate(nullptr), tenonInvalidArgument);
    const char* name = nullptr;
    expect_refused(tenonCommTransport(comm, 2, &name), "tenonCommTransport", "peer 2 is not in [0, 2)");
    expect_refused(tenonCommAlgorithm(comm, tenonNumCollectives, 1, tenonFloat, tenonSum, &name), "tenonCommAlgorithm",
                   "no collective 9");
    expect_refused(tenonCommAlgorithm(comm, tenonCollectiveAllGather, huge, tenonFloat, tenonSum, &name), "all_gather",
                   "overflows");
    tenonRedOp_t op;
    expect_refused(tenonRedOpCreatePreMulSum(&op, nullptr, tenonFloat, tenonScalarHostImmediate, comm),
                   "tenonRedOpCreatePreMulSum", "scalar is NULL");
    expect_refused(tenonCommRegister(comm, nullptr, 8, nullptr), "tenonCommRegister", "buff or handle is NULL");
}

TEST_F(BadInput, StreamsAndEventsThatAreNone) {
    tenonEvent_t event = nullptr;
    ASSERT_EQ(did(tenonEventCreate(&event)), "success");
    EXPECT_EQ(tenonStreamSynchronize(nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonStreamQuery(nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonStreamDestroy(nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonStreamWaitEvent(nullptr, event), tenonInvalidArgument);
    EXPECT_EQ(tenonEventRecord(event, nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonEventSynchronize(nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonEventDestroy(nullptr), tenonInvalidArgument);
    EXPECT_EQ(did(tenonEventDestroy(event)), "success");
}

TEST_F(BadInput, ColorsBelowZeroAreNoColorOnlyWhenTheyAreThatOne) {
    tenonComm_t part = nullptr;
    expect_refused(tenonCommSplit(comm, -2, 0, &part, nullptr), "tenonCommSplit", "color -2");
    EXPECT_EQ(part, nullptr);
}

TEST(BadHandles, DestroyedAndNullCommunicatorsAreRefusedByEveryCall) {
    tenonComm_t comms[2] = {};
    ASSERT_EQ(did(tenonCommInitAll(comms, 2, nullptr)), "success");
    ASSERT_EQ(did(tenonCommDestroy(comms[0])), "success");
    ASSERT_EQ(did(tenonCommAbort(comms[1])), "success");
    float x = 0;
    int n = 0;
    for (tenonComm_t gone : {comms[0], comms[1], tenonComm_t{}}) {
        EXPECT_EQ(tenonAllReduce(&x, &x, 1, tenonFloat, tenonSum, gone, nullptr), tenonInvalidArgument);
        const std::string message = tenonGetLastError(nullptr);
        EXPECT_NE(message.find("tenonAllReduce"), std::string::npos) << message;
        EXPECT_NE(message.find(gone == nullptr ? "NULL" : "destroyed or aborted"), std::string::npos) << message;
        if (gone != nullptr) {
            EXPECT_NE(message.find(gone == comms[0] ? "rank 0" : "rank 1"), std::string::npos) << message;
        }
        EXPECT_EQ(tenonBarrier(gone, nullptr), tenonInvalidArgument);
        EXPECT_EQ(tenonSend(&x, 1, tenonFloat, 0, gone, nullptr), tenonInvalidArgument);
        EXPECT_EQ(tenonCommCount(gone, &n), tenonInvalidArgument);
        EXPECT_EQ(tenonCommFinalize(gone), tenonInvalidArgument);
        EXPECT_EQ(tenonCommDestroy(gone), tenonInvalidArgument);
        EXPECT_EQ(tenonCommAbort(gone), tenonInvalidArgument);
    }
}

TEST(BadCommunicators, AreNotMade) {
    tenonComm_t comm = nullptr;
    tenonUniqueId id;
    ASSERT_EQ(did(tenonGetUniqueId(&id)), "success");
    EXPECT_EQ(tenonCommInitRank(nullptr, 1, id, 0), tenonInvalidArgument);
    EXPECT_EQ(tenonCommInitAll(nullptr, 2, nullptr), tenonInvalidArgument);
    for (const auto& [ranks, rank] : {std::pair{0, 0}, {-1, 0}, {2, 2}, {2, -1}, {INT32_MAX, 0}}) {
        EXPECT_EQ(tenonCommInitRank(&comm, ranks, id, rank), tenonInvalidArgument) << rank << " of " << ranks;
        EXPECT_EQ(comm, nullptr);
        EXPECT_EQ(std::string(tenonGetLastError(nullptr)).find("tenonCommInitRank: "), 0U);
    }
    tenonComm_t none[1] = {};
    EXPECT_EQ(tenonCommInitAll(none, 0, nullptr), tenonInvalidArgument);
    EXPECT_STREQ(tenonGetLastError(nullptr), "tenonCommInitAll: a communicator has 1 to 65536 ranks, not 0");
    const tenonUniqueId garbage = {};
    EXPECT_EQ(tenonCommInitRank(&comm, 1, garbage, 0), tenonInvalidArgument);
    tenonGroupStart();
    EXPECT_EQ(tenonCommInitRank(&comm, 1, id, 0), tenonSuccess);
    EXPECT_EQ(tenonCommInitRank(nullptr, 1, id, 0), tenonInvalidArgument);
    EXPECT_EQ(tenonGroupEnd(), tenonInvalidArgument) << "nothing of it is made";
    EXPECT_EQ(comm, nullptr);
}

TEST(BadCommunicators, SettingsMustMeanSomething) {
    tenonUniqueId id;
    ASSERT_EQ(did(tenonGetUniqueId(&id)), "success");
    const auto init = [&](tenonConfig_t config) {
        tenonComm_t comm = nullptr;
        const tenonResult_t result = tenonCommInitRankConfig(&comm, 1, id, 0, &config);
        EXPECT_EQ(comm, nullptr);
        return result;
    };
    const tenonConfig_t good = TENON_CONFIG_INITIALIZER;
    tenonConfig_t config = good;
    config.algorithm = "all_reduce=no_such_algorithm";
    EXPECT_EQ(init(config), tenonInvalidArgument);
    EXPECT_NE(std::string(tenonGetLastError(nullptr)).find("no_such_algorithm"), std::string::npos);
    config.algorithm = "nonsense";
    EXPECT_EQ(init(config), tenonInvalidArgument);
    config = good;
    config.deterministic = 2;
    EXPECT_EQ(init(config), tenonInvalidArgument);
    config = good;
    config.timeoutMs = -5;
    EXPECT_EQ(init(config), tenonInvalidArgument);
    config = good;
    config.slotMemoryBytes = 1;
    EXPECT_EQ(init(config), tenonInvalidArgument);
    EXPECT_EQ(init(tenonConfig_t{}), tenonInvalidArgument);
}

// Aborts rank 0 while ranks 0 and 1 are in a call, or a split, that rank 2 never makes. False if the abort came before
// rank 0 was inside, which nobody can see from outside: then its call was refused as one on an aborted communicator.
bool abort_ends(const std::function<tenonResult_t(tenonComm_t)>& waiting_call) {
    const CJob job(3);
    std::atomic<int> calling = 0;
    std::array<tenonResult_t, 2> results{};
    std::vector<std::jthread> ranks;
    for (int r = 0; r < 2; r++)
        ranks.emplace_back([&, r] {
            calling++;
            results.at(r) = waiting_call(job.comm(r));
        });
    while (calling != 2) std::this_thread::yield();
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(did(tenonCommAbort(job.comm(0))), "success");
    ranks.clear();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    EXPECT_EQ(results[1], tenonRemoteError);
    const std::string message = tenonGetLastError(job.comm(1));
    EXPECT_NE(message.find("rank 0 aborted"), std::string::npos) << message;
    EXPECT_EQ(tenonBarrier(job.comm(2), nullptr), tenonRemoteError) << "also the rank that was not in a call";
    tenonResult_t state;
    EXPECT_EQ(did(tenonCommGetAsyncError(job.comm(1), &state)), "success");
    EXPECT_EQ(state, tenonRemoteError);
    if (results[0] == tenonInvalidArgument) return false;
    EXPECT_EQ(results[0], tenonAborted);
    return true;
}

TEST(Abort, EndsAWaitingCallFromAnotherThreadAndTellsTheOthers) {
    const auto all_reduce = [](std::size_t count) {
        return [count](tenonComm_t comm) {
            std::vector<float> n(count);
            return tenonAllReduce(n.data(), n.data(), count, tenonFloat, tenonSum, comm, nullptr);
        };
    };
    const auto split = [](tenonComm_t comm) {
        tenonComm_t part = nullptr;
        const tenonResult_t result = tenonCommSplit(comm, 0, 0, &part, nullptr);
        EXPECT_EQ(part, nullptr);
        return result;
    };
    for (const std::function<tenonResult_t(tenonComm_t)>& call :
         {std::function<tenonResult_t(tenonComm_t)>(all_reduce(1)), {all_reduce(500'000)}, {split}}) {
        int attempts = 1;
        while (!abort_ends(call) && !testing::Test::HasFailure()) ASSERT_LT(++attempts, 100);
    }
}

TEST(VariableCounts, AreCheckedAgainWhenTheCallIsKnownAlready) {
    const CJob job(2);
    job.run([](tenonComm_t comm, int r) {
        const std::size_t counts[2] = {2, 3}, offsets[2] = {0, 2};
        const auto own = counts[static_cast<std::size_t>(r)];
        float in[3] = {1, 2, 3}, out[5] = {};
        for (int i = 0; i < 2; i++)
            EXPECT_EQ(did(tenonAllGatherv(in, own, out, counts, offsets, tenonFloat, comm, nullptr)), "success");
        EXPECT_EQ(tenonAllGatherv(in, own - 1, out, counts, offsets, tenonFloat, comm, nullptr), tenonInvalidArgument);
        EXPECT_EQ(did(tenonAllGatherv(in, own, out, counts, offsets, tenonFloat, comm, nullptr)), "success");
    });
}

TEST(Memory, OfTenonIsZeroedAlignedAndNothingForNothing) {
    void* memory = &memory;
    EXPECT_EQ(did(tenonMemAlloc(&memory, 0)), "success");
    EXPECT_EQ(memory, nullptr);
    for (int round = 0; round < 3; round++) {
        ASSERT_EQ(did(tenonMemAlloc(&memory, 100'000)), "success");
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 4096, 0U);
        auto* bytes = static_cast<unsigned char*>(memory);
        EXPECT_EQ(std::count(bytes, bytes + 100'000, 0), 100'000) << "also when it was used before";
        std::fill(bytes, bytes + 100'000, 7);
        EXPECT_EQ(did(tenonMemFree(memory)), "success");
        EXPECT_EQ(tenonMemFree(memory), tenonInvalidArgument) << "twice";
    }
    int own = 0;
    EXPECT_EQ(tenonMemFree(&own), tenonInvalidArgument);
    EXPECT_EQ(tenonMemFree(nullptr), tenonSuccess);
    EXPECT_NE(tenonMemAlloc(&memory, SIZE_MAX / 2), tenonSuccess);
}

TEST(Memory, MayBeRegistered) {
    const CJob job(1);
    float buffer[4] = {};
    void* handle = nullptr;
    EXPECT_EQ(did(tenonCommRegister(job.comm(0), buffer, sizeof buffer, &handle)), "success");
    void* other = nullptr;
    EXPECT_EQ(did(tenonCommRegister(job.comm(0), buffer, sizeof buffer, &other)), "success") << "more than once";
    EXPECT_NE(handle, other);
    EXPECT_EQ(did(tenonCommDeregister(job.comm(0), handle)), "success");
    EXPECT_EQ(tenonCommDeregister(job.comm(0), handle), tenonInvalidArgument) << "twice";
    EXPECT_EQ(tenonCommDeregister(job.comm(0), buffer), tenonInvalidArgument) << "no handle";
    const CJob another(1);
    EXPECT_EQ(tenonCommDeregister(another.comm(0), other), tenonInvalidArgument) << "of another communicator";
    EXPECT_EQ(did(tenonCommDeregister(job.comm(0), other)), "success");
    EXPECT_EQ(tenonCommRegister(job.comm(0), nullptr, 4, &handle), tenonInvalidArgument);
    EXPECT_EQ(tenonCommRegister(job.comm(0), buffer, SIZE_MAX, &handle), tenonInvalidArgument) << "overflows";
    EXPECT_EQ(tenonCommDeregister(job.comm(0), nullptr), tenonInvalidArgument);
}

TEST(Version, IsThatOfTheHeader) {
    int version = 0;
    EXPECT_EQ(tenonGetVersion(&version), tenonSuccess);
    EXPECT_EQ(version, TENON_VERSION_CODE);
    for (int r = 0; r < tenonNumResults; r++) EXPECT_STRNE(tenonGetErrorString(static_cast<tenonResult_t>(r)), "");
    EXPECT_NE(tenonGetErrorString(static_cast<tenonResult_t>(15)), nullptr);
}

}  // namespace
}  // namespace tenon::conformance
