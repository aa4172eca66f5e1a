// Sends and receives, and groups: exchanges that would block one another if they were not issued together, messages of
// many sizes in order, one thread for several ranks, and collectives that the library fuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <numeric>

#include "tests/conformance/c_job.hpp"
#include "tests/support/seed.hpp"

namespace tenon::conformance {
namespace {

using Numbers = std::vector<std::int32_t>;

Numbers numbers(std::size_t count, int sender, int message = 0) {
    Numbers n(count);
    std::iota(n.begin(), n.end(), sender * 1'000'000 + message * 10'000);
    return n;
}

tenonResult_t send(const Numbers& n, int to, tenonComm_t comm) {
    return tenonSend(n.data(), n.size(), tenonInt32, to, comm, nullptr);
}
tenonResult_t receive(Numbers& n, int from, tenonComm_t comm) {
    return tenonRecv(n.data(), n.size(), tenonInt32, from, comm, nullptr);
}

class Ranks : public ::testing::TestWithParam<int> {
protected:
    const CJob job{GetParam()};
    int next(int rank) const { return (rank + 1) % job.rank_count(); }
    int previous(int rank) const { return (rank + job.rank_count() - 1) % job.rank_count(); }
};
INSTANTIATE_TEST_SUITE_P(Ranks, Ranks, ::testing::Values(1, 2, 3, 8), ::testing::PrintToStringParamName());

TEST_P(Ranks, PassMessagesOfEverySizeAroundARing) {
    job.run([&](tenonComm_t comm, int rank) {
        for (const std::size_t count : {0U, 1U, 2U, 15U, 1000U, 16'385U, 700'001U}) {
            const Numbers mine = numbers(count, rank);
            Numbers got(count, -1);
            tenonGroupStart();
            EXPECT_EQ(did(send(mine, next(rank), comm)), "success");
            EXPECT_EQ(did(receive(got, previous(rank), comm)), "success");
            ASSERT_EQ(did(tenonGroupEnd()), "success") << count;
            EXPECT_EQ(got, numbers(count, previous(rank))) << count;
        }
    });
}

TEST_P(Ranks, ExchangeManyMessagesWithEveryoneAtOnceInOrder) {
    auto random = support::random_generator();
    constexpr int messages = 12;
    std::vector<std::size_t> sizes(messages);
    for (std::size_t& s : sizes) s = random() % 3 == 0 ? random() % 60'000 : random() % 40;
    job.run([&](tenonComm_t comm, int rank) {
        std::vector<Numbers> sent, received;
        for (int m = 0; m < messages; m++) {
            sent.push_back(numbers(sizes[static_cast<std::size_t>(m)], rank, m));
            for (int peer = 0; peer < job.rank_count(); peer++) received.emplace_back(sent.back().size(), -1);
        }
        tenonGroupStart();
        for (std::size_t m = 0; m < messages; m++)
            for (int peer = job.rank_count() - 1; peer >= 0; peer--) {
                send(sent[m], peer, comm);
                receive(received[m * static_cast<std::size_t>(job.rank_count()) + static_cast<std::size_t>(peer)], peer,
                        comm);
            }
        ASSERT_EQ(did(tenonGroupEnd()), "success");
        for (int m = 0; m < messages; m++)
            for (int peer = 0; peer < job.rank_count(); peer++) {
                const auto at = static_cast<std::size_t>(m * job.rank_count() + peer);
                ASSERT_EQ(received[at], numbers(sizes[static_cast<std::size_t>(m)], peer, m))
                    << "message " << m << " from " << peer;
            }
    });
}

TEST_P(Ranks, AreServedByOneThreadInAGroup) {
    const auto ranks = static_cast<std::size_t>(job.rank_count());
    std::vector<Numbers> sums(ranks), got(ranks), sent(ranks);
    for (int round = 0; round < 3; round++) {
        tenonGroupStart();
        for (int r = 0; r < job.rank_count(); r++) {
            const auto at = static_cast<std::size_t>(r);
            sums[at].assign(5'000, r + 1);
            sent[at] = numbers(3'000, r);
            got[at].assign(3'000, -1);
            EXPECT_EQ(did(tenonAllReduce(sums[at].data(), sums[at].data(), sums[at].size(), tenonInt32, tenonSum,
                                         job.comm(r), nullptr)),
                      "success");
            EXPECT_EQ(did(send(sent[at], next(r), job.comm(r))), "success");
            EXPECT_EQ(did(receive(got[at], previous(r), job.comm(r))), "success");
            EXPECT_EQ(did(tenonBarrier(job.comm(r), nullptr)), "success");
        }
        ASSERT_EQ(did(tenonGroupEnd()), "success");
        for (int r = 0; r < job.rank_count(); r++) {
            EXPECT_EQ(sums[static_cast<std::size_t>(r)], Numbers(5'000, job.rank_count() * (job.rank_count() + 1) / 2));
            EXPECT_EQ(got[static_cast<std::size_t>(r)], numbers(3'000, previous(r)));
        }
    }
}

TEST_P(Ranks, GetTheResultsOfManySmallAllReducesOfAGroup) {
    job.run([&](tenonComm_t comm, int rank) {
        const int ranks = job.rank_count();
        std::vector<Numbers> in, out;
        for (std::size_t i = 0; i < 40; i++) {
            in.push_back(numbers(i * i, rank));
            out.emplace_back(i % 3 == 0 ? 0 : i * i);  // every third in place
        }
        tenonGroupStart();
        for (std::size_t i = 0; i < in.size(); i++) {
            void* to = i % 3 == 0 ? in[i].data() : out[i].data();
            EXPECT_EQ(did(tenonAllReduce(in[i].data(), to, in[i].size(), tenonInt32, i < 25 ? tenonSum : tenonMax, comm,
                                         nullptr)),
                      "success");
        }
        ASSERT_EQ(did(tenonGroupEnd()), "success");
        for (std::size_t i = 0; i < in.size(); i++) {
            const Numbers& result = i % 3 == 0 ? in[i] : out[i];
            for (std::size_t k = 0; k < result.size(); k++) {
                const int position = static_cast<int>(k);
                const int sum = 1'000'000 * (ranks * (ranks - 1) / 2) + ranks * position;
                ASSERT_EQ(result[k], i < 25 ? sum : (ranks - 1) * 1'000'000 + position)
                    << "call " << i << ", element " << k;
            }
        }
    });
}

TEST(Groups, MayBeNestedAndMixSendsWithCollectives) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Numbers mine = numbers(100, rank);
        Numbers got(100), sum(100), gathered(200);
        tenonGroupStart();
        tenonGroupStart();
        send(mine, 1 - rank, comm);
        tenonAllGather(mine.data(), gathered.data(), 100, tenonInt32, comm, nullptr);
        EXPECT_EQ(did(tenonGroupEnd()), "success");
        EXPECT_EQ(got, Numbers(100)) << "the inner end issued the group";
        receive(got, 1 - rank, comm);
        tenonReduce(mine.data(), sum.data(), 100, tenonInt32, tenonSum, 1, comm, nullptr);
        EXPECT_EQ(did(tenonGroupEnd()), "success");
        EXPECT_EQ(got, numbers(100, 1 - rank));
        EXPECT_EQ(gathered[100], 1'000'000);
        EXPECT_EQ(sum[3], rank == 1 ? 1'000'006 : 0);
    });
}

TEST(Groups, MakeCommunicatorsOfAllRanksOfOneThread) {
    constexpr int ranks = 3;
    tenonUniqueId id;
    ASSERT_EQ(did(tenonGetUniqueId(&id)), "success");
    tenonComm_t comms[ranks] = {}, parts[ranks] = {};
    ASSERT_EQ(did(tenonGroupStart()), "success");
    for (int r = 0; r < ranks; r++) {
        ASSERT_EQ(did(tenonCommInitRank(&comms[r], ranks, id, r)), "success");
        EXPECT_EQ(comms[r], nullptr) << "before the group has ended";
    }
    ASSERT_EQ(did(tenonGroupEnd()), "success");
    ASSERT_EQ(did(tenonGroupStart()), "success");
    for (int r = 0; r < ranks; r++) ASSERT_EQ(did(tenonCommSplit(comms[r], r / 2, -r, &parts[r], nullptr)), "success");
    ASSERT_EQ(did(tenonGroupEnd()), "success");
    int sums[ranks] = {1, 10, 100}, of_parts[ranks] = {1, 10, 100};
    ASSERT_EQ(did(tenonGroupStart()), "success");
    for (int r = 0; r < ranks; r++) {
        EXPECT_EQ(did(tenonAllReduce(&sums[r], &sums[r], 1, tenonInt, tenonSum, comms[r], nullptr)), "success");
        EXPECT_EQ(did(tenonAllReduce(&of_parts[r], &of_parts[r], 1, tenonInt, tenonSum, parts[r], nullptr)), "success");
    }
    ASSERT_EQ(did(tenonGroupEnd()), "success");
    EXPECT_THAT(sums, ::testing::Each(111));
    EXPECT_THAT(of_parts, ::testing::ElementsAre(11, 11, 100));
    for (tenonComm_t part : parts) EXPECT_EQ(did(tenonCommDestroy(part)), "success");
    for (tenonComm_t comm : comms) EXPECT_EQ(did(tenonCommDestroy(comm)), "success");
}

TEST(Groups, TellWhyACommunicatorWasNotMade) {
    tenonUniqueId id;
    ASSERT_EQ(did(tenonGetUniqueId(&id)), "success");
    tenonComm_t first = nullptr, second = nullptr;
    ASSERT_EQ(did(tenonGroupStart()), "success");
    ASSERT_EQ(did(tenonCommInitRank(&first, 2, id, 1)), "success");
    ASSERT_EQ(did(tenonCommInitRank(&second, 2, id, 1)), "success");
    EXPECT_EQ(tenonGroupEnd(), tenonMismatch);
    EXPECT_THAT(tenonGetLastError(nullptr), ::testing::HasSubstr("rank 1")) << "given twice";
    EXPECT_EQ(first, nullptr);
    EXPECT_EQ(second, nullptr);
}

TEST(Groups, AnEmptyOneIsFineAndAnEndWithoutAStartIsNot) {
    EXPECT_EQ(tenonGroupStart(), tenonSuccess);
    EXPECT_EQ(tenonGroupEnd(), tenonSuccess);
    EXPECT_EQ(tenonGroupEnd(), tenonInvalidUsage);
}

TEST(Groups, IssueNothingWhenOneCallIsWrong) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        Numbers sum(10, 1), untouched(10, 7);
        tenonGroupStart();
        EXPECT_EQ(tenonAllReduce(sum.data(), untouched.data(), 10, tenonInt32, tenonSum, comm, nullptr), tenonSuccess);
        EXPECT_EQ(tenonBroadcast(sum.data(), sum.data(), 10, tenonInt32, 2, comm, nullptr), tenonInvalidArgument);
        EXPECT_EQ(tenonGroupEnd(), tenonInvalidArgument) << rank;
        EXPECT_EQ(untouched, Numbers(10, 7));
        EXPECT_EQ(did(tenonAllReduce(sum.data(), sum.data(), 10, tenonInt32, tenonSum, comm, nullptr)), "success");
        EXPECT_EQ(sum, Numbers(10, 2));
    });
}

TEST(Groups, ALoneSendMeetsALoneReceive) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        for (const std::size_t count : {1U, 500'000U}) {
            Numbers n = rank == 0 ? numbers(count, 5) : Numbers(count);
            EXPECT_EQ(did(rank == 0 ? send(n, 1, comm) : receive(n, 0, comm)), "success");
            EXPECT_EQ(n, numbers(count, 5));
        }
    });
}

TEST(Groups, TellBothSidesOfASendThatIsNotWhatIsReceived) {
    struct Pair {
        std::size_t sent, received;
        tenonDataType_t sent_type, received_type;
    };
    for (const Pair& p : {Pair{10, 11, tenonInt32, tenonInt32}, Pair{70'000, 60'000, tenonInt32, tenonInt32},
                          Pair{10, 10, tenonInt32, tenonFloat32}, Pair{0, 5, tenonInt32, tenonInt32}}) {
        const CJob job(2);
        job.run([&](tenonComm_t comm, int rank) {
            std::vector<double> memory(70'000);
            tenonResult_t first = rank == 0 ? tenonSend(memory.data(), p.sent, p.sent_type, 1, comm, nullptr)
                                            : tenonRecv(memory.data(), p.received, p.received_type, 0, comm, nullptr);
            // A small send may have left before the receiver saw it: then the next call tells.
            if (first == tenonSuccess && rank == 0) first = tenonBarrier(comm, nullptr);
            EXPECT_EQ(first, tenonMismatch)
                << "rank " << rank << ": " << did(first) << ", " << p.sent << " and " << p.received;
        });
    }
}

TEST(Groups, RefuseASendToSelfWithoutItsReceive) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Numbers mine = numbers(4, rank);
        EXPECT_EQ(send(mine, rank, comm), tenonInvalidUsage);
        EXPECT_EQ(did(tenonBarrier(comm, nullptr)), "success") << "the communicator stays usable";
    });
}

}  // namespace
}  // namespace tenon::conformance
