// Several RDMA devices between two ranks: how they share what is written, and what becomes of it when one fails; over a
// fake for libibverbs.
#include <gmock/gmock.h>

#include <map>

#include "tests/unit/rdma_fabric.hpp"

namespace tenon::rdma {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t length = 16 << 10;

class RdmaPaths : public Rdma {
protected:
    void begin(std::vector<std::string> devices) {
        fabric.devices = std::move(devices);
        make_acquainted();
        fabric.writes.clear();
    }
    // Each rank with two devices of its own.
    void begin_apart() {
        fabric.devices = {"fake0", "fake1", "fake2", "fake3"};
        const NetworkKind with_two = kind("", fabric);
        hosts.emplace(NetworkKind{"", [&](NetworkFacts facts, const LinksFor& links_for) {
                                      fabric.choices.devices = facts.rank == 0 ? "fake0,fake1" : "fake2,fake3";
                                      return with_two.make(std::move(facts), links_for);
                                  }}, 2);
    }
    // Messages of many lengths from either rank to the other, in order, with their right bytes; the error that ends it.
    std::string stream(std::size_t count) {
        constexpr std::size_t lengths[] = {8, length, 500, length, 2000, length, length};
        std::size_t sent[2] = {}, received[2] = {};
        const auto moved = hosts->move_until([&] {
            for (const Rank from : {0, 1}) {
                const auto of = [&](std::size_t i) { return bytes_of(lengths[i % std::size(lengths)], i); };
                while (sent[from] < count && try_send(hosts->send_end(from, 1 - from), of(sent[from]))) sent[from]++;
                while (received[from] < count) {
                    const auto expected = of(received[from]);
                    const auto got = try_receive(hosts->receive_end(1 - from, from), expected.size());
                    if (!got) break;
                    EXPECT_EQ(*got, expected) << received[from];
                    received[from]++;
                }
            }
            return received[0] == count && received[1] == count;
        });
        return moved ? "" : moved.error().message;
    }
    static std::size_t lines_about(const std::string& log, const std::string& words) {
        std::size_t count = 0;
        for (auto at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) count++;
        return count;
    }
    // The same, and what was logged.
    std::string log_of_stream(std::size_t count, std::string& error) {
        testing::internal::CaptureStderr();
        error = stream(count);
        return testing::internal::GetCapturedStderr();
    }
};

TEST_F(RdmaPaths, ShareTheBytesByTheirSpeed) {
    fabric.widths = {{"fake0", 1}, {"fake1", 16}};  // one lane, and two
    begin({"fake0", "fake1"});
    EXPECT_THAT(stream(400), IsEmpty());
    const double slow = static_cast<double>(fabric.bytes_written_by("fake0"));
    const double quick = static_cast<double>(fabric.bytes_written_by("fake1"));
    EXPECT_GT(slow, 0);
    EXPECT_GT(quick / slow, 1.3);
    EXPECT_LT(quick / slow, 3.0);
}

TEST_F(RdmaPaths, AMuchSlowerOneIsLeftAlone) {
    fabric.widths = {{"fake0", 8}, {"fake1", 1}};  // twelve lanes, and one
    begin({"fake0", "fake1"});
    EXPECT_THAT(stream(200), IsEmpty());
    EXPECT_EQ(fabric.bytes_written_by("fake1"), 0U) << "four messages are sooner done by the other";
}

// ---- devices that are not as fast as their ports say --------------------------------------------------------------

// Bytes for each poll that two devices carry, both of which claim as much.
class RdmaPathPaces : public RdmaPaths, public ::testing::WithParamInterface<std::pair<std::size_t, std::size_t>> {
protected:
    // How often the ranks had to be moved until so many large messages had come one way.
    std::size_t turns_of_stream(const std::vector<std::string>& devices, std::size_t count) {
        constexpr RingShape shape{.slots = 8, .slot_bytes = length, .area_bytes = 9 * length, .medium_slots = 4,
                                  .medium_bytes = 2 << 10};
        fabric.devices = devices;
        fabric.writes.clear();
        hosts.emplace(kind("", fabric), 2, 64 << 20, 64 << 20, shape);
        std::size_t sent = 0, received = 0, turns = 0;
        const auto moved = hosts->move_until([&] {
            turns++;
            while (sent < count && try_send(hosts->send_end(0, 1), bytes_of(length, sent))) sent++;
            for (;; received++) {
                const auto got = try_receive(hosts->receive_end(1, 0), length);
                if (!got) break;
                EXPECT_EQ(*got, bytes_of(length, received)) << received;
            }
            return received == count && *hosts->ranks[0]->progress();
        });
        EXPECT_TRUE(moved) << moved.error().message;
        return turns;
    }
};

TEST_P(RdmaPathPaces, AreFoundOutSoThatASlowOneHelpsOrIsLeftAlone) {
    const auto [first, second] = GetParam();
    fabric.bytes_per_poll = {{"fake0", first}, {"fake1", second}};
    constexpr std::size_t count = 1000;
    const std::size_t alone = turns_of_stream({first > second ? "fake0" : "fake1"}, count);
    const std::size_t both = turns_of_stream({"fake0", "fake1"}, count);
    const double quicker = static_cast<double>(std::max(first, second));
    const double best = quicker / static_cast<double>(first + second);
    const std::size_t one_by_the_slow = length / std::min(first, second);  // by which it is found out
    EXPECT_LT(static_cast<double>(both), 1.02 * static_cast<double>(alone + one_by_the_slow));
    if (best < 0.75) {
        EXPECT_LT(static_cast<double>(both), 1.2 * best * static_cast<double>(alone));
    }
}

INSTANTIATE_TEST_SUITE_P(Each, RdmaPathPaces,
                         ::testing::Values(std::pair(2048, 2048), std::pair(4096, 2048), std::pair(2048, 4096),
                                           std::pair(4096, 1024), std::pair(1024, 4096), std::pair(4096, 40),
                                           std::pair(40, 4096)));

TEST_F(RdmaPaths, AsManyAsBothHave) {
    fabric.devices = {"fake0", "fake1"};
    const NetworkKind with_one = kind("", fabric);
    hosts.emplace(NetworkKind{"", [&](NetworkFacts facts, const LinksFor& links_for) {
                                  fabric.choices.devices = facts.rank == 0 ? "" : "fake1";
                                  return with_one.make(std::move(facts), links_for);
                              }}, 2);
    EXPECT_THAT(stream(100), IsEmpty());
    EXPECT_GT(fabric.bytes_written_by("fake0"), 0U) << "the first of rank 0";
    EXPECT_GT(fabric.bytes_written_by("fake1"), 0U) << "the only one of rank 1";
}

TEST_F(RdmaPaths, OnlyThoseThatAreNamed) {
    fabric.choices.devices = "fake2,fake0:1";
    begin({"fake0", "fake1", "fake2"});
    EXPECT_THAT(stream(100), IsEmpty());
    EXPECT_GT(fabric.bytes_written_by("fake0"), 0U);
    EXPECT_EQ(fabric.bytes_written_by("fake1"), 0U);
    EXPECT_GT(fabric.bytes_written_by("fake2"), 0U);
}

// ---- several queue pairs for two ports ----------------------------------------------------------------------------

std::map<std::uint32_t, std::size_t> bytes_by_pair(const FakeVerbs& fabric) {
    std::map<std::uint32_t, std::size_t> bytes;
    for (const FakeVerbs::Write& write : fabric.writes) bytes[write.pair_number] += write.length;
    return bytes;
}

TEST_F(RdmaPaths, SeveralQueuePairsShareADevice) {
    fabric.choices.queue_pairs = 4;
    begin({"fake0"});
    EXPECT_EQ(fabric.pairs().size(), 8U);
    const std::size_t made = fabric.registrations_made;
    EXPECT_THAT(stream(400), IsEmpty());
    EXPECT_EQ(fabric.registrations_made, made) << "once for all of them";
    const auto bytes = bytes_by_pair(fabric);
    EXPECT_EQ(bytes.size(), 8U);
    for (const auto& [pair, count] : bytes) EXPECT_GT(count, 10 * length) << "queue pair " << pair;
}

TEST_F(RdmaPaths, SeveralQueuePairsOnEachOfTwoDevices) {
    fabric.choices.queue_pairs = 2;
    begin({"fake0", "fake1", "fake2"});
    EXPECT_EQ(fabric.pairs().size(), 8U);
    EXPECT_THAT(stream(400), IsEmpty());
    EXPECT_EQ(bytes_by_pair(fabric).size(), 8U);
    EXPECT_EQ(fabric.bytes_written_by("fake2"), 0U) << "there are four paths at most";
}

TEST_F(RdmaPaths, AQueuePairThatFailsLeavesTheOthers) {
    fabric.choices.queue_pairs = 2;
    begin({"fake0"});
    EXPECT_THAT(stream(20), IsEmpty());
    fabric.fail_next(IBV_WR_RDMA_WRITE, IBV_WC_RETRY_EXC_ERR);
    std::string error;
    const std::string log = log_of_stream(100, error);
    EXPECT_THAT(error, IsEmpty());
    EXPECT_THAT(log, AllOf(HasSubstr("a queue pair of the RDMA device fake0"), HasSubstr("another carries on")));
}

TEST_F(RdmaPaths, ANameOfNoDeviceIsAnError) {
    fabric.devices = {"fake0"};
    const auto ports = find_ports(fabric, {.devices = "fake0,fake7:2"});
    ASSERT_FALSE(ports);
    EXPECT_THAT(ports.error().message, AllOf(HasSubstr("TENON_RDMA_DEVICES names fake7:2"), HasSubstr("ibv_devinfo")));
}

TEST_F(RdmaPaths, EveryPortOfADeviceIsOne) {
    fabric.ports_per_device = 2;
    fabric.devices = {"fake1", "fake0"};
    const auto ports = find_ports(fabric);
    ASSERT_TRUE(ports);
    std::vector<std::string> names;
    for (const Port& port : *ports) names.push_back(port.name + ":" + std::to_string(port.number));
    EXPECT_THAT(names, testing::ElementsAre("fake0:1", "fake0:2", "fake1:1", "fake1:2"));
    const auto second = find_ports(fabric, {.devices = "fake1:2"});
    ASSERT_TRUE(second);
    EXPECT_EQ(second->size(), 1U);
}

// ---- one that cannot be joined ------------------------------------------------------------------------------------

// At making or at connecting its queue pair, and whose it is: rank 0's fake0 and fake1 meet rank 1's fake2 and fake3.
class RdmaPathNever : public RdmaPaths, public ::testing::WithParamInterface<std::tuple<const char*, int>> {};

TEST_P(RdmaPathNever, IsLoggedOnceAndTheOtherUsed) {
    const auto [call, number] = GetParam();
    const int rank = number / 2, other = number % 2 == 0 ? number + 1 : number - 1;
    const std::string device = "fake" + std::to_string(number);
    fabric.refused[std::string(call) + " on " + device] = ENETUNREACH;
    begin_apart();
    std::string error;
    const std::string log = log_of_stream(300, error);
    EXPECT_THAT(error, IsEmpty());
    const std::string peer = std::to_string(1 - rank);
    const std::string words = "rank " + std::to_string(rank) + ": the RDMA device " + device +
                              " cannot join it to rank " + peer + " on host" + peer;
    EXPECT_EQ(lines_about(log, words), 1U) << log;
    EXPECT_THAT(log, AllOf(HasSubstr(strerror(ENETUNREACH)), HasSubstr("fake" + std::to_string(other) + " is used")));
    EXPECT_EQ(lines_about(log, "\n"), 2U) << "the peer says it once, too: " << log;
    EXPECT_EQ(fabric.bytes_written_by(device), 0U);
    EXPECT_GT(fabric.bytes_written_by("fake" + std::to_string(other)), 0U);
    EXPECT_THAT(stream(50), IsEmpty()) << "and it stays so";
}

INSTANTIATE_TEST_SUITE_P(Each, RdmaPathNever,
                         ::testing::Combine(::testing::Values("create_qp", "connect"), ::testing::Range(0, 4)),
                         [](const auto& row) {
                             return std::get<0>(row.param) + std::string("_on_fake") +
                                    std::to_string(std::get<1>(row.param));
                         });

TEST_F(RdmaPaths, WhereNoneCanBeJoinedTheErrorNamesAll) {
    for (const char* device : {"fake0", "fake1"}) fabric.refused[std::string("connect on ") + device] = ENETUNREACH;
    begin_apart();
    std::string error;
    log_of_stream(10, error);
    EXPECT_THAT(error, AllOf(HasSubstr("rank 0 cannot reach rank 1 on host1"), HasSubstr("the RDMA device fake0"),
                             HasSubstr("the RDMA device fake1"), HasSubstr(strerror(ENETUNREACH))));
}

TEST_F(RdmaPaths, SoItDoesWhereTheTwoHaveNoneInCommon) {
    for (const char* device : {"fake0", "fake3"}) fabric.refused[std::string("create_qp on ") + device] = ENOMEM;
    begin_apart();
    std::string error;
    log_of_stream(10, error);
    EXPECT_THAT(error, AllOf(HasSubstr("cannot reach rank"), HasSubstr("the peer cannot use its device")));
}

TEST_F(RdmaPaths, OneThatCannotBeOpenedIsLeftOut) {
    fabric.refused["create_cq on fake0"] = ENOMEM;
    testing::internal::CaptureStderr();
    begin({"fake0", "fake1"});
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_EQ(lines_about(log, "does without an RDMA device and uses fake1: the RDMA device fake0"), 2U) << log;
    EXPECT_THAT(stream(50), IsEmpty());
    EXPECT_EQ(fabric.bytes_written_by("fake0"), 0U);
}

TEST_F(RdmaPaths, UnlessItIsNamed) {
    fabric.devices = {"fake0", "fake1"};
    fabric.refused["create_cq on fake0"] = ENOMEM;
    const auto made = RdmaNetwork::make({.rank_count = 2, .hosts = {"host0", "host1"},
                                         .slots = std::make_shared<SlotBudget>(64 << 20),
                                         .rdma = {.devices = "fake0,fake1"}},
                                        fabric);
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message, HasSubstr("the RDMA device fake0"));
}

