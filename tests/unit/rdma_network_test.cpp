// The network over RDMA, with all ranks in this thread and a fake for libibverbs: what every network must do, with many
// receives and few; what a rank is told of whatever a device may report; what keeps it from being used; and a peer that
// breaks the rules.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <random>

#include "base/log.hpp"
#include "os/socket.hpp"
#include "tests/support/seed.hpp"
#include "tests/unit/rdma_fabric.hpp"

namespace tenon::rdma {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Of the whole program: the suite's parameters outlive its tests.
NetworkKind lasting(const char* name, void (*set)(FakeVerbs&)) {
    const auto fabric = std::make_shared<FakeVerbs>();
    set(*fabric);
    NetworkKind made = kind(name, *fabric);
    made.make = [fabric, make = std::move(made.make)](NetworkFacts facts, const LinksFor& links_for) {
        return make(std::move(facts), links_for);
    };
    return made;
}

}  // namespace
}  // namespace tenon::rdma

namespace tenon {
INSTANTIATE_TEST_SUITE_P(
    Rdma, NetworkCases,
    ::testing::Values(rdma::lasting("as_usual", [](rdma::FakeVerbs&) {}),
                      rdma::lasting("two_devices", [](rdma::FakeVerbs& f) { f.devices = {"fake0", "fake1"}; }),
                      rdma::lasting("few_receives", [](rdma::FakeVerbs& f) { f.most_receives = 4 * 2; }),
                      rdma::lasting("no_inline", [](rdma::FakeVerbs& f) { f.most_inline = 0; })),
    [](const auto& row) { return row.param.name; });
}  // namespace tenon

