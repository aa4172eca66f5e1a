// Collectives between processes equal the reference: a sample of the conformance matrix, and deterministic mode bit for
// bit, in ordinary memory and in memory that peers map.
#include <gtest/gtest.h>

#include "tests/multiprocess/job.hpp"
#include "tests/support/call_buffers.hpp"
#include "tests/support/seed.hpp"

namespace tenon::multiprocess {
namespace {

using support::Memory;
using support::Reference;
using support::Shape;
using support::Values;

constexpr Collective collectives[] = {Collective::all_reduce,     Collective::reduce,     Collective::broadcast,
                                      Collective::reduce_scatter, Collective::all_gather, Collective::all_to_all,
                                      Collective::gather,         Collective::scatter,    Collective::barrier};

// What is wrong with one call, or "".
std::string check(const Reference& reference, int rank, bool in_place, Memory memory, tenonComm_t comm) {
    const support::CallBuffers buffers(reference, rank, in_place, memory);
    require(support::submit(reference.shape(), buffers.send(), buffers.receive(), comm), comm);
    const auto problem = buffers.problem();
    return problem ? in_words(reference.shape()) + (in_place ? ", in place: " : ": ") + *problem : "";
}

class Processes : public ::testing::TestWithParam<int> {
protected:
    void expect_right(const RankProcesses::Body& body) {
        support::test_seed();  // before the ranks are forked: the same for all
        RankProcesses ranks(GetParam(), body);
        for (const std::string& result : ranks.results()) EXPECT_EQ(result, "right");
    }
};
INSTANTIATE_TEST_SUITE_P(Ranks, Processes, ::testing::Values(1, 2, 3, 4, 8), ::testing::PrintToStringParamName());

TEST_P(Processes, EqualTheReference) {
    expect_right([](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        auto random = support::random_generator();  // the same choices on every rank
        for (const Collective collective : collectives)
            for (const std::size_t count : {0, 1, 7, 1'025, 65'537, 262'147}) {
                const Shape shape{collective,
                                  static_cast<DataType>(random() % data_type_count),
                                  static_cast<ReduceOp>(random() % reduce_op_count),
                                  self.rank_count(),
                                  static_cast<Rank>(random() % static_cast<unsigned>(self.rank_count())),
                                  count};
                const Reference reference(shape, Values::exact, false, support::test_seed());
                for (const Memory memory : {Memory::ordinary, Memory::tenon})
                    for (const bool in_place : {false, true}) {
                        const std::string problem = check(reference, self.rank(), in_place, memory, comm);
                        if (!problem.empty()) return problem;
                    }
            }
        require(tenonCommDestroy(comm));
        return "right";
    });
}

TEST_P(Processes, ExchangeBlocksOfDifferentLengths) {
    expect_right([](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        const auto ranks = static_cast<std::size_t>(self.rank_count()), own = static_cast<std::size_t>(self.rank());
        const auto count = [](std::size_t from, std::size_t to) {
            return from == to ? 5 : (from * 7 + to * 3) % 5 * 30'011;
        };
        std::vector<std::size_t> sent, received, send_offsets, receive_offsets;
        std::vector<std::uint64_t> in, out, expected;
        for (std::size_t r = 0; r < ranks; r++) {
            sent.push_back(count(own, r));
            received.push_back(count(r, own));
            send_offsets.push_back(in.size());
            receive_offsets.push_back(expected.size());
            in.insert(in.end(), sent[r], own * 1'000 + r);
            expected.insert(expected.end(), received[r], r * 1'000 + own);
        }
        out.resize(expected.size());
        for (int call = 0; call < 5; call++) {
            std::fill(out.begin(), out.end(), 0);
            require(tenonAlltoAllv(in.data(), sent.data(), send_offsets.data(), out.data(), received.data(),
                                   receive_offsets.data(), tenonUint64, comm, nullptr),
                    comm);
            if (out != expected) return "other blocks came";
        }
        require(tenonCommDestroy(comm));
        return "right";
    });
}

TEST_P(Processes, SplitAndSendInGroups) {
    expect_right([](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self), part = nullptr;
        require(tenonCommSplit(comm, self.rank() % 2, -self.rank(), &part, nullptr), comm);
        int rank = 0, ranks = 0;
        require(tenonCommUserRank(part, &rank));
        require(tenonCommCount(part, &ranks));
        std::vector<int> sent(100'000, self.rank()), received(100'000, -1);
        require(tenonGroupStart());
        require(tenonSend(sent.data(), sent.size(), tenonInt, (rank + 1) % ranks, part, nullptr));
        require(tenonRecv(received.data(), received.size(), tenonInt, (rank + ranks - 1) % ranks, part, nullptr));
        require(tenonGroupEnd());
        // Order within the part is by falling rank: who comes before is two above, or the lowest of the color.
        const int before = rank == 0 ? self.rank() % 2 : self.rank() + 2;
        if (received != std::vector<int>(received.size(), before)) return "the message came from another rank";
        require(tenonCommDestroy(part));
        require(tenonCommDestroy(comm));
        return "right";
    });
}

class DeterministicProcesses : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, DeterministicProcesses, ::testing::Range(2, 17), ::testing::PrintToStringParamName());

TEST_P(DeterministicProcesses, GiveTheBitsOfTheTree) {
    support::test_seed();
    RankProcesses ranks(GetParam(), [](RankProcess& self) -> std::string {
        tenonConfig_t config = TENON_CONFIG_INITIALIZER;
        config.deterministic = 1;
        tenonComm_t comm = join(self, config);
        for (const Collective collective : {Collective::all_reduce, Collective::reduce, Collective::reduce_scatter})
            for (const DataType type : {DataType::float32, DataType::float16, DataType::bfloat16})
                for (const std::size_t count : {1, 7, 1'025, 40'009}) {
                    const Reference reference({collective, type, ReduceOp::sum, self.rank_count(), 1, count},
                                              Values::special, true, support::test_seed());
                    for (const Memory memory : {Memory::ordinary, Memory::tenon}) {
                        const std::string problem =
                            check(reference, self.rank(), memory == Memory::tenon, memory, comm);
                        if (!problem.empty()) return problem;
                    }
                }
        require(tenonCommDestroy(comm));
        return "right";
    });
    for (const std::string& result : ranks.results()) EXPECT_EQ(result, "right");
}

}  // namespace
}  // namespace tenon::multiprocess
