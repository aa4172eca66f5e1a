// Communicators with devices, by the C API, ranks as threads (as processes where they share a GPU): every collective
// gives the reference's results, groups and counts for each rank too; calls keep the order of their streams; host
// memory still works; nothing is left.
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>

#include "os/shared_library.hpp"
#include "tests/device/acl_machine.hpp"
#include "tests/device/device_job.hpp"
#include "tests/device/devices.hpp"
#include "tests/support/reference.hpp"
#include "tests/support/seed.hpp"

namespace tenon::support {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// "emulated", or "ascend" over the emulated ACL, or "cuda" where there is a GPU.
class DeviceCommunicators : public ::testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        if (is_acl()) {
            static const AclMachine machine{{.devices_per_server = 4}};
            ASSERT_TRUE(machine.provider()) << "the emulated library is not there";
        }
        if (kind() != "cuda") return;
        // In another process: the driver does not survive a fork.
        RankProcesses asked{1, [](RankProcess&) -> std::string {
            int count = 0;
            return tenonDeviceGetCount("cuda", &count) == tenonSuccess ? "" : tenonGetLastError(nullptr);
        }};
        if (const std::string obstacle = asked.results().front(); !obstacle.empty()) GTEST_SKIP() << obstacle;
    }
    void TearDown() override {
        if (is_acl() && !IsSkipped()) expect_nothing_left_of_acl();
    }
    bool is_acl() const { return kind() == "ascend"; }
    std::string kind() const { return GetParam(); }
    template <class Body>
    void on_ranks(int rank_count, const Body& body) const {
        if (kind() == "cuda")
            on_device_processes(kind(), rank_count, body);
        else
            on_device_ranks(kind(), rank_count, body);
    }
};
INSTANTIATE_TEST_SUITE_P(, DeviceCommunicators, ::testing::Values("emulated", "ascend", "cuda"),
                         [](const auto& given) { return std::string{given.param}; });

// One call of the reference's shape on device memory; "" where the result is right.
std::string difference(const DeviceRankHandles& own, const Reference& reference, bool in_place, tenonStream_t stream) {
    const Shape& shape = reference.shape();
    const auto input = reference.input(own.rank);
    const std::size_t bytes = output_elements(shape, own.rank) * element_bytes(shape.type);
    const std::size_t offset = in_place_offset(shape, own.rank) * element_bytes(shape.type);
    const bool input_is_larger = input.size() > bytes;
    std::byte* const larger = own.on.allocate(std::max(input.size(), bytes));
    std::byte* const apart = own.on.allocate(bytes);
    std::byte* const from = larger + (in_place && !input_is_larger ? offset : 0);
    std::byte* const into = !in_place ? apart : larger + (input_is_larger ? offset : 0);
    own.on.put(from, input);
    std::string wrong;
    if (const auto done = submit(shape, from, into, own.comm, stream); done != tenonSuccess) {
        wrong = outcome(done);
    } else {
        if (stream != nullptr) require(tenonStreamSynchronize(stream));
        wrong = reference.difference(own.rank, own.on.get(into, bytes)).value_or("");
    }
    require(tenonDeviceMemFree(own.on.device(), larger));
    require(tenonDeviceMemFree(own.on.device(), apart));
    return wrong;
}

