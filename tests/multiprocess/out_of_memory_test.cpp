// A rank that runs out of memory in the middle of a call says so to all, instead of letting them wait for it.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/multiprocess/job.hpp"

namespace {

std::atomic<std::size_t> refused_from_bytes{SIZE_MAX};

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
    void* const memory = size < refused_from_bytes ? std::malloc(size) : nullptr;
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace tenon::multiprocess {
namespace {

enum class How { at_once, in_group, in_stream };

tenonResult_t all_reduce(How how, const std::vector<float>& in, std::vector<float>& out, tenonRedOp_t op,
                         tenonComm_t comm) {
    tenonStream_t stream = nullptr;
    if (how == How::in_stream) require(tenonStreamCreate(&stream));
    if (how == How::in_group) require(tenonGroupStart());
    tenonResult_t result = tenonAllReduce(in.data(), out.data(), in.size(), tenonFloat32, op, comm, stream);
    if (how == How::in_group) result = tenonGroupEnd();
    if (how == How::in_stream) {
        result = tenonStreamSynchronize(stream);
        require(tenonStreamDestroy(stream));
    }
    return result;
}

class OutOfMemory : public ::testing::TestWithParam<How> {};

TEST_P(OutOfMemory, EndsTheCallOnEveryRank) {
    RankProcesses ranks(3, [&](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        std::vector<float> in(1 << 18, 1), out(in.size());
        float factor = 2;
        tenonRedOp_t scaled;  // needs a copy of the input
        require(tenonRedOpCreatePreMulSum(&scaled, &factor, tenonFloat32, tenonScalarHostImmediate, comm), comm);
        if (self.rank() == 1) refused_from_bytes = 1 << 20;
        const tenonResult_t result = all_reduce(GetParam(), in, out, scaled, comm);
        refused_from_bytes = SIZE_MAX;
        const std::string words = support::outcome(result, comm);
        tenonCommDestroy(comm);  // returns, whatever was in the middle
        return words;
    });
    for (const std::string& line : ranks.results())
        EXPECT_TRUE(contains(line, "rank 1") && contains(line, "out of memory")) << line;
}

// So it neither fails for lack of it, nor waits for it.
TEST(NoMemory, IsNeededToSendAndReceiveAsBefore) {
    RankProcesses ranks(2, [](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        const int peer = 1 - self.rank();
        std::array<int, 100> data{};
        const auto there_and_back = [&](std::size_t count) {
            for (const bool sends : {self.rank() == 0, self.rank() != 0}) {
                const tenonResult_t result = sends ? tenonSend(data.data(), count, tenonInt32, peer, comm, nullptr)
                                                   : tenonRecv(data.data(), count, tenonInt32, peer, comm, nullptr);
                require(result, comm);
            }
        };
        for (const std::size_t count : {2U, 100U}) there_and_back(count);
        refused_from_bytes = 1;
        for (int i = 0; i < 100; i++) there_and_back(i % 2 == 0 ? 2U : 100U);
        refused_from_bytes = SIZE_MAX;
        require(tenonCommDestroy(comm));
        return "done";
    });
    for (const std::string& line : ranks.results()) EXPECT_EQ(line, "done");
}

// Nor does waiting for a peer that is busy need any, whatever is looked at meanwhile. And who sends and leaves at once
// is heard.
TEST(NoMemory, IsNeededToWaitForAPeerThatThenLeaves) {
    RankProcesses ranks(2, [](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        std::array<int, 2> data{};
        const auto receive_or_send = [&](bool receives) {
            require(receives ? tenonRecv(data.data(), data.size(), tenonInt32, 0, comm, nullptr)
                             : tenonSend(data.data(), data.size(), tenonInt32, 1, comm, nullptr),
                    comm);
        };
        receive_or_send(self.rank() == 1);
        if (self.rank() == 1) refused_from_bytes = 1;
        constexpr std::int64_t busy_ms = 1500;  // longer than before all that a wait looks at has its turn
        for (const auto began = support::now_ms(); self.rank() == 0 && support::now_ms() - began < busy_ms;) {}
        receive_or_send(self.rank() == 1);
        refused_from_bytes = SIZE_MAX;
        require(tenonCommDestroy(comm));
        return "done";
    });
    for (const std::string& line : ranks.results()) EXPECT_EQ(line, "done");
}

INSTANTIATE_TEST_SUITE_P(Calls, OutOfMemory, ::testing::Values(How::at_once, How::in_group, How::in_stream));

}  // namespace
}  // namespace tenon::multiprocess