namespace tenon::rdma {
namespace {

// ---- order and credits --------------------------------------------------------------------------------------------

// What its time depends on, where each send is a call of the system's, and each byte of it is touched four times.
TEST_F(Rdma, ASmallMessageIsOneShortSend) {
    make_acquainted();
    const std::size_t sends = fabric.sends, bytes = fabric.sent_bytes;
    ASSERT_TRUE(try_send(hosts->send_end(0, 1), bytes_of(8, 0)));
    const auto moved = hosts->move_until([&] { return try_receive(hosts->receive_end(1, 0), 8).has_value(); });
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(fabric.sends - sends, 1U);
    EXPECT_EQ(fabric.sent_bytes - bytes, small_head_bytes + 8);
}

TEST_F(Rdma, NeverRunsOutOfReceivesHoweverManySendAtOnce) {
    std::mt19937 random(support::test_seed());
    fabric.most_receives = 4 * 4;  // four for each peer: the least
    make(5);
    constexpr std::size_t lengths[] = {8, 500, 2000, 16 << 10};
    struct Stream {
        Rank from, to;
        std::size_t sent = 0, received = 0;
    };
    std::vector<Stream> streams;
    for (Rank from = 0; from < 5; from++)
        for (Rank to = 0; to < 5; to++)
            if (from != to) streams.push_back({from, to});
    constexpr std::size_t count = 200;
    const auto moved = hosts->move_until([&] {
        bool done = true;
        for (Stream& s : streams) {
            while (s.sent < count &&
                   try_send(hosts->send_end(s.from, s.to), bytes_of(lengths[s.sent % 4], s.sent)))
                s.sent++;
            if (s.received < count && random() % 3 == 0)
                if (const auto got = try_receive(hosts->receive_end(s.to, s.from), lengths[s.received % 4])) {
                    EXPECT_EQ(*got, bytes_of(lengths[s.received % 4], s.received));
                    s.received++;
                }
            done &= s.received == count;
        }
        return done;
    });
    EXPECT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(fabric.lost, 0U) << "sends to a queue pair that was not ready";
}

// All to one side, whose answers are nothing but grants and credits.
TEST_F(Rdma, GoesOnWhereOnlyOneSideSends) {
    fabric.most_receives = 4;
    make(2);
    std::size_t sent = 0, received = 0;
    const auto moved = hosts->move_until([&] {
        while (sent < 1000 && try_send(hosts->send_end(0, 1), bytes_of(400, sent))) sent++;
        while (try_receive(hosts->receive_end(1, 0), 400)) received++;
        return received == 1000;
    });
    EXPECT_TRUE(moved) << moved.error().message;
}

TEST_F(Rdma, MessagesThatThePeerIsTooBusyForWaitInTheirRing) {
    make_acquainted();
    std::size_t sent = 0;
    while (try_send(hosts->send_end(0, 1), bytes_of(8, sent))) {
        sent++;
        ASSERT_TRUE(hosts->ranks[0]->progress());
    }
    EXPECT_EQ(sent, packed_lines - 1) << "one was acknowledged by none yet";
    EXPECT_FALSE(*hosts->ranks[0]->progress()) << "the peer has granted fewer sends";
    std::size_t received = 0;
    const auto moved = hosts->move_until([&] {
        while (try_receive(hosts->receive_end(1, 0), 8)) received++;
        return received == sent;
    });
    EXPECT_TRUE(moved) << moved.error().message;
}

TEST_F(Rdma, TakesTheSmallerPacketsOfTwoPortsAndTheAddressThatIsRouted) {
    fabric.mtu = IBV_MTU_1024;
    set_log_level(LogLevel::debug);
    testing::internal::CaptureStderr();
    make_acquainted();
    const std::string log = testing::internal::GetCapturedStderr();
    set_log_level(LogLevel::warning);
    EXPECT_EQ(fabric.path_mtu, IBV_MTU_1024);
    EXPECT_EQ(fabric.route_index, 3) << "RoCE version 2 with an IPv4 address";
    EXPECT_THAT(log, HasSubstr("rank 0 is joined to rank 1 on host1 by the RDMA device fake0 (port 1, GID 3) and fake0 "
                               "there, in packets of 1024 bytes"));
}

TEST_F(Rdma, SleepsUntilSomethingHasCome) {
    make_acquainted();
    const auto is_readable = [&](Rank rank) {
        pollfd watched{hosts->ranks[static_cast<std::size_t>(rank)]->wait_descriptor(), POLLIN, 0};
        return *os::wait_ready(std::span{&watched, 1}, os::Deadline::never(), 0);
    };
    bool sleeps = false;
    for (int i = 0; i < 10 && !sleeps; i++) {
        for (auto& rank : hosts->ranks) ASSERT_TRUE(rank->progress());
        sleeps = !is_readable(1);
    }
    EXPECT_TRUE(sleeps);
    ASSERT_TRUE(try_send(hosts->send_end(0, 1), bytes_of(8, 0)));
    ASSERT_TRUE(hosts->ranks[0]->progress());
    EXPECT_TRUE(is_readable(1));
    ASSERT_TRUE(hosts->ranks[1]->progress());
    EXPECT_TRUE(try_receive(hosts->receive_end(1, 0), 8));
}

// ---- what devices report ------------------------------------------------------------------------------------------

struct Failure {
    const char* name;
    ibv_wr_opcode what;
    ibv_wc_status status;
    const char* word;
};
class RdmaFailures : public Rdma, public ::testing::WithParamInterface<Failure> {};

TEST_P(RdmaFailures, AreErrorsThatNameWhoWhereAndWhy) {
    make_acquainted();
    fabric.fail_next(GetParam().what, GetParam().status);
    ASSERT_TRUE(try_send(hosts->send_end(0, 1), bytes_of(16 << 10, 0)));
    const auto error = error_of_moving();
    EXPECT_THAT(error, AllOf(HasSubstr("rank 0 has lost its RDMA connection to rank 1 on host1"),
                             HasSubstr("device fake0"), HasSubstr("writing a message into its ring"),
                             HasSubstr(ibv_wc_status_str(GetParam().status)), HasSubstr(GetParam().word)));
    EXPECT_EQ(hosts->ranks[0]->progress().error().message, error) << "and it stays one";
}

INSTANTIATE_TEST_SUITE_P(
    OfEachKind, RdmaFailures,
    ::testing::Values(Failure{"retries", IBV_WR_SEND, IBV_WC_RETRY_EXC_ERR, "does not answer"},
                      Failure{"retries_of_a_write", IBV_WR_RDMA_WRITE, IBV_WC_RETRY_EXC_ERR, "does not answer"},
                      Failure{"response_timeout", IBV_WR_RDMA_WRITE, IBV_WC_RESP_TIMEOUT_ERR, "does not answer"},
                      Failure{"no_receive", IBV_WR_SEND, IBV_WC_RNR_RETRY_EXC_ERR, "does not take in"},
                      Failure{"access", IBV_WR_RDMA_WRITE, IBV_WC_REM_ACCESS_ERR, "refused"},
                      Failure{"invalid_request", IBV_WR_SEND, IBV_WC_REM_INV_REQ_ERR, "refused"},
                      Failure{"remote_operation", IBV_WR_SEND, IBV_WC_REM_OP_ERR, "refused"},
                      Failure{"aborted", IBV_WR_SEND, IBV_WC_REM_ABORT_ERR, "ibv_devinfo"},
                      Failure{"length", IBV_WR_SEND, IBV_WC_LOC_LEN_ERR, "ibv_devinfo"},
                      Failure{"own_operation", IBV_WR_SEND, IBV_WC_LOC_QP_OP_ERR, "ibv_devinfo"},
                      Failure{"protection", IBV_WR_RDMA_WRITE, IBV_WC_LOC_PROT_ERR, "ibv_devinfo"},
                      Failure{"flushed", IBV_WR_SEND, IBV_WC_WR_FLUSH_ERR, "ibv_devinfo"},
                      Failure{"fatal", IBV_WR_SEND, IBV_WC_FATAL_ERR, "ibv_devinfo"},
                      Failure{"general", IBV_WR_SEND, IBV_WC_GENERAL_ERR, "ibv_devinfo"}),
    [](const auto& row) { return row.param.name; });

TEST_F(Rdma, AFailedReceiveIsAnErrorOfThatPeer) {
    make_acquainted();
    fabric.deliver_failed(fabric.pairs().front(), IBV_WC_LOC_LEN_ERR);
    EXPECT_THAT(error_of_moving(), AllOf(HasSubstr("connection to rank 1 on host1"), HasSubstr("receiving failed"),
                                         HasSubstr(ibv_wc_status_str(IBV_WC_LOC_LEN_ERR))));
}

TEST_F(Rdma, ADeviceThatTakesNoMoreWorkIsAnError) {
    make_acquainted();
    fabric.refused["post_send"] = ENOMEM;
    ASSERT_TRUE(try_send(hosts->send_end(0, 1), bytes_of(8, 0)));
    EXPECT_THAT(error_of_moving(), AllOf(HasSubstr("rank 1 on host1"), HasSubstr("sending a small message failed")));
}

TEST_F(Rdma, WhoLeavesMayMissTheWordThatItsGoodbyeHasCome) {
    make_acquainted();
    const os::Deadline deadline = os::Deadline::after_ms(30'000);
    ASSERT_TRUE(hosts->move_until([&] { return *hosts->ranks[0]->progress() && *hosts->ranks[1]->progress(); }));
    fabric.fail_next(IBV_WR_SEND, IBV_WC_RETRY_EXC_ERR);
    Result<bool> gone = false;
    while (gone && !*gone && !deadline.passed()) gone = hosts->ranks[0]->finish_sending();
    EXPECT_TRUE(gone && *gone) << (gone ? "" : gone.error().message);
}

// ---- what devices report unasked ----------------------------------------------------------------------------------

// What a rank is told where the device reports this.
class RdmaReports : public Rdma, public ::testing::WithParamInterface<ibv_event_type> {};

using OfAQueuePair = RdmaReports;
TEST_P(OfAQueuePair, IsAnErrorThatNamesThePeer) {
    make_acquainted();
    fabric.report_of_pair(GetParam(), fabric.pairs().front());
    EXPECT_THAT(error_of_moving(), AllOf(HasSubstr("rank 0 has lost its RDMA connection to rank 1 on host1"),
                                         HasSubstr("device fake0"), HasSubstr(ibv_event_type_str(GetParam()))));
}
INSTANTIATE_TEST_SUITE_P(RdmaReports, OfAQueuePair,
                         ::testing::Values(IBV_EVENT_QP_FATAL, IBV_EVENT_QP_REQ_ERR, IBV_EVENT_QP_ACCESS_ERR));

using OfTheDevice = RdmaReports;
TEST_P(OfTheDevice, IsAnErrorThatNamesItAndStays) {
    make_acquainted();
    fabric.report(GetParam());
    const auto error = error_of_moving();
    EXPECT_THAT(error, AllOf(HasSubstr("rank 0"), HasSubstr("device fake0 reports"),
                             HasSubstr(ibv_event_type_str(GetParam())), HasSubstr("dmesg")));
    EXPECT_EQ(hosts->ranks[0]->progress().error().message, error);
}
INSTANTIATE_TEST_SUITE_P(RdmaReports, OfTheDevice,
                         ::testing::Values(IBV_EVENT_DEVICE_FATAL, IBV_EVENT_CQ_ERR, IBV_EVENT_SRQ_ERR));

class RdmaPort : public Rdma {
protected:
    // Moves until what the devices have reported has been looked at; what was logged.
    std::string log_after(ibv_event_type what, int port = 1) {
        testing::internal::CaptureStderr();
        fabric.report(what, port);
        const auto moved = hosts->move_until([&] { return fabric.reports_waiting() == 0; });
        EXPECT_TRUE(moved) << moved.error().message;
        return testing::internal::GetCapturedStderr();
    }
    std::string error_of_a_write() {
        fabric.fail_next(IBV_WR_RDMA_WRITE, IBV_WC_RETRY_EXC_ERR);
        EXPECT_TRUE(try_send(hosts->send_end(0, 1), bytes_of(16 << 10, 0)));
        return error_of_moving();
    }
    void expect_messages_arrive() {
        ASSERT_TRUE(try_send(hosts->send_end(0, 1), bytes_of(16 << 10, 1)));
        EXPECT_TRUE(
            hosts->move_until([&] { return try_receive(hosts->receive_end(1, 0), 16 << 10).has_value(); }));
    }
};

TEST_F(RdmaPort, ThatGoesDownIsLoggedAndNamedWhereAConnectionIsLost) {
    make_acquainted();
    EXPECT_THAT(log_after(IBV_EVENT_PORT_ERR), HasSubstr("port 1 of the RDMA device fake0 has gone down"));
    expect_messages_arrive();
    EXPECT_THAT(log_after(IBV_EVENT_PORT_ERR), IsEmpty()) << "it is told once";
    EXPECT_THAT(error_of_a_write(), AllOf(HasSubstr("device fake0 (its port 1 has gone down)"),
                                          HasSubstr(ibv_wc_status_str(IBV_WC_RETRY_EXC_ERR))));
}
TEST_F(RdmaPort, ThatGoesDownAsTheWriteFailsIsNamed) {
    make_acquainted();
    testing::internal::CaptureStderr();
    fabric.report(IBV_EVENT_PORT_ERR);
    EXPECT_THAT(error_of_a_write(), HasSubstr("its port 1 has gone down"));
    testing::internal::GetCapturedStderr();
}
TEST_F(RdmaPort, ThatIsUpAgainIsNamedNoMore) {
    make_acquainted();
    log_after(IBV_EVENT_PORT_ERR);
    EXPECT_THAT(log_after(IBV_EVENT_PORT_ACTIVE), HasSubstr("port 1 of the RDMA device fake0 is up again"));
    EXPECT_THAT(error_of_a_write(), Not(HasSubstr("has gone down")));
}
TEST_F(RdmaPort, ThatIsAnotherIsOfNoInterest) {
    make_acquainted();
    EXPECT_THAT(log_after(IBV_EVENT_PORT_ERR, 2), IsEmpty());
    EXPECT_THAT(log_after(IBV_EVENT_GID_CHANGE), IsEmpty());
    expect_messages_arrive();
}

// ---- what keeps it from being used --------------------------------------------------------------------------------

TEST_F(Rdma, NoDeviceIsAnObstacleInWords) {
    EXPECT_THAT(obstacle(fabric), IsEmpty());
    fabric.devices.clear();
    EXPECT_THAT(obstacle(fabric), AllOf(HasSubstr("no RDMA device"), HasSubstr("TENON_NETWORK=tcp")));
}

TEST_F(Rdma, SoIsNoActivePort) {
    fabric.port_state = IBV_PORT_DOWN;
    fabric.devices = {"fake0", "fake1"};
    EXPECT_THAT(obstacle(fabric), AllOf(HasSubstr("fake0, fake1"), HasSubstr("active port")));
}

TEST_F(Rdma, SoIsMemoryThatMayNotBePinnedWithTheNumber) {
    rlimit before{};
    getrlimit(RLIMIT_MEMLOCK, &before);
    const rlimit low{.rlim_cur = 65536, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &low), 0);
    EXPECT_THAT(obstacle(fabric), IsEmpty()) << "who may pin in spite of the limit";
    fabric.refused["reg_mr"] = ENOMEM;
    EXPECT_THAT(obstacle(fabric),
                AllOf(HasSubstr("may pin 65536 bytes"), HasSubstr("ulimit -l"), HasSubstr("limits.conf"),
                      HasSubstr("LimitMEMLOCK"), HasSubstr("--ulimit memlock")));
    const auto made = open_device({});
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message, AllOf(HasSubstr("fake0"), HasSubstr("may pin 65536 bytes")));
    setrlimit(RLIMIT_MEMLOCK, &before);
}

// What is told to other hosts is only what the device has been seen to do.
TEST_F(Rdma, ItIsTakenUnaskedOnlyWhereTheDeviceCanAllThatIsNeeded) {
    EXPECT_EQ(usable_fabrics(fabric), 2) << "Ethernet";
    fabric.link_layer = IBV_LINK_LAYER_INFINIBAND;
    EXPECT_EQ(usable_fabrics(fabric), 1);
    fabric.most_receives = 0;
    EXPECT_EQ(usable_fabrics(fabric), 0) << "no shared receive queues";
    fabric.most_receives = 4096;
    fabric.refused["create_qp"] = EOPNOTSUPP;
    EXPECT_EQ(usable_fabrics(fabric), 0);
    fabric.refused.clear();
    fabric.transport = IBV_TRANSPORT_IWARP;
    EXPECT_EQ(usable_fabrics(fabric), 0);
}

TEST_F(Rdma, EachCallThatFailsIsAnErrorThatNamesTheDevice) {
    for (const char* call : {"alloc_pd", "create_comp_channel", "create_cq", "create_srq", "reg_mr", "post_srq_recv"}) {
        fabric.refused = {{call, EINVAL}};
        const auto made = open_device({});
        ASSERT_FALSE(made) << call;
        EXPECT_THAT(made.error().message, AllOf(HasSubstr("fake0"), HasSubstr("errno 22"))) << call;
    }
    fabric.refused.clear();
    const auto made = open_device({});
    ASSERT_TRUE(made);
    for (const char* call : {"create_qp", "modify_qp"}) {
        fabric.refused = {{call, EINVAL}};
        EXPECT_THAT((*made)->make_pair().error().message, HasSubstr("a queue pair failed")) << call;
    }
}

TEST_F(Rdma, WarnsWhereForksCannotBeMadeSafeAndWorks) {
    fabric.refused = {{"fork_init", EINVAL}};
    testing::internal::CaptureStderr();
    make_acquainted();
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("RDMAV_FORK_SAFE=1"));
}

