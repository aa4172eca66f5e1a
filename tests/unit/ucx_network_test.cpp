// The network over UCX, with all ranks in this thread: what every network must do, however UCX carries large messages;
// the module; and what a rank is told when a peer breaks the rules, or a stranger finds its worker.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "library/plugins.hpp"
#include "tests/unit/ucx_hosts.hpp"

namespace tenon {
INSTANTIATE_TEST_SUITE_P(Ucx, NetworkCases,
                         ::testing::Values(ucx::kind("as_it_likes", "auto"), ucx::kind("eager", "inf"),
                                           ucx::kind("rendezvous", "0"),
                                           ucx::kind("puts", "auto", UcxPuts::always)),
                         [](const auto& row) { return row.param.name; });
}  // namespace tenon

namespace tenon::ucx {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

// ---- what UCX is told ---------------------------------------------------------------------------------------------

TEST(UcxSettings, SocketsGoByTheInterfaceThatTheUserHasNamed) {
    const std::filesystem::path folder = testing::TempDir() + "tenon_ucx_devices";
    for (const auto& [port, state] : {std::pair{"mlx5_0/ports/1", "4: ACTIVE"}, {"mlx5_0/ports/2", "1: DOWN"},
                                      {"mlx5_1/ports/1", "4: ACTIVE"}}) {
        std::filesystem::create_directories(folder / port);
        std::ofstream(folder / port / "state") << state << '\n';
    }
    EXPECT_EQ(settings_of({.interface = "eth1"}, folder)["NET_DEVICES"], "eth1,mlx5_0:1,mlx5_1:1");
    EXPECT_EQ(settings_of({.interface = "eth1"}, "/no/such/folder")["NET_DEVICES"], "eth1");
    EXPECT_FALSE(settings_of({}, folder).contains("NET_DEVICES"));
    std::filesystem::remove_all(folder);
}

TEST(UcxSettings, WhatTheUserHasToldUcxHolds) {
    const auto settings = settings_of(
        {.environment = {{"UCX_NET_DEVICES", "eth0"}, {"UCX_TCP_CONN_NB", "n"}, {"UCX_IB_REG_METHODS", "odp"}},
         .interface = "eth1"},
        "");
    EXPECT_THAT(settings, IsEmpty());
}

// What is put into memory whose registration is an old one's is lost, so nobody can have that.
TEST(UcxSettings, NeverRegisterByItsCache) {
    EXPECT_EQ(settings_of({}, "")["IB_REG_METHODS"], "direct");
    EXPECT_EQ(settings_of({.environment = {{"UCX_IB_REG_METHODS", "rcache,direct"}}}, "")["IB_REG_METHODS"], "direct");
}

// It warns of others when it makes a worker, and goes on without them.
TEST(UcxSettings, AreKnownToThisUcx) {
    testing::internal::CaptureStderr();
    const auto made = UcxWorker::make([](auto...) { return UCS_OK; }, nullptr, settings_of({.interface = "lo"}, ""));
    EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());
    EXPECT_TRUE(made) << made.error().message;
}

TEST(UcxSettings, OfSocketsWarnOfNothingWhereItUsesNone) {
    setenv("UCX_TLS", "self", 1);
    testing::internal::CaptureStderr();
    const auto made = UcxWorker::make([](auto...) { return UCS_OK; }, nullptr, settings_of({}, ""));
    unsetenv("UCX_TLS");
    EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());
    EXPECT_TRUE(made) << made.error().message;
}

TEST(UcxModule, IsLoadedAndBringsItsNetwork) {
    const auto loaded = load_plugins(std::vector<std::string>{MODULE_UCX}, {});
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_EQ(loaded->networks.size(), 1U);
    EXPECT_EQ(loaded->networks.front().name, "ucx");
    EXPECT_THAT(loaded->networks.front().obstacle(), IsEmpty());
}

TEST(UcxModule, SaysWhatKeepsItFromBeingUsed) {
    EXPECT_THAT(obstacle_of(1, 13), IsEmpty());
    EXPECT_THAT(obstacle_of(2, 0), IsEmpty());
    EXPECT_THAT(obstacle_of(1, 12), AllOf(HasSubstr("UCX 1.12"), HasSubstr("1.13"), HasSubstr("TENON_NETWORK=tcp")));
}

TEST(UcxModule, KnowsWhetherAContextUsesAnRdmaDevice) {
    constexpr std::string_view sockets =
        "#     component 4  :  ib\n"
        "#      resource 0  :  md 0  dev 0  flags -- self/memory0\n"
        "#      resource 1  :  md 1  dev 1  flags -- tcp/eth0\n";
    EXPECT_THAT(rdma_device_in(sockets), IsEmpty());
    const std::string with_devices = std::string{sockets} +
                                     "#      resource 2  :  md 4  dev 3  flags -- rc_verbs/mlx5_0:1\n"
                                     "#      resource 3  :  md 4  dev 3  flags -- ud_verbs/mlx5_0:1\n";
    EXPECT_EQ(rdma_device_in(with_devices), "mlx5_0:1");
}