TEST_F(RdmaPaths, OneThatRegistersNoFurtherChannelIsLost) {
    begin({"fake0", "fake1"});
    fabric.refused["reg_mr on fake1"] = ENOMEM;
    ASSERT_TRUE(try_send(hosts->send_end(0, 1, 1), bytes_of(length, 7)));
    testing::internal::CaptureStderr();
    std::optional<std::vector<std::byte>> got;
    const auto moved = hosts->move_until(
        [&] { return (got = try_receive(hosts->receive_end(1, 0, 1), length)).has_value(); });
    const std::string log = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(*got, bytes_of(length, 7));
    EXPECT_EQ(lines_about(log, "rank 0: the RDMA device fake1 joins it to rank 1 on host1 no longer"), 1U) << log;
    EXPECT_THAT(stream(50), IsEmpty());
}

// ---- one that fails -----------------------------------------------------------------------------------------------

// Which, and after how many work requests: before, within and behind writes and sends.
class RdmaPathLoss : public RdmaPaths, public ::testing::WithParamInterface<std::tuple<const char*, std::size_t>> {};

TEST_P(RdmaPathLoss, LosesNothingAndIsLoggedOnce) {
    const auto [device, requests] = GetParam();
    begin({"fake0", "fake1"});
    fabric.cut_after(device, requests);
    std::string error;
    const std::string log = log_of_stream(300, error);
    EXPECT_THAT(error, IsEmpty());
    const std::string whose = std::string("rank 0: the RDMA device ") + device;
    EXPECT_EQ(lines_about(log, whose + " joins it to rank 1 on host1 no longer"), 1U) << log;
    EXPECT_THAT(log, HasSubstr("carries on"));
    EXPECT_THAT(stream(50), IsEmpty()) << "and it stays so";
}

