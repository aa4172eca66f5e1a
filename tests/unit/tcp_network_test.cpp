// Ranks on different hosts, as far as their sockets can tell: what every network must do; who is let in; and what a
// rank is told when its peer breaks the rules or is nobody it knows.
#include "transports/tcp/tcp_network.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

// The kernel's, which has more than the C library's.
#include <linux/tcp.h>

#include <random>
#include <thread>

#include "tests/support/seed.hpp"
#include "tests/unit/network_cases.hpp"

namespace tenon::tcp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr RingShape shape = network_shape;
constexpr std::uint32_t signature = network_signature;

NetworkKind kind(unsigned sockets) {
    return {sockets == 1 ? "tcp" : "tcp_" + std::to_string(sockets) + "_sockets",
            [sockets](NetworkFacts facts, const LinksFor& links_for) {
                return TcpNetwork::make(std::move(facts), links_for(Purpose::messages), sockets);
            }};
}

struct Hosts : NetworkHosts {
    explicit Hosts(Rank count, unsigned sockets = 1) : NetworkHosts(kind(sockets), count) {}
    explicit Hosts(const NetworkKind& each) : NetworkHosts(each, 2) {}
    const TcpConnection& connection(Rank from, Rank to) {
        return static_cast<TcpConnection&>(ranks[static_cast<std::size_t>(from)]->connection(to));
    }
};

}  // namespace
}  // namespace tenon::tcp

namespace tenon {
INSTANTIATE_TEST_SUITE_P(Tcp, NetworkCases, ::testing::Values(tcp::kind(1), tcp::kind(4)),
                         [](const auto& row) { return row.param.name; });
}  // namespace tenon