TEST_P(DeviceCommunicators, GiveTheReferencesResults) {
    const std::uint64_t seed = test_seed();
    for (const int ranks : {1, 2, 4})
        on_ranks(ranks, [&](const DeviceRankHandles& own) {
            for (const Collective collective :
                 {Collective::all_reduce, Collective::reduce, Collective::broadcast, Collective::reduce_scatter,
                  Collective::all_gather, Collective::all_to_all, Collective::gather, Collective::scatter})
                for (const auto& [type, op, count, in_place] :
                     {std::tuple{DataType::float32, ReduceOp::sum, std::size_t{0}, false},
                      std::tuple{DataType::float32, ReduceOp::sum, std::size_t{1}, true},
                      std::tuple{DataType::int32, ReduceOp::max, std::size_t{1000}, false},
                      std::tuple{DataType::float16, ReduceOp::sum, std::size_t{70'001}, true},
                      std::tuple{DataType::float32, ReduceOp::min, std::size_t{300'000}, false}}) {
                    const Shape shape{.collective = collective, .type = type, .op = op, .rank_count = ranks,
                                      .root = ranks - 1, .count = count};
                    const Reference reference{shape, Values::exact, false, seed};
                    EXPECT_EQ(difference(own, reference, in_place, in_place ? nullptr : own.on.stream()), "")
                        << "rank " << own.rank << ": " << in_words(shape) << (in_place ? ", in place" : "");
                }
            EXPECT_EQ(outcome(tenonBarrier(own.comm, own.on.stream())), "success");
            EXPECT_EQ(outcome(tenonStreamSynchronize(own.on.stream())), "success");
        });
}

TEST_P(DeviceCommunicators, RunHostMemoryAsBefore) {
    on_ranks(2, [&](const DeviceRankHandles& own) {
        std::vector<int> buffer(1000, own.rank + 1);
        EXPECT_EQ(outcome(tenonAllReduce(buffer.data(), buffer.data(), 1000, tenonInt32, tenonSum, own.comm, nullptr)),
                  "success");
        EXPECT_EQ(buffer, std::vector<int>(1000, 3));
    });
}

// Each call's input is what the one before it has written, in another stream.
TEST_P(DeviceCommunicators, KeepTheOrderOfCallsOverStreams) {
    constexpr int calls = 150;  // more than are in flight at once
    on_ranks(2, [&](const DeviceRankHandles& own) {
        tenonStream_t other = nullptr;
        require(tenonDeviceStreamCreate(own.on.device(), &other));
        const auto memory = own.on.allocate(4 * sizeof(std::int32_t));
        std::vector<std::byte> ones(4 * sizeof(std::int32_t));
        for (std::size_t i = 0; i < ones.size(); i += sizeof(std::int32_t)) ones[i] = std::byte{1};
        own.on.put(memory, ones);
        for (int call = 0; call < calls; call++)
            require(tenonAllReduce(memory, memory, 4, tenonInt32, call % 30 == 29 ? tenonSum : tenonMax, own.comm,
                                   call % 2 == 0 ? own.on.stream() : other));
        require(tenonStreamSynchronize(other));
        require(tenonStreamSynchronize(own.on.stream()));
        std::int32_t result = 0;
        const auto got = own.on.get(memory, sizeof result);
        std::memcpy(&result, got.data(), sizeof result);
        EXPECT_EQ(result, 1 << (calls / 30));
        require(tenonStreamDestroy(other));
    });
}

TEST_P(DeviceCommunicators, OrderWorkOfOtherStreamsByEvents) {
    on_ranks(2, [&](const DeviceRankHandles& own) {
        constexpr std::size_t count = 100'000;
        tenonStream_t later = nullptr;
        tenonEvent_t reduced = nullptr;
        require(tenonDeviceStreamCreate(own.on.device(), &later));
        require(tenonEventCreate(&reduced));
        EXPECT_EQ(tenonEventQuery(reduced), tenonSuccess);
        tenonStreamKind_t kind{};
        require(tenonStreamGetKind(later, &kind));
        EXPECT_EQ(kind, tenonStreamDevice);
        const auto memory = own.on.allocate(count);
        own.on.put(memory, std::vector<std::byte>(count, std::byte{static_cast<unsigned char>(own.rank + 1)}));
        std::vector<std::byte> result(count);
        require(tenonAllReduce(memory, memory, count / 4, tenonInt32, tenonSum, own.comm, own.on.stream()));
        require(tenonEventRecord(reduced, own.on.stream()));
        require(tenonStreamWaitEvent(later, reduced));
        require(tenonDeviceMemcpyAsync(result.data(), memory, count, later));
        require(tenonStreamSynchronize(later));
        EXPECT_EQ(tenonEventQuery(reduced), tenonSuccess);
        require(tenonEventSynchronize(reduced));
        EXPECT_EQ(result, std::vector<std::byte>(count, std::byte{3}));
        require(tenonEventDestroy(reduced));
        require(tenonStreamDestroy(later));
    });
}

// A stream that the program has made with the vendor's runtime, on a device that is this thread's from now on.
class NativeStream {
public:
    NativeStream(bool is_acl, int device)
        : library_{must(os::SharedLibrary::open(is_acl ? "libascendcl.so" : "libcuda.so.1"))}, is_acl_{is_acl},
          device_{device} {
        if (is_acl) {
            EXPECT_EQ(call<int(std::int32_t)>("aclrtSetDevice")(device), 0);
            EXPECT_EQ((call<int(void**, std::uint32_t, std::uint32_t)>("aclrtCreateStreamWithConfig")(&stream_, 0, 0)),
                      0);
        } else {
            EXPECT_EQ((call<int(void**, int)>("cuDevicePrimaryCtxRetain")(&context_, device)), 0);
            EXPECT_EQ(call<int(void*)>("cuCtxSetCurrent")(context_), 0);
            EXPECT_EQ((call<int(void**, unsigned)>("cuStreamCreate")(&stream_, 0)), 0);
        }
    }
    void* current_context() const {
        void* context = nullptr;
        EXPECT_EQ(call<int(void**)>(is_acl_ ? "aclrtGetCurrentContext" : "cuCtxGetCurrent")(&context), 0);
        return context;
    }
    ~NativeStream() {
        EXPECT_EQ(call<int(void*)>(is_acl_ ? "aclrtDestroyStreamForce" : "cuStreamDestroy_v2")(stream_), 0);
        if (is_acl_) {
            EXPECT_EQ(call<int(std::int32_t)>("aclrtResetDevice")(device_), 0);
        }
    }
    NativeStream(const NativeStream&) = delete;
    NativeStream& operator=(const NativeStream&) = delete;
    void* handle() const { return stream_; }

private:
    template <class Function>
    Function* call(const char* name) const {
        return must(library_.symbol<Function*>(name));
    }
    os::SharedLibrary library_;
    bool is_acl_;
    int device_;
    void *stream_ = nullptr, *context_ = nullptr;
};

TEST_P(DeviceCommunicators, RunOnStreamsThatTheProgramHasMade) {
    if (kind() == "emulated") GTEST_SKIP() << "emulated devices have no runtime of their own";
    on_ranks(2, [&](const DeviceRankHandles& own) {
        const NativeStream native{is_acl(), is_acl() ? own.rank : 0};
        void* const before = native.current_context();
        tenonStream_t stream = nullptr;
        require(tenonDeviceStreamWrap(own.on.device(), native.handle(), &stream));
        const Shape shape{.collective = Collective::all_reduce, .type = DataType::float32, .op = ReduceOp::sum,
                          .rank_count = 2, .count = 30'000};
        EXPECT_EQ(difference(own, Reference{shape, Values::exact, false, test_seed()}, true, stream), "");
        if (!is_acl()) {
            EXPECT_EQ(native.current_context(), before) << "the thread's device is another";
        }
        require(tenonStreamDestroy(stream));
    });
}

std::byte tag(int from, int to) { return static_cast<std::byte>(10 * from + to + 1); }

// Lengths that take none, one and several slots, in three messages of each pair that the two sides group differently.
TEST_P(DeviceCommunicators, SendAndReceiveInGroups) {
    constexpr int ranks = 4;
    const auto length = [](int from, int to, int which) {
        if (which != 1) return static_cast<std::size_t>(100 + from + which);
        return static_cast<std::size_t>(from == to ? 5 : 700'001 * ((from + to) % 3));
    };
    on_ranks(ranks, [&](const DeviceRankHandles& own) {
        std::vector<std::byte*> sent(ranks * 3), received(ranks * 3);
        for (int peer = 0; peer < ranks; peer++)
            for (int which = 0; which < 3; which++) {
                const auto at = static_cast<std::size_t>(3 * peer + which);
                const std::size_t out = length(own.rank, peer, which);
                sent[at] = own.on.allocate(out);
                own.on.put(sent[at], std::vector<std::byte>(out, tag(own.rank, peer)));
                received[at] = own.on.allocate(length(peer, own.rank, which));
            }
        const auto send = [&](int peer, int which) {
            require(tenonSend(sent[static_cast<std::size_t>(3 * peer + which)], length(own.rank, peer, which),
                              tenonInt8, peer, own.comm, own.on.stream()));
        };
        const auto receive = [&](int peer, int which) {
            require(tenonRecv(received[static_cast<std::size_t>(3 * peer + which)], length(peer, own.rank, which),
                              tenonInt8, peer, own.comm, own.on.stream()));
        };
        for (int which = 0; which < 2; which++) {
            require(tenonGroupStart());
            for (int peer = 0; peer < ranks; peer++) {
                receive(peer, which);
                send(peer, which);
            }
            require(tenonGroupEnd());
        }
        // In a ring, alone: some send first.
        const int next = (own.rank + 1) % ranks, last = (own.rank + ranks - 1) % ranks;
        if (own.rank % 2 == 0) send(next, 2);
        receive(last, 2);
        if (own.rank % 2 != 0) send(next, 2);
        require(tenonStreamSynchronize(own.on.stream()));
        for (int peer = 0; peer < ranks; peer++)
            for (int which = 0; which < (peer == last ? 3 : 2); which++) {
                const std::size_t bytes = length(peer, own.rank, which);
                EXPECT_EQ(own.on.get(received[static_cast<std::size_t>(3 * peer + which)], bytes),
                          std::vector<std::byte>(bytes, tag(peer, own.rank)))
                    << "message " << which << " from rank " << peer << " to " << own.rank;
            }
    });
}

TEST_P(DeviceCommunicators, ExchangeCountsForEachRank) {
    constexpr int ranks = 3;
    const auto count = [](int from, int to) { return static_cast<std::size_t>((from * 5 + to * 3) % 4 * 40'000); };
    on_ranks(ranks, [&](const DeviceRankHandles& own) {
        std::vector<std::size_t> out, out_at, in, in_at;
        for (int peer = 0; peer < ranks; peer++) {
            out_at.push_back(std::accumulate(out.begin(), out.end(), std::size_t{0}));
            out.push_back(count(own.rank, peer));
            in_at.push_back(std::accumulate(in.begin(), in.end(), std::size_t{0}));
            in.push_back(count(peer, own.rank));
        }
        const std::size_t sent_bytes = out_at.back() + out.back(), received_bytes = in_at.back() + in.back();
        const auto from = own.on.allocate(sent_bytes), into = own.on.allocate(received_bytes);
        std::vector<std::byte> sent, expected;
        for (int peer = 0; peer < ranks; peer++) {
            sent.insert(sent.end(), count(own.rank, peer), tag(own.rank, peer));
            expected.insert(expected.end(), count(peer, own.rank), tag(peer, own.rank));
        }
        own.on.put(from, sent);
        require(tenonAlltoAllv(from, out.data(), out_at.data(), into, in.data(), in_at.data(), tenonInt8, own.comm,
                               own.on.stream()));
        require(tenonStreamSynchronize(own.on.stream()));
        EXPECT_EQ(own.on.get(into, received_bytes), expected);

        const std::vector<std::size_t> shares{1, 70'000, 0}, starts{0, 1, 70'001};
        const auto mine = static_cast<std::size_t>(own.rank);
        std::vector<std::int32_t> numbers(70'001);
        std::iota(numbers.begin(), numbers.end(), own.rank);
        const auto as_bytes = [](const std::vector<std::int32_t>& values) {
            const auto bytes = std::as_bytes(std::span{values});
            return std::vector<std::byte>{bytes.begin(), bytes.end()};
        };
        const auto whole = own.on.allocate(4 * numbers.size()), part = own.on.allocate(4 * shares[mine]);
        own.on.put(whole, as_bytes(numbers));
        require(tenonReduceScatterv(whole, part, shares.data(), tenonInt32, tenonSum, own.comm, own.on.stream()));
        const auto gathered = own.on.allocate(4 * numbers.size());
        require(tenonAllGatherv(part, shares[mine], gathered, shares.data(), starts.data(), tenonInt32, own.comm,
                                own.on.stream()));
        require(tenonStreamSynchronize(own.on.stream()));
        for (std::size_t i = 0; i < numbers.size(); i++) numbers[i] = static_cast<std::int32_t>(3 * i + 3);
        EXPECT_EQ(own.on.get(gathered, 4 * numbers.size()), as_bytes(numbers));
    });
}

TEST_P(DeviceCommunicators, RunGroupsOfCollectivesOnSplitCommunicators) {
    on_ranks(4, [&](const DeviceRankHandles& own) {
        tenonComm_t pair = nullptr;
        require(tenonCommSplit(own.comm, own.rank / 2, own.rank, &pair, nullptr));
        const auto memory = own.on.allocate(8 * sizeof(std::int32_t));
        own.on.put(memory, std::vector<std::byte>(8 * sizeof(std::int32_t), std::byte{1}));
        require(tenonGroupStart());
        require(tenonAllReduce(memory, memory, 4, tenonInt32, tenonSum, pair, nullptr));
        require(tenonAllReduce(memory + 16, memory + 16, 4, tenonInt32, tenonSum, own.comm, nullptr));
        require(tenonGroupEnd());
        auto expected = std::vector<std::byte>(16, std::byte{2});
        expected.insert(expected.end(), 16, std::byte{4});
        EXPECT_EQ(own.on.get(memory, 32), expected);
        require(tenonCommDestroy(pair));
    });
}

// More than one side may wait for in one stream.
TEST_P(DeviceCommunicators, ExchangeInAGroupOverTwoStreams) {
    on_ranks(2, [&](const DeviceRankHandles& own) {
        constexpr std::size_t bytes = 30 << 20;
        tenonStream_t other = nullptr;
        require(tenonDeviceStreamCreate(own.on.device(), &other));
        const auto from = own.on.allocate(bytes), into = own.on.allocate(bytes);
        own.on.put(from, std::vector<std::byte>(bytes, tag(own.rank, 1 - own.rank)));
        require(tenonGroupStart());
        require(tenonSend(from, bytes, tenonInt8, 1 - own.rank, own.comm, own.on.stream()));
        require(tenonRecv(into, bytes, tenonInt8, 1 - own.rank, own.comm, other));
        require(tenonGroupEnd());
        require(tenonStreamSynchronize(other));
        EXPECT_EQ(own.on.get(into, bytes), std::vector<std::byte>(bytes, tag(1 - own.rank, own.rank)));
        require(tenonStreamDestroy(other));
    });
}

// A thread makes the calls of three ranks: so many all-reduces of `count` in one group.
void issue_by_one_thread(const std::string& kind, int calls, std::size_t count) {
    constexpr int ranks = 3;
    const std::size_t bytes = count * 4;
    tenonUniqueId id;
    require(tenonGetUniqueId(&id));
    std::vector<std::unique_ptr<DeviceUser>> users;
    std::vector<tenonComm_t> comms(ranks);
    std::vector<std::byte*> memory;
    std::vector<tenonConfig_t> configs;
    for (int rank = 0; rank < ranks; rank++) {
        users.push_back(std::make_unique<DeviceUser>(kind + ":" + std::to_string(rank)));
        memory.push_back(users.back()->allocate(bytes));
        users.back()->put(memory.back(), std::vector<std::byte>(bytes, std::byte{static_cast<unsigned char>(rank)}));
        configs.push_back(device_config(*users.back(), 30'000));
    }
    const auto of = [](int rank) { return static_cast<std::size_t>(rank); };
    require(tenonGroupStart());
    for (int rank = 0; rank < ranks; rank++)
        require(tenonCommInitRankConfig(&comms[of(rank)], ranks, id, rank, &configs[of(rank)]));
    require(tenonGroupEnd());
    require(tenonGroupStart());
    for (int rank = 0; rank < ranks; rank++)
        for (int call = 0; call < calls; call++)
            require(tenonAllReduce(memory[of(rank)], memory[of(rank)], count, tenonInt32, tenonMax, comms[of(rank)],
                                   nullptr));
    EXPECT_EQ(outcome(tenonGroupEnd()), "success");
    for (int rank = 0; rank < ranks; rank++) {
        EXPECT_TRUE(users[of(rank)]->get(memory[of(rank)], bytes) == std::vector<std::byte>(bytes, std::byte{2}));
        require(tenonCommDestroy(comms[of(rank)]));
    }
}

TEST_P(DeviceCommunicators, LetOneThreadIssueManyCallsForAllRanks) {
    if (kind() == "cuda") GTEST_SKIP() << "needs a GPU for each rank";
    issue_by_one_thread(kind(), 100, 4);  // more than are in flight at once
}

// Of which each waits for room that there is only once the others are issued, too.
TEST_P(DeviceCommunicators, LetOneThreadIssueLongCallsForAllRanks) {
    if (kind() == "cuda") GTEST_SKIP() << "needs a GPU for each rank";
    setenv("TENON_SLOT_MEMORY_BYTES", "1m", 1);
    issue_by_one_thread(kind(), 3, 1'000'003);
    unsetenv("TENON_SLOT_MEMORY_BYTES");
}

// Of thousands of operations, as slots are small, in several lanes.
TEST_P(DeviceCommunicators, RunLongCalls) {
    if (kind() == "cuda") GTEST_SKIP() << "slots are small by the environment of this test";
    setenv("TENON_SLOT_MEMORY_BYTES", "1m", 1);
    on_ranks(4, [&](const DeviceRankHandles& own) {
        for (const Collective collective : {Collective::all_reduce, Collective::all_to_all, Collective::all_gather}) {
            const Shape shape{.collective = collective, .type = DataType::float32, .op = ReduceOp::sum,
                              .rank_count = 4, .count = 1'000'003};
            const Reference reference{shape, Values::exact, false, test_seed()};
            EXPECT_EQ(difference(own, reference, false, own.on.stream()), "") << in_words(shape);
        }
    });
    unsetenv("TENON_SLOT_MEMORY_BYTES");
}

TEST_P(DeviceCommunicators, RefuseRanksOfOneProcessThatShareAGpu) {
    if (kind() != "cuda") GTEST_SKIP() << "no limit of these devices";
    RankProcesses both{1, [](RankProcess&) {
        tenonUniqueId id;
        require(tenonGetUniqueId(&id));
        std::vector<std::string> said(2);
        on_rank_threads(2, [&](Rank rank) {
            const DeviceUser user{"cuda:0"};
            tenonConfig_t config = device_config(user, 10'000);
            tenonComm_t comm = nullptr;
            said[static_cast<std::size_t>(rank)] = outcome(tenonCommInitRankConfig(&comm, 2, id, rank, &config));
        });
        return said[0];
    }};
    EXPECT_THAT(both.results().front(), HasSubstr("give each rank a device or a process of its own"));
}

// The call, the rank's device, the function of ACL and its code.
TEST_P(DeviceCommunicators, TellEveryRankWhatFailedWhere) {
    if (!is_acl()) GTEST_SKIP() << "of the emulated ACL, which can be told to fail";
    std::atomic<int> running{0};
    on_ranks(2, [&](const DeviceRankHandles& own) {
        const auto memory = own.on.allocate(4096);
        running++;
        while (running < 2) std::this_thread::yield();
        if (own.rank == 1) emulated_acl().fail_device(1, 50);
        tenonResult_t result = tenonSuccess;
        while (result == tenonSuccess) {
            result = tenonAllReduce(memory, memory, 1024, tenonFloat32, tenonSum, own.comm, own.on.stream());
            if (result == tenonSuccess) result = tenonStreamSynchronize(own.on.stream());
        }
        EXPECT_THAT(outcome(result),
                    AllOf(HasSubstr("rank 1: all_reduce of 1024 float32, sum (call "), HasSubstr("on ascend:1"),
                          HasSubstr("Ascend device 1"), HasSubstr("ACL_ERROR")));
    });
    emulated_acl().fail_device(1, UINT64_MAX);  // never again
}

TEST_P(DeviceCommunicators, CountWhatTheySend) {
    on_ranks(2, [&](const DeviceRankHandles& own) {
        constexpr std::size_t count = 50'000;
        const auto memory = own.on.allocate(2 * count);
        tenonTraffic_t before{}, after{};
        require(tenonCommTraffic(own.comm, 0, &before));
        require(tenonAllGather(memory + own.rank * count, memory, count, tenonInt8, own.comm, nullptr));
        require(tenonCommTraffic(own.comm, 0, &after));
        EXPECT_EQ(after.bytes - before.bytes, count);
    });
}

}  // namespace
}  // namespace tenon::support