INSTANTIATE_TEST_SUITE_P(EachInTheMiddle, RdmaPathLoss,
                         ::testing::Combine(::testing::Values("fake0", "fake1"),
                                            ::testing::Values(0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U, 20U, 41U, 100U)));

TEST_F(RdmaPaths, TheProgramsMemoryIsWrittenByAnotherToo) {
    begin({"fake0", "fake1"});
    auto from = bytes_of(length, 3);
    std::vector<std::byte> to(length);
    hosts->memory->add(from);
    hosts->memory->add(to);
    SendEnd& out = hosts->send_end(0, 1);
    ReceiveEnd& in = hosts->receive_end(1, 0);
    in.offer(in.next_number(), MessageForm::carried, reinterpret_cast<std::uintptr_t>(to.data()), length,
             network_signature);
    ASSERT_TRUE(hosts->ranks[1]->progress());
    ASSERT_TRUE(hosts->ranks[0]->progress());
    fabric.cut("fake0");
    out.send_carried(Row::large, length, reinterpret_cast<std::uintptr_t>(from.data()), network_signature);
    testing::internal::CaptureStderr();
    const auto moved =
        hosts->move_until([&] { return in.bulk_arrival(Row::large, network_signature) == Arrival::here; });
    testing::internal::GetCapturedStderr();
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(in.header(Row::large).form, MessageForm::put);
    EXPECT_EQ(to, from);
    EXPECT_TRUE(hosts->move_until([&] { return *hosts->ranks[0]->progress(); })) << "the memory is the sender's again";
}