TEST(UcxModule, KnowsByWhatAnEndpointPuts) {
    constexpr std::string_view device =
        "#                 lane[0]:  6:ud_verbs/rxe0:1.0 md[1]     -> addr[1].md[1]/ib/sysdev[255] am am_bw#0 wireup\n"
        "#                 lane[1]:  5:rc_verbs/rxe0:1.0 md[1]     -> addr[0].md[1]/ib/sysdev[255] rma_bw#0\n"
        "#\n"
        "#                put[1]: 0..<short>..93..<bcopy>..16384..<zcopy>..(inf)\n"
        "#                get[1]: 0..<bcopy>..8192..<zcopy>..(inf)\n";
    EXPECT_EQ(put_lane_in(device), "rc_verbs/rxe0:1");
    constexpr std::string_view sockets =
        "#                 lane[0]:  1:tcp/eth0.0 md[1]                -> md[1]/tcp/sysdev[255] am am_bw#0\n#\n";
    EXPECT_THAT(put_lane_in(sockets), IsEmpty()) << "UCX emulates them";
    EXPECT_THAT(put_lane_in(std::string{sockets} + "#                put[0]: 0..<zcopy>..(inf)\n"), IsEmpty());
    EXPECT_THAT(put_lane_in(""), IsEmpty());
}

TEST(UcxModule, PinsNothingWhereThereIsNoSuchDevice) {
    setenv("UCX_TLS", "tcp,self", 1);
    rlimit before{};
    getrlimit(RLIMIT_MEMLOCK, &before);
    const rlimit low{.rlim_cur = 65536, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &low), 0);
    EXPECT_THAT(pinning_obstacle(), IsEmpty());
    setrlimit(RLIMIT_MEMLOCK, &before);
    unsetenv("UCX_TLS");
}

TEST(UcxModule, NoTransportsAreAnErrorThatNamesTheVariables) {
    setenv("UCX_TLS", "rc", 1);  // there may be no such device, or there may: then the rank is reached by it
    const auto made = UcxNetwork::make({.rank_count = 2, .shape_of = [](std::uint16_t) { return network_shape; }});
    unsetenv("UCX_TLS");
    if (!made) {
        EXPECT_THAT(made.error().message, HasSubstr("UCX_TLS"));
    }
}

// ---- leaving ------------------------------------------------------------------------------------------------------

