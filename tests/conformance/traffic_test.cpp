// What a communicator says that it has sent, against what each algorithm and call must send; in groups of 2 ranks.
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "communicator/batch.hpp"
#include "tests/conformance/c_job.hpp"
#include "tests/conformance/local_job.hpp"

namespace tenon::conformance {
namespace {

constexpr std::uint64_t elements = 4096, bytes = elements * sizeof(float);

Config in_pairs(const std::string& algorithm) {
    Config config = config_of_environment();
    config.groups = "2x2";
    if (!algorithm.empty()) {
        auto choice = read_config({{"TENON_ALGORITHM", algorithm}});
        if (!choice) throw std::runtime_error(choice.error().message);
        config.algorithms = choice->algorithms;
    }
    return config;
}

// Bytes to the other rank of the own pair, and to the other pair.
struct Sent {
    std::uint64_t near = 0, far = 0;
    friend bool operator==(const Sent&, const Sent&) = default;
};

Sent sent_by(const Communicator& communicator) {
    EXPECT_EQ(communicator.traffic().levels()->count(), 2U);
    const LevelTraffic near = communicator.traffic().at(0), far = communicator.traffic().at(1);
    EXPECT_EQ(near.bytes_leaving_host + far.bytes_leaving_host, 0U) << "the pairs are on one host";
    return {near.bytes, far.bytes};
}

// What each of 4 ranks has sent after three calls, for one.
std::vector<Sent> sent_by_a_call(Collective collective, const std::string& algorithm) {
    LocalJob job(4, in_pairs(algorithm));
    std::vector<Sent> sent(4);
    job.run([&](Communicator& communicator) {
        std::vector<float> in(4 * elements, 1), out(4 * elements);
        for (std::uint64_t call = 1; call <= 3; call++) {
            const auto ran = communicator.run({.collective = collective, .type = DataType::float32, .send = in.data(),
                                               .receive = out.data(), .count = elements});
            ASSERT_TRUE(ran) << ran.error().message;
            const Sent all = sent_by(communicator);
            Sent& one = sent[static_cast<std::size_t>(communicator.rank())];
            if (call == 1) one = all;
            EXPECT_EQ(all, (Sent{call * one.near, call * one.far})) << "rank " << communicator.rank();
        }
    });
    return sent;
}

TEST(Traffic, OfAHierarchicalAllReduceIsTheLeastThatLeavesAGroup) {
    const auto sent = sent_by_a_call(Collective::all_reduce, "all_reduce=hierarchical");
    // Of each pair together 2 (groups - 1) / groups of the buffer.
    EXPECT_EQ(sent[0].far + sent[1].far, bytes);
    EXPECT_EQ(sent[2].far + sent[3].far, bytes);
    for (const Sent& rank : sent) EXPECT_EQ(rank.near, bytes) << "half the buffer to sum, half to gather";
}

TEST(Traffic, OfARingGoesToTheNextRankOnly) {
    constexpr std::uint64_t share = 2 * bytes * 3 / 4;
    EXPECT_EQ(sent_by_a_call(Collective::all_reduce, "all_reduce=ring"),
              (std::vector<Sent>{{share, 0}, {0, share}, {share, 0}, {0, share}}));
}

TEST(Traffic, OfADirectAllToAllIsABlockForEachRank) {
    EXPECT_EQ(sent_by_a_call(Collective::all_to_all, "all_to_all=direct"), std::vector<Sent>(4, {bytes, 2 * bytes}));
}

TEST(Traffic, OfABarrierIsMessagesWithoutBytes) {
    LocalJob job(4, in_pairs(""));
    job.run([&](Communicator& communicator) {
        ASSERT_TRUE(communicator.run({.collective = Collective::barrier}));
        EXPECT_EQ(sent_by(communicator), Sent{});
        const Traffic& traffic = communicator.traffic();
        EXPECT_GT(traffic.at(0).messages + traffic.at(1).messages, 0U);
    });
}

TEST(Traffic, OfAllToAllVIsThePairsOwn) {
    LocalJob job(4, in_pairs(""));
    job.run([&](Communicator& communicator) {
        const auto rank = static_cast<std::size_t>(communicator.rank());
        // Rank r sends 10 r + p elements to rank p.
        std::vector<std::size_t> out(4), in(4), at{0, 100, 200, 300};
        for (std::size_t p = 0; p < 4; p++) out[p] = 10 * rank + p, in[p] = 10 * p + rank;
        std::vector<std::int64_t> from(400), to(400);
        ASSERT_TRUE(communicator.run({.collective = Collective::all_to_all_v, .type = DataType::int64,
                                      .send = from.data(), .receive = to.data(), .send_counts = out.data(),
                                      .send_offsets = at.data(), .receive_counts = in.data(),
                                      .receive_offsets = at.data()}));
        const std::size_t others = std::accumulate(out.begin(), out.end(), std::size_t{0}) - out[rank] - out[rank ^ 1U];
        EXPECT_EQ(sent_by(communicator), (Sent{8 * out[rank ^ 1U], 8 * others}));
    });
}

// Alone, and several in a group with one to the rank itself, which sends nothing.
TEST(Traffic, OfSendsIsTheirBytes) {
    LocalJob job(4, in_pairs(""));
    job.run([&](Communicator& communicator) {
        const Rank rank = communicator.rank();
        std::vector<std::byte> memory(400);
        const auto call = [&](Collective way, Rank peer, std::uint64_t count, std::size_t at) {
            return Call{.collective = way, .root = peer, .send = &memory[at], .receive = &memory[at], .count = count};
        };
        const bool sends = rank % 2 == 0;
        ASSERT_TRUE(communicator.run(call(sends ? Collective::send : Collective::receive, rank ^ 1, 40, 0)));
        EXPECT_EQ(sent_by(communicator), (Sent{sends ? 40U : 0U, 0}));
        EXPECT_EQ(communicator.traffic().at(0).messages, sends ? 1U : 0U);
        const Sent before = sent_by(communicator);
        Batch batch;
        batch.add(communicator, call(Collective::send, (rank + 2) % 4, 7, 0));
        batch.add(communicator, call(Collective::send, rank, 11, 20));
        batch.add(communicator, call(Collective::receive, rank, 11, 60));
        batch.add(communicator, call(Collective::receive, (rank + 2) % 4, 7, 100));
        batch.add(communicator, {.collective = Collective::all_gather, .send = memory.data(), .receive = &memory[200],
                                 .count = 1});
        batch.take_tickets();
        const auto ran = batch.run([](Communicator&, const Error& error) { ADD_FAILURE() << error.message; });
        ASSERT_TRUE(ran) << ran.error().message;
        const Sent after = sent_by(communicator);
        EXPECT_GE(after.far, before.far + 7);
        // An all-gather of a byte sends at most each rank's byte to each other.
        EXPECT_LE(after.near + after.far, before.near + before.far + 7 + 12);
    });
}

TEST(Traffic, IsEachCommunicatorsOwn) {
    const CJob job(4);
    job.run([](tenonComm_t comm, int rank) {
        tenonComm_t pair = nullptr;
        ASSERT_EQ(did(tenonCommSplit(comm, rank / 2, 0, &pair, nullptr)), "success");
        tenonTraffic_t before, after, own;
        ASSERT_EQ(did(tenonCommTraffic(comm, 0, &before)), "success");
        int value = 7, values[2] = {};
        ASSERT_EQ(did(tenonAllGather(&value, values, 1, tenonInt, pair, nullptr)), "success");
        ASSERT_EQ(did(tenonCommTraffic(comm, 0, &after)), "success");
        ASSERT_EQ(did(tenonCommTraffic(pair, 0, &own)), "success");
        EXPECT_GT(before.bytes, 0U) << "to split is to tell each other";
        EXPECT_EQ(after.bytes, before.bytes);
        EXPECT_EQ(own.bytes, sizeof value);
        EXPECT_STREQ(own.level, "server");
        EXPECT_EQ(did(tenonCommDestroy(pair)), "success");
    });
}

TEST(Traffic, OfAWrongLevelIsRefused) {
    const CJob job(1);
    tenonTraffic_t traffic;
    int levels = 0;
    ASSERT_EQ(did(tenonCommLevelCount(job.comm(0), &levels)), "success");
    EXPECT_EQ(levels, 1);
    for (const int level : {-1, levels, INT_MAX}) {
        EXPECT_EQ(tenonCommTraffic(job.comm(0), level, &traffic), tenonInvalidArgument);
        EXPECT_EQ(tenonGetLastError(job.comm(0)),
                  "rank 0: tenonCommTraffic: level " + std::to_string(level) + " is not in [0, 1)");
    }
    EXPECT_EQ(tenonCommTraffic(job.comm(0), 0, nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonCommLevelCount(job.comm(0), nullptr), tenonInvalidArgument);
    EXPECT_EQ(tenonCommLevelCount(nullptr, &levels), tenonInvalidArgument);
}

// Any thread may ask while calls run: totals only grow.
TEST(Traffic, MayBeAskedForAtAnyTime) {
    const CJob job(2);
    std::atomic<bool> over{false};
    std::thread reader([&] {
        for (std::uint64_t last = 0; !over;) {
            tenonTraffic_t traffic{};
            EXPECT_EQ(tenonCommTraffic(job.comm(0), 0, &traffic), tenonSuccess);
            EXPECT_GE(traffic.bytes, last);
            last = traffic.bytes;
        }
    });
    job.run([](tenonComm_t comm, int) {
        std::vector<float> values(1000);
        for (int call = 0; call < 200; call++)
            EXPECT_EQ(did(tenonAllReduce(values.data(), values.data(), call % 2 == 0 ? 2 : values.size(), tenonFloat,
                                         tenonSum, comm, nullptr)),
                      "success");
    });
    over = true;
    reader.join();
}

}  // namespace
}  // namespace tenon::conformance
