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

}  // namespace
}  // namespace tenon::tcp