TEST_F(Rdma, UsesWhatTheUserSaysOfRoutesAndRetries) {
    fabric.choices = {.gid_index = 1, .pkey_index = 1, .traffic_class = 106, .service_level = 3, .packet_bytes = 1024,
                      .timeout = 20, .retry_count = 7};
    make_acquainted();
    EXPECT_EQ(fabric.route_index, 1);
    EXPECT_EQ(fabric.path_mtu, IBV_MTU_1024);
    EXPECT_EQ(fabric.settled.pkey_index, 1);
    EXPECT_EQ(fabric.settled.ah_attr.grh.traffic_class, 106);
    EXPECT_EQ(fabric.settled.ah_attr.sl, 3);
    EXPECT_EQ(fabric.settled.timeout, 20);
    EXPECT_EQ(fabric.settled.retry_cnt, 7);
    EXPECT_THAT(hosts->ranks[0]->in_words(), HasSubstr("packets of 1024 bytes"));
}

TEST_F(Rdma, TellsWhatAPortHasNot) {
    const auto no_address = find_ports(fabric, {.gid_index = 4});
    ASSERT_FALSE(no_address);
    EXPECT_THAT(no_address.error().message, AllOf(HasSubstr("TENON_RDMA_GID_INDEX is 4"), HasSubstr("fake0")));
    const auto no_key = find_ports(fabric, {.pkey_index = 2});
    ASSERT_FALSE(no_key);
    EXPECT_THAT(no_key.error().message, AllOf(HasSubstr("TENON_RDMA_PKEY_INDEX is 2"), HasSubstr("has 2")));
}