namespace tenon::tcp {
namespace {

TEST(TcpNetwork, NobodyListensWhereThePeerShouldBe) {
    Hosts hosts(2);
    hosts.listeners[1]->close();
    hosts.send_end(0, 1);
    const auto moved = hosts.move_until([] { return false; });
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message,
                AllOf(HasSubstr("rank 0 on host0 cannot reach rank 1 on host1 at 127.0.0.1:"),
                      HasSubstr("Connection refused"), HasSubstr("firewall"), HasSubstr("TENON_SOCKET_INTERFACE")));
}

// A host whose rank does something else for longer than a host may be out of reach is there all the same.
TEST(TcpNetwork, APeerThatReadsLateIsNotLost) {
    Hosts hosts(2);
    ASSERT_TRUE(try_send(hosts.send_end(0, 1), bytes_of(8, 0)));
    ASSERT_TRUE(hosts.move_until([&] { return try_receive(hosts.receive_end(1, 0), 8).has_value(); }));
    // More than the peer's system takes without its rank.
    for (std::uint16_t channel = 1; channel <= 16; channel++)
        for (std::size_t i = 0; i < 4; i++)
            ASSERT_TRUE(try_send(hosts.send_end(0, 1, channel), bytes_of(16 << 10, i)));
    // Longer than twice the patience.
    const os::Deadline late = os::Deadline::after_ms(2 * 2500 + 500);
    while (!late.passed()) {
        const auto moved = hosts.ranks[0]->progress();
        ASSERT_TRUE(moved) << moved.error().message;
        std::this_thread::yield();
    }
    for (std::uint16_t channel = 1; channel <= 16; channel++)
        for (std::size_t i = 0; i < 4; i++) {
            ReceiveEnd& in = hosts.receive_end(1, 0, channel);
            const auto moved = hosts.move_until([&] { return try_receive(in, 16 << 10).has_value(); });
            ASSERT_TRUE(moved) << moved.error().message;
        }
}

// ---- several sockets ----------------------------------------------------------------------------------------------

std::uint64_t bytes_sent_by(const FrameSocket& socket) {
    tcp_info info{};
    socklen_t bytes = sizeof info;
    EXPECT_EQ(getsockopt(socket.socket().descriptor().number(), IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
    return info.tcpi_bytes_sent;
}

// From rank 0 to rank 1, on some channels at a time.
void carry_large_messages(Hosts& hosts, std::size_t count) {
    constexpr std::uint16_t channels = 3;
    std::size_t sent[channels] = {}, received[channels] = {};
    const auto moved = hosts.move_until([&] {
        for (std::uint16_t c = 0; c < channels; c++) {
            // With a small one behind each, that may come before it.
            const auto bytes = [&](std::size_t i) { return bytes_of(i % 2 == 0 ? 16 << 10 : 8, i + c); };
            while (sent[c] < count && try_send(hosts.send_end(0, 1, c), bytes(sent[c]))) sent[c]++;
            if (received[c] == count) continue;
            const auto expected = bytes(received[c]);
            if (const auto got = try_receive(hosts.receive_end(1, 0, c), expected.size())) {
                EXPECT_EQ(*got, expected);
                received[c]++;
            }
        }
        return std::ranges::all_of(received, [&](std::size_t r) { return r == count; });
    });
    ASSERT_TRUE(moved) << moved.error().message;
}

bool wakes(const Network& rank) {
    pollfd watched{rank.wait_descriptor(), POLLIN, 0};
    return ::poll(&watched, 1, 0) == 1;
}

// A rank that sleeps because a socket is full is woken by room in it.
TEST(TcpNetwork, RoomInAFullSocketWakes) {
    Hosts hosts(2);
    carry_large_messages(hosts, 1);
    const auto number_of = [&](Rank rank, Rank peer) {
        return hosts.connection(rank, peer).sockets()[0]->socket().descriptor().number();
    };
    const int least = 1;
    ASSERT_EQ(::setsockopt(number_of(0, 1), SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    ASSERT_EQ(::setsockopt(number_of(1, 0), SOL_SOCKET, SO_RCVBUF, &least, sizeof least), 0);
    while (try_send(hosts.send_end(0, 1), bytes_of(16 << 10, 1))) {}
    ASSERT_EQ(hosts.ranks[0]->progress(), false) << "all fits";
    EXPECT_FALSE(wakes(*hosts.ranks[0]));
    // The peer's rank reads and says nothing, since nobody there takes messages.
    for (const os::Deadline deadline = os::Deadline::after_ms(60'000); !wakes(*hosts.ranks[0]);) {
        ASSERT_TRUE(hosts.ranks[1]->progress());
        ASSERT_TRUE(deadline.check("room in the socket"));
    }
}

TEST(TcpSockets, AllCarryLargeMessages) {
    Hosts hosts(2, 4);
    carry_large_messages(hosts, 200);
    EXPECT_EQ(hosts.connection(0, 1).socket_count(), 4U);
    EXPECT_EQ(hosts.connection(1, 0).socket_count(), 4U);
    for (const auto& socket : hosts.connection(0, 1).sockets()) EXPECT_GT(bytes_sent_by(*socket), 100U << 10);
}

TEST(TcpSockets, AreMadeForLargeMessagesOnly) {
    Hosts hosts(2, 4);
    for (std::size_t i = 0; i < 100; i++) {
        ASSERT_TRUE(try_send(hosts.send_end(0, 1), bytes_of(2000, i)));
        ASSERT_TRUE(hosts.move_until([&] { return try_receive(hosts.receive_end(1, 0), 2000).has_value(); }));
    }
    EXPECT_EQ(hosts.connection(0, 1).socket_count(), 1U);
}

// The higher rank, which does not connect, may be the one that would have them; and who has fewer decides.
TEST(TcpSockets, AreAsManyAsBothWouldHave) {
    for (const auto& [of_lower, of_higher, agreed] :
         {std::tuple{4U, 2U, 2U}, {2U, 4U, 2U}, {1U, 4U, 1U}, {4U, 1U, 1U}}) {
        const NetworkKind each{"tcp", [&](NetworkFacts facts, const LinksFor& links_for) {
                                   const unsigned sockets = facts.rank == 0 ? of_lower : of_higher;
                                   return TcpNetwork::make(std::move(facts), links_for(Purpose::messages), sockets);
                               }};
        Hosts hosts(each);
        carry_large_messages(hosts, 50);
        EXPECT_EQ(hosts.connection(0, 1).socket_count(), agreed);
        EXPECT_EQ(hosts.connection(1, 0).socket_count(), agreed);
    }
}

TEST(TcpSockets, TheLossOfOneIsThePeersAndSaysWhich) {
    Hosts hosts(2, 4);
    carry_large_messages(hosts, 50);
    ASSERT_EQ(hosts.connection(1, 0).socket_count(), 4U);
    ::shutdown(hosts.connection(1, 0).sockets()[2]->socket().descriptor().number(), SHUT_RDWR);
    const auto moved = hosts.move_until([] { return false; });
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().status, Status::remote_error);
    EXPECT_THAT(moved.error().message, AllOf(HasSubstr("has lost its connection to rank"), HasSubstr("socket 2 of 4")));
}

TEST(TcpSockets, AreCountedByTheLink) {
    const auto usual = [](const os::LinkFacts& link) { return usual_sockets(link, 10, 1024); };
    EXPECT_EQ(usual({}), 1U) << "nobody knows its speed";
    EXPECT_EQ(usual({.megabits = 10'000}), 1U);
    EXPECT_EQ(usual({.megabits = 25'000}), 2U);
    EXPECT_EQ(usual({.megabits = 100'000}), 4U);
    EXPECT_EQ(usual({.vendor = 0x1d0f}), 8U);
    EXPECT_EQ(usual_sockets({.vendor = 0x1d0f}, 128, 1024), 2U) << "descriptors are left to others";
    EXPECT_EQ(usual_sockets({.vendor = 0x1d0f}, 2000, 1024), 1U);
    EXPECT_EQ(os::link_with(os::resolve("127.0.0.1", 0)->front()).megabits, 0U) << "the loopback has none";
}

// ---- strangers ----------------------------------------------------------------------------------------------------

os::TcpSocket knock(const os::TcpListener& at) {
    auto socket = os::TcpSocket::connect(at.address(), os::Deadline::after_ms(60'000));
    EXPECT_TRUE(socket);
    return std::move(*socket);
}

// A message gets through whatever strangers do.
void expect_unharmed(Hosts& hosts) {
    ASSERT_TRUE(try_send(hosts.send_end(0, 1), bytes_of(8, 1)));
    const auto moved = hosts.move_until([&] { return try_receive(hosts.receive_end(1, 0), 8).has_value(); });
    EXPECT_TRUE(moved) << moved.error().message;
}

TEST(TcpStrangers, AreDroppedAndTheJobGoesOn) {
    std::mt19937 random(support::test_seed());
    Hosts hosts(2);
    std::vector<os::TcpSocket> strangers;
    for (int i = 0; i < 50; i++) {
        strangers.push_back(knock(*hosts.listeners[1]));
        std::vector<std::byte> garbage(random() % 300);
        for (std::byte& b : garbage) b = static_cast<std::byte>(random());
        static_cast<void>(strangers.back().send(garbage, os::Deadline::after_ms(60'000)));
        if (random() % 2 == 0) strangers.back().close();
    }
    expect_unharmed(hosts);
}

TEST(TcpStrangers, WhoKnowsAnotherSecretIsNotLetIn) {
    Hosts hosts(2);
    os::TcpSocket stranger = knock(*hosts.listeners[1]);
    auto handshake = os::Handshake::connecting(fresh_secret(), wire_version, to_bytes({0, 1, Purpose::messages}));
    hosts.receive_end(1, 0);
    Result<bool> done = false;
    const auto moved = hosts.move_until([&] { return !(done = handshake.advance(stranger)) || *done; });
    EXPECT_TRUE(moved) << moved.error().message;
    EXPECT_FALSE(done) << "neither side believes the other";
    expect_unharmed(hosts);
}

// ---- a peer that knows the secret and breaks the rules --------------------------------------------------------------

// Rank 0, played by hand, to a rank 1 that is real.
class Impostor : public ::testing::Test {
protected:
    void SetUp() override {
        hosts_.receive_end(1, 0);
        auto handshake = os::Handshake::connecting(hosts_.secret, wire_version, to_bytes({0, 1, Purpose::messages}));
        Result<bool> done = false;
        ASSERT_TRUE(hosts_.move_until([&] { return !(done = handshake.advance(socket_)) || *done; }));
        ASSERT_TRUE(done);
    }
    Result<void> say(std::span<const std::byte> bytes) {
        static_cast<void>(socket_.send(bytes, os::Deadline::after_ms(60'000)));
        socket_.close();
        return hosts_.move_until([] { return false; });
    }
    Hosts hosts_{2};
    os::TcpSocket socket_ = knock(*hosts_.listeners[1]);
};

TEST_F(Impostor, WrongFramesAreErrorsThatNameIt) {
    FrameHead head{.kind = FrameKind::large, .number = 1, .length = 1 << 30};
    const auto moved = say(std::as_bytes(std::span{&head, 1}));
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message, AllOf(HasSubstr("rank 0 on host0"), HasSubstr("breaks the protocol")));
}

TEST_F(Impostor, MoreCreditThanWasSentIsRefused) {
    FrameHead head{.kind = FrameKind::credit};
    head.taken[1] = 5;
    const auto moved = say(std::as_bytes(std::span{&head, 1}));
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message, HasSubstr("it took more messages than were sent"));
}

TEST_F(Impostor, AMessageBeyondTheRoomIsRefused) {
    std::vector<std::byte> all;
    for (std::uint32_t number = 1; number <= shape.medium_slots + 1; number++) {
        const FrameHead head{.kind = FrameKind::medium, .signature = signature, .number = number, .length = 1000};
        const auto bytes = std::as_bytes(std::span{&head, 1});
        all.insert(all.end(), bytes.begin(), bytes.end());
        all.resize(all.size() + head.length);
    }
    const auto moved = say(all);
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message, HasSubstr("more messages than there is room for"));
}

// ---- the same, by several sockets ---------------------------------------------------------------------------------

// Rank 0, played by hand, that has said it would have four sockets, and has two.
class ImpostorWithSockets : public ::testing::Test {
protected:
    void SetUp() override {
        in_ = &hosts_.receive_end(1, 0);
        ASSERT_TRUE(come(0));
        const FrameHead wish{.kind = FrameKind::sockets, .number = 4};
        say(0, wish);
        FrameHead answer;
        ASSERT_TRUE(hosts_.move_until([&] { return read_head(answer); }));
        ASSERT_EQ(answer.kind, FrameKind::sockets);
        ASSERT_EQ(answer.number, 4U);
        ASSERT_TRUE(come(1));
    }
    bool come(unsigned number) {
        sockets_[number] = knock(*hosts_.listeners[1]);
        auto handshake =
            os::Handshake::connecting(hosts_.secret, wire_version, to_bytes({0, 1, Purpose::messages, number}));
        Result<bool> done = false;
        return hosts_.move_until([&] { return !(done = handshake.advance(sockets_[number])) || *done; }) && done;
    }
    bool read_head(FrameHead& head) {
        const auto came = sockets_[0].receive_some(std::as_writable_bytes(std::span{&head, 1}).subspan(read_));
        read_ += came.value_or(0);
        return read_ == sizeof head;
    }
    void say(unsigned number, const FrameHead& head, const std::vector<std::byte>& bytes = {}) {
        EXPECT_TRUE(sockets_[number].send(std::as_bytes(std::span{&head, 1}), os::Deadline::after_ms(60'000)));
        EXPECT_TRUE(sockets_[number].send(bytes, os::Deadline::after_ms(60'000)));
    }
    static FrameHead striped(std::uint32_t number, std::uint64_t place, std::uint32_t length) {
        return {
            .kind = FrameKind::striped, .signature = signature, .number = number, .length = length, .taken = {place}};
    }
    std::vector<std::byte> next(std::size_t length) {
        std::optional<std::vector<std::byte>> got;
        const auto moved = hosts_.move_until([&] { return (got = try_receive(*in_, length)).has_value(); });
        EXPECT_TRUE(moved) << moved.error().message;
        return got.value_or(std::vector<std::byte>{});
    }
    std::string fault() {
        const auto moved = hosts_.move_until([] { return false; });
        EXPECT_EQ(moved.error().status, Status::remote_error);
        EXPECT_THAT(moved.error().message, HasSubstr("rank 0 on host0"));
        return moved.error().message;
    }
    Hosts hosts_{2, 4};
    ReceiveEnd* in_ = nullptr;
    os::TcpSocket sockets_[2];
    std::size_t read_ = 0;
};

TEST_F(ImpostorWithSockets, WhatOvertakesIsTakenInOrder) {
    say(1, striped(2, 1, 9000), bytes_of(9000, 2));
    say(0, {.kind = FrameKind::packed, .signature = signature, .number = 3, .length = 56}, bytes_of(56, 3));
    ASSERT_TRUE(hosts_.ranks[1]->progress());
    EXPECT_FALSE(try_receive(*in_, 16 << 10)) << "the first is not there yet";
    say(0, striped(1, 0, 16 << 10), bytes_of(16 << 10, 1));
    EXPECT_EQ(next(16 << 10), bytes_of(16 << 10, 1));
    EXPECT_EQ(next(9000), bytes_of(9000, 2));
    EXPECT_EQ(next(56), bytes_of(56, 3));
}

TEST_F(ImpostorWithSockets, WhatOvertakesASmallMessageInItsMiddleLeavesItsNumberAlone) {
    const auto small = bytes_of(1000, 1), rest = std::vector(small.begin() + 500, small.end());
    say(0, {.kind = FrameKind::medium, .signature = signature, .number = 1, .length = 1000},
        {small.begin(), small.begin() + 500});
    ASSERT_TRUE(hosts_.ranks[1]->progress());
    say(1, striped(2, 0, 9000), bytes_of(9000, 2));
    ASSERT_TRUE(hosts_.ranks[1]->progress());
    EXPECT_TRUE(sockets_[0].send(rest, os::Deadline::after_ms(60'000)));
    EXPECT_EQ(next(1000), small);
    EXPECT_EQ(next(9000), bytes_of(9000, 2));
}

TEST_F(ImpostorWithSockets, AFrameThatIsNotForThemIsRefused) {
    say(1, {.kind = FrameKind::packed, .signature = signature, .number = 1, .length = 56}, bytes_of(56, 1));
    EXPECT_THAT(fault(), AllOf(HasSubstr("socket 1 of 2"), HasSubstr("not for it")));
}

TEST_F(ImpostorWithSockets, AMessageThatComesTwiceIsRefused) {
    say(1, striped(1, 0, 9000), bytes_of(9000, 1));
    say(1, striped(2, 0, 9000), bytes_of(9000, 1));
    EXPECT_THAT(fault(), HasSubstr("more messages than there is room for"));
}

TEST_F(ImpostorWithSockets, AMessageBeyondTheRoomIsRefused) {
    say(1, striped(5, shape.slots, 9000), bytes_of(9000, 1));
    EXPECT_THAT(fault(), HasSubstr("more messages than there is room for"));
}

TEST_F(ImpostorWithSockets, ALargeMessageThatIsNotStripedIsRefused) {
    say(0, {.kind = FrameKind::large, .signature = signature, .number = 1, .length = 9000}, bytes_of(9000, 1));
    EXPECT_THAT(fault(), HasSubstr("not striped"));
}

TEST_F(ImpostorWithSockets, ASecondWordOnHowManyIsRefused) {
    say(0, {.kind = FrameKind::sockets, .number = 3});
    EXPECT_THAT(fault(), HasSubstr("may not ask for"));
}

// ---- introductions ------------------------------------------------------------------------------------------------

// Rank 0, played by hand, that has introduced itself to a rank 1 that is real.
class BadAcquaintance : public ::testing::Test {
protected:
    void SetUp() override {
        const std::vector<Peer> peers{{listener_.address(), "host0"}, {listener_.address(), "host1"}};
        own_ = introductions([&](Purpose purpose) {
            return std::make_unique<Links>(1, peers, purpose, secret_, std::make_shared<DataPort>(listener_, secret_),
                                           2500);
        });
        ASSERT_TRUE(own_->introduce(0, bytes_of(5, 1)));
        auto handshake = os::Handshake::connecting(secret_, wire_version, to_bytes({0, 1, Purpose::introductions}));
        Result<bool> done = false;
        const auto let_in = [&] { return !(done = handshake.advance(socket_)) || *done; };
        while (!let_in()) ASSERT_TRUE(own_->next_answer());
        ASSERT_TRUE(done);
    }
    void say(std::span<const std::byte> bytes) { ASSERT_TRUE(socket_.send(bytes, os::Deadline::after_ms(60'000))); }
    void introduce_itself() {
        const std::uint32_t length = 3;
        say(std::as_bytes(std::span{&length, 1}));
        say(bytes_of(length, 2));
        Result<std::optional<Introductions::Answer>> answer;
        while ((answer = own_->next_answer()) && !*answer) std::this_thread::yield();
        ASSERT_TRUE(answer) << answer.error().message;
        EXPECT_EQ((*answer)->bytes, bytes_of(length, 2));
    }
    Error fault() {
        Result<void> checked;
        while ((checked = own_->check())) std::this_thread::yield();
        return checked.error();
    }
    os::Secret secret_ = fresh_secret();
    os::TcpListener listener_ = std::move(**os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front()));
    os::TcpSocket socket_ = knock(listener_);
    std::shared_ptr<Introductions> own_;
};

TEST_F(BadAcquaintance, ThatTalksNonsenseAfterwardsIsNamed) {
    introduce_itself();
    say(std::vector{std::byte{99}});
    const Error error = fault();
    EXPECT_EQ(error.status, Status::remote_error);
    EXPECT_THAT(error.message, AllOf(HasSubstr("rank 0 on host0"), HasSubstr("breaks the protocol")));
}

TEST_F(BadAcquaintance, ThatIsReadyTwiceIsNamed) {
    introduce_itself();
    say(std::vector{std::byte{2}, std::byte{2}});
    EXPECT_THAT(fault().message, HasSubstr("breaks the protocol"));
    EXPECT_EQ(own_->next_ready().value(), Rank{0}) << "what came before counts";
}

TEST_F(BadAcquaintance, WithTooLongAnIntroductionIsNamed) {
    const std::uint32_t length = Introductions::most_bytes + 1;
    say(std::as_bytes(std::span{&length, 1}));
    Result<std::optional<Introductions::Answer>> answer;
    while ((answer = own_->next_answer())) ASSERT_FALSE(*answer);
    EXPECT_THAT(answer.error().message, AllOf(HasSubstr("rank 0 on host0"), HasSubstr("too long an introduction")));
}

// ---- what was recorded ----------------------------------------------------------------------------------------------

// What rank 0 said when it connected some other time, with the same secret: its proof, and a message.
std::vector<std::byte> recording(const os::Secret& secret) {
    auto ends = os::LocalSocket::pair().value();
    auto accepting = os::Handshake::accepting(secret, wire_version);
    auto connecting = os::Handshake::connecting(secret, wire_version, to_bytes({0, 1, Purpose::messages}));
    EXPECT_TRUE(accepting.advance(ends.first) && connecting.advance(ends.second));
    std::vector<std::byte> said(4096);
    said.resize(ends.first.receive_some(said).value());
    EXPECT_GE(said.size(), 96U);
    const FrameHead head{.kind = FrameKind::packed, .signature = signature, .number = 1, .length = 56};
    const auto bytes = std::as_bytes(std::span{&head, 1});
    said.insert(said.end(), bytes.begin(), bytes.end());
    said.resize(said.size() + head.length);
    return said;
}

TEST(TcpStrangers, WhoReplayWhatTheyRecordedAreDroppedAndLoggedOnce) {
    Hosts hosts(2);
    const auto said = recording(hosts.secret);
    std::vector<os::TcpSocket> strangers;
    ::testing::internal::CaptureStderr();
    for (int i = 0; i < 5; i++) {
        strangers.push_back(knock(*hosts.listeners[1]));
        ASSERT_TRUE(strangers.back().send(said, os::Deadline::after_ms(60'000)));
    }
    expect_unharmed(hosts);
    for (os::TcpSocket& stranger : strangers) {
        std::vector<std::byte> answer(33);  // one more than the challenge
        EXPECT_FALSE(stranger.receive(answer, os::Deadline::after_ms(60'000))) << "a stranger got an answer";
    }
    const std::string log = ::testing::internal::GetCapturedStderr();
    const auto first = log.find("a stranger");
    EXPECT_NE(first, log.npos) << log;
    EXPECT_EQ(log.find("a stranger", first + 1), log.npos) << log;
}

}  // namespace
}  // namespace tenon::tcp