TEST(UcxNetwork, WhoLeavesDoesNotWaitForAPeerThatIsBusyAndLosesNothing) {
    NetworkHosts hosts(kind("", "inf"), 2);
    expect_acquainted(hosts);
    for (std::size_t i = 0; i < 4; i++) ASSERT_TRUE(try_send(hosts.send_end(0, 1), bytes_of(16 << 10, i)));
    const os::Deadline deadline = os::Deadline::after_ms(30'000);
    for (Result<bool> gone = false; !*gone; gone = hosts.ranks[0]->finish_sending()) ASSERT_FALSE(deadline.passed());
    hosts.ranks[0].reset();
    for (std::size_t i = 0; i < 4; i++) {
        std::optional<std::vector<std::byte>> got;
        const auto moved =
            hosts.move_until([&] { return (got = try_receive(hosts.receive_end(1, 0), 16 << 10)).has_value(); });
        ASSERT_TRUE(moved) << moved.error().message;
        EXPECT_EQ(*got, bytes_of(16 << 10, i));
    }
}

// One of two ranks is destroyed after each possible number of turns: it ends in time, and the other is told.
TEST(UcxNetwork, MayBeDestroyedWithWhateverIsUnderWay) {
    for (const Rank leaver : {0, 1})
        for (int turns = 0; turns < 24; turns++) {
            NetworkHosts hosts(kind("", "0"), 2);
            expect_acquainted(hosts);
            for (std::size_t i = 0; i < 4; i++) ASSERT_TRUE(try_send(hosts.send_end(0, 1), bytes_of(16 << 10, i)));
            int left = turns;
            ASSERT_TRUE(hosts.move_until([&] { return left-- == 0; }));
            const os::Deadline soon = os::Deadline::after_ms(5'000);
            hosts.ranks[static_cast<std::size_t>(leaver)].reset();
            EXPECT_FALSE(soon.passed());
            const auto moved = hosts.move_until([] { return false; });
            EXPECT_EQ(moved.error().status, Status::remote_error) << moved.error().message;
        }
}

// A call that has failed has its memory to itself, whatever was on its way there.
TEST(UcxNetwork, TouchesNoMemoryOnceWithdrawn) {
    for (int turns = 0; turns < 24; turns++) {
        NetworkHosts hosts(kind("", "0"), 2);
        expect_acquainted(hosts);
        auto sent = bytes_of(16 << 10, 3);
        std::vector<std::byte> received(sent.size());
        ReceiveEnd& in = hosts.receive_end(1, 0);
        const auto place = hosts.ranks[1]->connection(0).expose(received.data(), received.size());
        ASSERT_TRUE(place);
        in.offer(in.next_number(), place->form, place->address, received.size(), network_signature);
        const auto exposed = hosts.ranks[0]->connection(1).expose(sent.data(), sent.size());
        ASSERT_TRUE(exposed);
        hosts.send_end(0, 1).send_carried(Row::large, sent.size(), exposed->address, network_signature);
        int left = turns;
        ASSERT_TRUE(hosts.move_until([&] { return left-- == 0; }));
        hosts.ranks[1]->withdraw();
        std::ranges::fill(received, std::byte{0xaa});
        for (int turn = 0; turn < 100; turn++) static_cast<void>(hosts.ranks[0]->progress());
        hosts.ranks[1].reset();
        EXPECT_TRUE(std::ranges::all_of(received, [](std::byte b) { return b == std::byte{0xaa}; })) << turns;
    }
}

// ---- who breaks the rules -------------------------------------------------------------------------------------------

TEST_F(Impostor, AMessageWithTheTokenIsTaken) {
    head_.frame = {.kind = FrameKind::packed, .signature = network_signature, .number = 1, .length = 56};
    say(head_, 56);
    EXPECT_TRUE(move_until([&] { return try_receive(hosts_.receive_end(1, 0), 8).has_value(); }));
}

// Its rank may be done with its own part of a call, and so may not be there to make the way to it.
TEST_F(Impostor, CreditsWaitForAWayToThePeerAndNobodyForThem) {
    constexpr std::size_t length = 9 * sizeof(PackedLine::data);
    for (std::uint32_t number = 1; number <= 4; number++) {  // enough for credits
        head_.frame = {
            .kind = FrameKind::packed, .signature = network_signature, .number = number, .length = length};
        say(head_, length);
        const auto moved = move_until([&] { return try_receive(hosts_.receive_end(1, 0), length).has_value(); });
        ASSERT_TRUE(moved) << moved.error().message;
    }
    const auto all_gone = hosts_.ranks[1]->progress();
    ASSERT_TRUE(all_gone) << all_gone.error().message;
    EXPECT_TRUE(*all_gone) << "rank 1 waits for what nobody needs of it";
}

TEST_F(Impostor, WrongFramesAreErrorsThatNameIt) {
    head_.frame = {.kind = FrameKind::large, .number = 1, .length = 1 << 30};
    EXPECT_THAT(verdict(head_, 100), AllOf(HasSubstr("rank 0 on host0"), HasSubstr("breaks the protocol")));
}

TEST_F(Impostor, UnknownChannelsAreErrors) {
    head_.frame = {.kind = FrameKind::packed, .channel = 40'000, .number = 1, .length = 56};
    EXPECT_THAT(verdict(head_, 56), HasSubstr("breaks the protocol"));
}

TEST_F(Impostor, AMessageTooFarAheadIsRefused) {
    head_.frame = {.kind = FrameKind::packed, .number = 5000, .length = 56};
    EXPECT_THAT(verdict(head_, 56), HasSubstr("a message out of order"));
}

TEST_F(Impostor, OneThatIsAheadIsHeldUntilItsTurn) {
    for (const std::uint32_t number : {3, 2, 1}) {
        head_.frame = {.kind = FrameKind::packed, .signature = network_signature, .number = number, .length = 56};
        say(head_, 56);
    }
    for (int i = 0; i < 3; i++)
        EXPECT_TRUE(move_until([&] { return try_receive(hosts_.receive_end(1, 0), 8).has_value(); }));
}

TEST_F(Impostor, TheSameNumberTwiceIsRefused) {
    head_.frame = {.kind = FrameKind::packed, .number = 2, .length = 56};
    say(head_, 56);
    EXPECT_THAT(verdict(head_, 56), HasSubstr("a message out of order"));
}

TEST_F(Impostor, MoreCreditThanWasSentIsRefused) {
    head_.frame = {.kind = FrameKind::credit};
    head_.frame.taken[1] = 5;
    EXPECT_THAT(verdict(head_, 0), HasSubstr("it took more messages than were sent"));
}

TEST_F(Impostor, AMessageLongerThanASlotIsRefusedHoweverItComes) {
    head_.frame = {.kind = FrameKind::large, .number = 1, .length = 4 << 20};
    EXPECT_THAT(verdict(head_, 4 << 20), HasSubstr("a message of a wrong length"));
}

TEST_F(Impostor, StrangersAreDroppedAndTheJobGoesOn) {
    MessageHead stranger = head_;
    stranger.token++;
    stranger.frame = {.kind = FrameKind::large, .number = 1, .length = 1 << 30};
    say(stranger, 100);
    stranger = head_;
    stranger.from = 1'000'000;
    say(stranger, 100);
    stranger.from = -5;
    say(stranger, 100);
    const ucp_request_param_t how{};
    wait_for(ucp_am_send_nbx(endpoint_, message_id, "short", 5, nullptr, 0, &how));
    head_.frame = {.kind = FrameKind::packed, .signature = network_signature, .number = 1, .length = 56};
    say(head_, 56);
    const auto moved = move_until([&] { return try_receive(hosts_.receive_end(1, 0), 8).has_value(); });
    EXPECT_TRUE(moved) << moved.error().message;
}

}  // namespace
}  // namespace tenon::ucx