TEST_F(Rdma, ADeviceTooSmallForSoManyPeersSaysSo) {
    fabric.most_receives = 100;
    const auto made = open_device({.peers = 50});
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message, AllOf(HasSubstr("100 receives"), HasSubstr("50 peers")));
}

TEST_F(Rdma, ItsSlotsFitIntoTheCapAtManyPeers) {
    fabric.most_receives = 1 << 20;
    const auto made = open_device({.peers = 1535, .slots_cap_bytes = 8 << 20});
    ASSERT_TRUE(made);
    EXPECT_GE((*made)->window(), 8U);
    EXPECT_LE((*made)->window() * 1535 * slot_bytes, 8U << 20);
}

// ---- a peer that breaks the rules ---------------------------------------------------------------------------------

class RdmaImpostor : public Rdma {
protected:
    // What rank 0 says to what it gets, as if from rank 1.
    std::string error_of(const WireHead& head, std::size_t more = 0) {
        make_acquainted();
        std::vector<std::byte> bytes(head_bytes(head) + more);
        std::memcpy(bytes.data(), &head, head_bytes(head));
        fabric.deliver(fabric.pairs().front(), bytes);
        return error_of_moving();
    }
};

TEST_F(RdmaImpostor, SaysNothingKnown) {
    EXPECT_THAT(error_of({.note = Note{77}}),
                AllOf(HasSubstr("rank 1 on host1"), HasSubstr("a note of no known kind")));
}
TEST_F(RdmaImpostor, SaysAFrameOfNoKnownKind) {
    EXPECT_THAT(error_of({.note = Note::frame, .frame = {.kind = FrameKind{9}}}),
                HasSubstr("a frame of no known kind"));
}
TEST_F(RdmaImpostor, SpeaksOfAChannelThatHasNoRing) {
    EXPECT_THAT(error_of({.note = Note::frame, .frame = {.kind = FrameKind::credit, .channel = 3}}),
                HasSubstr("a frame of no known kind"));
}
TEST_F(RdmaImpostor, TellsARingTwice) {
    EXPECT_THAT(error_of({.note = Note::ring}), HasSubstr("a ring of no channel, or told twice"));
}
TEST_F(RdmaImpostor, HasARingOfAnotherShape) {
    EXPECT_THAT(error_of({.note = Note::ring, .channel = 1, .size = 17}, sizeof(Keys)),
                HasSubstr("TENON_SLOT_MEMORY_BYTES"));
}
TEST_F(RdmaImpostor, GrantsMoreThanItHas) {
    EXPECT_THAT(error_of({.note = Note::grant, .granted = 1000}), HasSubstr("granted more receives than it has"));
}
TEST_F(RdmaImpostor, SaysAMessageOfAnotherLengthThanItHas) {
    EXPECT_THAT(error_of({.note = Note::frame, .frame = {.kind = FrameKind::packed, .number = 2, .length = 56}}, 8),
                HasSubstr("a message of a wrong length"));
}
TEST_F(RdmaImpostor, SaysAMessageOutOfOrder) {
    EXPECT_THAT(error_of({.note = Note::frame, .frame = {.kind = FrameKind::packed, .number = 7, .length = 56}}, 56),
                HasSubstr("a message out of order"));
}
TEST_F(RdmaImpostor, SaysThatAMessageLiesOutsideItsRow) {
    const std::uint64_t all = network_shape.area_of(Row::medium) + network_shape.area_of(Row::large);
    const FrameHead frame{.kind = FrameKind::large, .number = 2, .length = 16 << 10};
    EXPECT_THAT(error_of({.note = Note::frame, .frame = frame, .place = all - (16 << 10) + 1}),
                HasSubstr("outside its row"));
}
TEST_F(RdmaImpostor, SaysThatALargeMessageLiesInTheMediumRow) {
    const FrameHead frame{.kind = FrameKind::large, .number = 2, .length = 16 << 10};
    EXPECT_THAT(error_of({.note = Note::frame, .frame = frame, .place = 0}), HasSubstr("outside its row"));
}
TEST_F(RdmaImpostor, SaysASmallMessageThatIsNoWholeNumberOfWords) {
    EXPECT_THAT(error_of({.note = Note::frame, .frame = {.kind = FrameKind::packed, .number = 2, .length = 12}}, 12),
                HasSubstr("a packed message of a wrong length"));
}
TEST_F(RdmaImpostor, SendsLessThanAHead) {
    make_acquainted();
    const std::byte little[8] = {};
    fabric.deliver(fabric.pairs().front(), little);
    EXPECT_THAT(error_of_moving(), HasSubstr("too few bytes"));
}
TEST_F(RdmaImpostor, SendsOnlyAsMuchOfAHeadAsASmallMessageHas) {
    make_acquainted();
    std::array<std::byte, small_head_bytes> little{};
    const WireHead head{.note = Note::ring};
    std::memcpy(little.data(), &head, little.size());
    fabric.deliver(fabric.pairs().front(), little);
    EXPECT_THAT(error_of_moving(), HasSubstr("too few bytes"));
}

}  // namespace
}  // namespace tenon::rdma
