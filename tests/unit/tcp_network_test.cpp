// Ranks on different hosts, as far as their sockets can tell: what every network must do; who is let in; and what a
// rank is told when its peer breaks the rules or is nobody it knows.
#include "transports/tcp/tcp_network.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/support/seed.hpp"
#include "tests/unit/network_cases.hpp"

namespace tenon::tcp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr RingShape shape = network_shape;
constexpr std::uint32_t signature = network_signature;

NetworkKind kind() {
    return {"tcp", [](NetworkFacts facts, const LinksFor& links_for) {
                return TcpNetwork::make(std::move(facts), links_for(Purpose::messages));
            }};
}

struct Hosts : NetworkHosts {
    explicit Hosts(Rank count) : NetworkHosts(kind(), count) {}
};

}  // namespace
}  // namespace tenon::tcp

namespace tenon {
INSTANTIATE_TEST_SUITE_P(Tcp, NetworkCases, ::testing::Values(tcp::kind()),
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
    EXPECT_THAT(moved.error().message, HasSubstr("rank 0 on host0 has lost its connection to rank 1 on host1"));
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