TEST_F(RdmaPaths, ADeviceThatReportsItsEndIsOneThatFails) {
    begin({"fake0", "fake1"});
    fabric.report_of("fake0", IBV_EVENT_DEVICE_FATAL);
    std::string error;
    const std::string log = log_of_stream(2000, error);
    EXPECT_THAT(error, IsEmpty());
    EXPECT_THAT(log, HasSubstr("fake0 joins it to rank 1"));
    EXPECT_THAT(log, HasSubstr(ibv_event_type_str(IBV_EVENT_DEVICE_FATAL)));
}

TEST_F(RdmaPaths, WhereTheLastFailsTheErrorNamesAll) {
    begin({"fake0", "fake1"});
    fabric.cut_after("fake1", 40);
    fabric.cut_after("fake0", 80);
    std::string error;
    log_of_stream(1000, error);
    EXPECT_THAT(error, AllOf(HasSubstr("has lost its RDMA connection to rank"), HasSubstr("by fake0: "),
                             HasSubstr("by fake1: "), HasSubstr(ibv_wc_status_str(IBV_WC_RETRY_EXC_ERR))));
}

// As one that computes between its calls, for longer than a host may be out of reach.
TEST_F(RdmaPaths, APeerThatIsLateToSayWhatHasComeIsWaitedFor) {
    begin({"fake0", "fake1"});
    fabric.cut("fake0");
    const auto sent = bytes_of(length, 7);
    ASSERT_TRUE(try_send(hosts->send_end(0, 1), sent));
    const std::string waits = "as soon as that has said what it has received";
    std::string log;
    for (const os::Deadline deadline = os::Deadline::after_ms(60'000); lines_about(log, waits) == 0;) {
        ASSERT_FALSE(deadline.passed()) << log;
        testing::internal::CaptureStderr();
        Result<bool> moved = false;
        for (int turn = 0; moved && turn < 1000; turn++) moved = hosts->ranks[0]->progress();
        log += testing::internal::GetCapturedStderr();
        ASSERT_TRUE(moved) << moved.error().message;
        EXPECT_FALSE(*moved) << "what was sent may not have come";
    }
    EXPECT_THAT(log, AllOf(HasSubstr("rank 1 on host1"), HasSubstr("by fake0: "), HasSubstr("must make a call")));
    testing::internal::CaptureStderr();
    std::optional<std::vector<std::byte>> received;
    const auto moved = hosts->move_until(
        [&] { return (received = try_receive(hosts->receive_end(1, 0), length)).has_value(); });
    log += testing::internal::GetCapturedStderr();
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(*received, sent);
    EXPECT_EQ(lines_about(log, waits), 1U) << log;
}

TEST_F(RdmaPaths, TwoOfThreeMayFail) {
    begin({"fake0", "fake1", "fake2"});
    fabric.cut_after("fake0", 30);
    fabric.cut_after("fake1", 50);
    std::string error;
    log_of_stream(500, error);
    EXPECT_THAT(error, IsEmpty());
}

TEST_F(RdmaPaths, WhatIsWrongByWhateverPathIsAnErrorAtOnce) {
    begin({"fake0", "fake1"});
    fabric.fail_next(IBV_WR_RDMA_WRITE, IBV_WC_REM_ACCESS_ERR);
    EXPECT_THAT(stream(50), HasSubstr("refused it"));
}

TEST_F(RdmaPaths, APeerThatLosesWhatThereIsNotBreaksTheRules) {
    begin({"fake0", "fake1"});
    const WireHead head{.note = Note::path_lost, .place = 1000, .path = 1};
    fabric.deliver(fabric.pairs().front(), std::as_bytes(std::span{&head, 1}));
    EXPECT_THAT(error_of_moving(), HasSubstr("more than was sent"));
}

}  // namespace
}  // namespace tenon::rdma
