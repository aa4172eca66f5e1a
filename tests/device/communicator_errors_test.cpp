// What goes wrong with communicators of devices: arguments that are refused before anything is enqueued, ranks that
// disagree, do not come, or abort; each with a message that says who, what and what to do.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "tenon/moe.h"
#include "tests/device/device_job.hpp"

namespace tenon::support {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(DeviceArguments, AreRefusedInWords) {
    on_device_ranks("emulated", 2, [](const DeviceRankHandles& own) {
        const auto on_device = own.on.allocate(64);
        std::array<std::byte, 64> on_host{};
        const DeviceUser other{"emulated:9"};
        const auto elsewhere = other.allocate(64);
        tenonStream_t host = nullptr;
        require(tenonStreamCreate(&host));
        const auto reduce = [&](void* from, void* into, tenonRedOp_t op, tenonStream_t stream) {
            return outcome(tenonAllReduce(from, into, 4, tenonInt32, op, own.comm, stream), own.comm);
        };
        EXPECT_THAT(reduce(on_device, on_host.data(), tenonSum, nullptr),
                    AllOf(StartsWith("invalid argument"), HasSubstr("sendbuff is memory of emulated:"),
                          HasSubstr("recvbuff of the host")));
        EXPECT_THAT(reduce(on_host.data(), on_host.data(), tenonSum, own.on.stream()),
                    AllOf(StartsWith("invalid argument"), HasSubstr("not in the memory of device")));
        EXPECT_THAT(reduce(elsewhere, elsewhere, tenonSum, nullptr),
                    AllOf(StartsWith("invalid argument"), HasSubstr("memory of emulated:9")));
        EXPECT_THAT(reduce(on_device, on_device, tenonSum, host),
                    AllOf(StartsWith("invalid usage"), HasSubstr("tenonDeviceStreamCreate")));
        EXPECT_THAT(reduce(on_device, on_device, tenonSum, other.stream()),
                    AllOf(StartsWith("invalid usage"), HasSubstr("the stream is of emulated:9")));
        EXPECT_THAT(reduce(on_device, on_device, tenonAvg, nullptr),
                    AllOf(StartsWith("invalid argument"), HasSubstr("no avg of int32")));
        tenonRedOp_t scaled{};
        std::int32_t two = 2;
        require(tenonRedOpCreatePreMulSum(&scaled, &two, tenonInt32, tenonScalarHostImmediate, own.comm));
        EXPECT_THAT(reduce(on_device, on_device, scaled, nullptr),
                    AllOf(StartsWith("invalid usage"), HasSubstr("scale the input")));
        require(tenonRedOpDestroy(scaled, own.comm));
        // All were refused before anything was sent, so the next call works.
        EXPECT_EQ(reduce(on_device, on_device, tenonSum, nullptr), "success");
        require(tenonStreamDestroy(host));
    });
}

TEST(DeviceArguments, OfACommunicatorWithoutDevicesAreRefusedInWords) {
    const DeviceUser user{"emulated:0"};
    tenonComm_t comm = nullptr;
    require(tenonCommInitAll(&comm, 1, nullptr));
    const auto memory = user.allocate(16);
    EXPECT_THAT(outcome(tenonAllReduce(memory, memory, 4, tenonInt32, tenonSum, comm, nullptr)),
                AllOf(StartsWith("invalid argument"), HasSubstr("tenonConfig_t.device")));
    EXPECT_THAT(outcome(tenonAllReduce(memory, memory, 4, tenonInt32, tenonSum, comm, user.stream())),
                AllOf(StartsWith("invalid usage"), HasSubstr("tenonConfig_t.device")));
    require(tenonCommDestroy(comm));
}

TEST(DeviceArguments, OfMoeAreRefusedInWords) {
    on_device_ranks("emulated", 2, [](const DeviceRankHandles& own) {
        tenonMoeConfig_t config = TENON_MOE_CONFIG_INITIALIZER;
        config.experts = 2;
        config.topK = 1;
        config.hidden = 8;
        config.maxTokens = 1;
        tenonMoeGroup_t group = nullptr;
        tenonMoeHandle_t handle = nullptr;
        require(tenonMoeGroupCreate(&group, own.comm, &config));
        const std::int64_t expert = own.rank;
        const float weight = 1;
        EXPECT_THAT(outcome(tenonMoePrepare(&handle, group, &expert, &weight, 1, own.on.stream())),
                    AllOf(StartsWith("invalid usage"), HasSubstr("runs on the host")));
        require(tenonMoePrepare(&handle, group, &expert, &weight, 1, nullptr));
        const auto memory = own.on.allocate(64);
        EXPECT_THAT(outcome(tenonMoeDispatch(handle, memory, memory, 1, nullptr)),
                    AllOf(StartsWith("invalid argument"), HasSubstr("memory of emulated:"),
                          HasSubstr("tenonDeviceMemcpyAsync")));
        require(tenonMoeHandleDestroy(handle));
        require(tenonMoeGroupDestroy(group));
    });
}

TEST(Devices, ThatThereAreNotAreRefusedInWords) {
    tenonDevice_t device = nullptr;
    for (const auto& [name, what] :
         {std::pair{"emulated", "names no device"}, std::pair{"emulated:x", "names no device"},
          std::pair{"emulated:16", "there is no emulated device 16"},
          std::pair{"abacus:0", "no devices of kind 'abacus'"}}) {
        EXPECT_THAT(outcome(tenonDeviceOpen(&device, name)), AllOf(StartsWith("invalid argument"), HasSubstr(what)));
        EXPECT_EQ(device, nullptr);
    }
    tenonStream_t stream = nullptr;
    const DeviceUser user{"emulated:0"};
    EXPECT_THAT(outcome(tenonDeviceStreamWrap(user.device(), &stream, &stream)), StartsWith("invalid usage"));
    EXPECT_THAT(outcome(tenonDeviceMemFree(user.device(), &stream)), StartsWith("invalid argument"));
    EXPECT_THAT(outcome(tenonDeviceMemcpyAsync(&stream, &stream, 1, nullptr)), StartsWith("invalid argument"));
}

TEST(DeviceRanks, ThatDisagreeAreToldWhoCallsWhat) {
    on_device_ranks("emulated", 2, [](const DeviceRankHandles& own) {
        const auto memory = own.on.allocate(4096);
        require(tenonAllReduce(memory, memory, 10, tenonInt32, tenonSum, own.comm, own.on.stream()));
        const auto count = static_cast<std::size_t>(own.rank == 0 ? 100 : 200);
        tenonResult_t result = tenonAllReduce(memory, memory, count, tenonInt32, tenonSum, own.comm, own.on.stream());
        if (result == tenonSuccess) result = tenonStreamSynchronize(own.on.stream());
        EXPECT_THAT(outcome(result), AllOf(StartsWith("mismatch"), HasSubstr("all_reduce of 100 int32"),
                                           HasSubstr("all_reduce of 200 int32")));
        tenonResult_t later{};
        require(tenonCommGetAsyncError(own.comm, &later));
        EXPECT_EQ(later, tenonMismatch);
    });
}

TEST(DeviceRanks, OfWhichOneUsesTheHostsMemoryAreTold) {
    on_device_ranks("emulated", 2, [](const DeviceRankHandles& own) {
        std::array<std::int32_t, 4> here{};
        void* const memory = own.rank == 0 ? here.data() : static_cast<void*>(own.on.allocate(sizeof here));
        EXPECT_THAT(outcome(tenonAllReduce(memory, memory, 4, tenonInt32, tenonSum, own.comm, nullptr)),
                    AllOf(StartsWith("mismatch"), HasSubstr("all_reduce of 4 int32"),
                          HasSubstr("one is on devices and one on the host")));
    });
}

// Later waits are for what came later: its error is told once, as in streams of the host.
TEST(DeviceRanks, ThatFailAreToldOfOnceByAStreamWhoseWorkIsDone) {
    std::atomic<int> done{0};
    on_device_ranks("emulated", 2, [&](const DeviceRankHandles& own) {
        const auto memory = own.on.allocate(16);
        require(tenonAllReduce(memory, memory, 4, tenonInt32, tenonMax, own.comm, own.on.stream()));
        require(tenonStreamSynchronize(own.on.stream()));
        done++;
        while (done < 2) std::this_thread::yield();
        if (own.rank == 1) return require(tenonCommAbort(own.comm));
        tenonResult_t error = tenonSuccess;
        while (error == tenonSuccess) require(tenonCommGetAsyncError(own.comm, &error));
        EXPECT_EQ(error, tenonRemoteError);
        EXPECT_EQ(outcome(tenonStreamSynchronize(own.on.stream())), "success");
    });
}

TEST(DeviceRanks, ThatDoNotComeAreNamed) {
    on_device_ranks(
        "emulated", 3,
        [](const DeviceRankHandles& own) {
            if (own.rank == 1) {  // until the others have given up
                tenonResult_t error = tenonSuccess;
                while (error == tenonSuccess) require(tenonCommGetAsyncError(own.comm, &error));
                EXPECT_EQ(error, tenonTimeout);
                return;
            }
            const auto memory = own.on.allocate(40);
            require(tenonAllReduce(memory, memory, 10, tenonInt32, tenonSum, own.comm, own.on.stream()));
            EXPECT_THAT(outcome(tenonStreamSynchronize(own.on.stream())),
                        AllOf(StartsWith("timeout"), HasSubstr("all_reduce of 10 int32"), HasSubstr("emulated:"),
                              HasSubstr("rank 1, which has not made this call")));
        },
        500);
}

TEST(DeviceRanks, ThatLeaveInTheMiddleOfALongCallAreNamed) {
    setenv("TENON_SLOT_MEMORY_BYTES", "64k", 1);
    on_device_ranks("emulated", 2, [](const DeviceRankHandles& own) {
        if (own.rank == 1) return;
        constexpr std::size_t count = 4 << 20;
        const auto memory = own.on.allocate(4 * count);
        // Whether all of it is enqueued before that is noticed depends on how long it takes.
        tenonResult_t result = tenonAllReduce(memory, memory, count, tenonInt32, tenonSum, own.comm, own.on.stream());
        if (result == tenonSuccess) result = tenonStreamSynchronize(own.on.stream());
        EXPECT_THAT(outcome(result),
                    AllOf(StartsWith("remote error"), HasSubstr("rank 1 has destroyed its communicator")));
    });
    unsetenv("TENON_SLOT_MEMORY_BYTES");
}

TEST(DeviceRanks, ThatHaveLeftAreNamed) {
    on_device_ranks("emulated", 2, [](const DeviceRankHandles& own) {
        if (own.rank == 1) return;
        const auto memory = own.on.allocate(40);
        EXPECT_THAT(outcome(tenonAllReduce(memory, memory, 10, tenonInt32, tenonSum, own.comm, nullptr)),
                    AllOf(StartsWith("remote error"), HasSubstr("rank 1 has destroyed its communicator")));
    });
}

TEST(DeviceRanks, ThatAbortEndTheCallsOfAll) {
    std::atomic<int> waiting{0};
    on_device_ranks("emulated", 3, [&](const DeviceRankHandles& own) {
        const auto memory = own.on.allocate(40);
        if (own.rank == 2) {
            while (waiting < 2) std::this_thread::yield();
            require(tenonCommAbort(own.comm));
            return;
        }
        require(tenonAllReduce(memory, memory, 10, tenonInt32, tenonSum, own.comm, own.on.stream()));
        waiting++;
        EXPECT_THAT(outcome(tenonStreamSynchronize(own.on.stream())),
                    AllOf(StartsWith("remote error"), HasSubstr("rank 2 aborted")));
        EXPECT_THAT(outcome(tenonAllReduce(memory, memory, 10, tenonInt32, tenonSum, own.comm, own.on.stream())),
                    HasSubstr("rank 2 aborted"));
    });
}

// One fails, in a stream that the other has used, too, and goes on in another.
TEST(DeviceRanks, GoOnInOtherCommunicatorsWhenOneFails) {
    std::atomic<int> waiting{0};
    on_device_ranks("emulated", 2, [&](const DeviceRankHandles& own) {
        tenonComm_t second = nullptr;
        tenonStream_t fresh = nullptr;
        require(tenonCommSplit(own.comm, 0, own.rank, &second, nullptr));
        require(tenonDeviceStreamCreate(own.on.device(), &fresh));
        const auto memory = own.on.allocate(16);
        own.on.put(memory, std::vector<std::byte>(16, std::byte{1}));
        require(tenonAllReduce(memory, memory, 4, tenonInt32, tenonMax, own.comm, own.on.stream()));
        require(tenonStreamSynchronize(own.on.stream()));
        if (own.rank == 0) {
            require(tenonAllReduce(memory, memory, 4, tenonInt32, tenonMax, second, own.on.stream()));
            waiting = 1;
            EXPECT_THAT(outcome(tenonStreamSynchronize(own.on.stream())), HasSubstr("rank 1 aborted"));
            EXPECT_THAT(outcome(tenonAllReduce(memory, memory, 4, tenonInt32, tenonMax, own.comm, own.on.stream())),
                        AllOf(StartsWith("invalid usage"), HasSubstr("was given up")));
        } else {
            while (waiting == 0) std::this_thread::yield();
            require(tenonCommAbort(second));
        }
        require(tenonAllReduce(memory, memory, 4, tenonInt32, tenonMax, own.comm, fresh));
        EXPECT_EQ(outcome(tenonStreamSynchronize(fresh)), "success");
        require(tenonStreamDestroy(fresh));
        if (own.rank == 0) require(tenonCommDestroy(second));
    });
}

TEST(DeviceRanks, OfDifferentKindsAreRefusedWhenTheyMeet) {
    tenonUniqueId id;
    require(tenonGetUniqueId(&id));
    on_rank_threads(2, [&](Rank rank) {
        const DeviceUser user{"emulated:0"};
        tenonConfig_t config = device_config(user, 10'000);
        if (rank == 1) config.device = nullptr;
        tenonComm_t comm = nullptr;
        EXPECT_THAT(outcome(tenonCommInitRankConfig(&comm, 2, id, rank, &config)),
                    AllOf(StartsWith("mismatch"), HasSubstr("device=")));
    });
}

}  // namespace
}  // namespace tenon::support
