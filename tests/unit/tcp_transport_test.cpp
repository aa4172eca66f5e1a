// Ranks on different hosts, as far as their sockets can tell: what arrives, in what order, with what credit; who is let
// in; and what a rank is told when its peer goes, breaks the rules or is nobody it knows.
#include "transports/tcp/tcp_transport.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "os/process.hpp"
#include "tests/support/seed.hpp"

namespace tenon::tcp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr RingShape shape{.slots = 4, .slot_bytes = 16 << 10, .area_bytes = 5 * (16 << 10), .medium_slots = 4,
                          .medium_bytes = 2 << 10};
constexpr std::uint32_t signature = 77;

os::Secret fresh_secret() {
    os::Secret secret;
    EXPECT_TRUE(os::fill_random(secret.bytes));
    return secret;
}

os::TcpListener listener() {
    auto made = os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front());
    EXPECT_TRUE(made && *made);
    return std::move(**made);
}

// All ranks in this thread, each with a listener of its own.
class Hosts {
public:
    explicit Hosts(Rank count, std::uint64_t cap = 64 << 20) : secret(fresh_secret()) {
        std::vector<Peer> peers;
        for (Rank r = 0; r < count; r++) {
            listeners.push_back(std::make_unique<os::TcpListener>(listener()));
            peers.push_back({listeners.back()->address(), "host" + std::to_string(r)});
        }
        for (Rank r = 0; r < count; r++) {
            auto port = std::make_shared<DataPort>(*listeners[static_cast<std::size_t>(r)], secret);
            auto made = TcpTransport::make(
                {.rank = r, .rank_count = count, .shape_of = [](std::uint16_t) { return shape; },
                 .slot_memory_cap_bytes = cap, .patience_ms = 2500},
                std::make_unique<Links>(r, peers, Purpose::messages, secret, port, 2500));
            EXPECT_TRUE(made);
            ranks.push_back(std::move(*made));
        }
    }
    // Moves what can be moved until `done` says so; an error of a rank ends it.
    template <class Done>
    Result<void> move_until(const Done& done) {
        const os::Deadline deadline = os::Deadline::after_ms(60'000);
        while (!done()) {
            for (auto& rank : ranks)
                if (rank != nullptr)
                    if (auto moved = rank->progress(); !moved) return std::unexpected(moved.error());
            if (auto in_time = deadline.check("messages to arrive"); !in_time) return in_time;
        }
        return {};
    }
    SendEnd& send_end(Rank from, Rank to, std::uint16_t channel = 0) {
        return **ranks[static_cast<std::size_t>(from)]->connection(to).send_end(channel);
    }
    ReceiveEnd& receive_end(Rank at, Rank from, std::uint16_t channel = 0) {
        return **ranks[static_cast<std::size_t>(at)]->connection(from).receive_end(channel);
    }

    os::Secret secret;
    std::vector<std::unique_ptr<os::TcpListener>> listeners;
    std::vector<std::unique_ptr<Network>> ranks;
};

std::vector<std::byte> bytes_of(std::size_t length, std::size_t salt) {
    std::vector<std::byte> bytes(length);
    for (std::size_t i = 0; i < length; i++) bytes[i] = static_cast<std::byte>(i * 31 + salt * 7 + 1);
    return bytes;
}

bool try_send(SendEnd& end, const std::vector<std::byte>& bytes) {
    if (bytes.size() <= packed_bytes) {
        if (!end.may_send_packed(bytes.size())) return false;
        end.send_packed(bytes.data(), bytes.size(), signature);
        return true;
    }
    const Row row = end.row_of(bytes.size());
    if (!end.may_send_bulk(row)) return false;
    std::ranges::copy(bytes, end.payload(row, bytes.size()));
    end.send_staged(row, bytes.size(), signature);
    return true;
}

// Nothing while it has not come.
std::optional<std::vector<std::byte>> try_receive(ReceiveEnd& end, std::size_t length) {
    std::vector<std::byte> bytes(length);
    if (length <= packed_bytes) {
        if (end.packed_arrival(length, signature) != Arrival::here) return std::nullopt;
        end.take_packed(bytes.data(), length);
        return bytes;
    }
    const Row row = end.row_of(length);
    if (end.bulk_arrival(row, signature) != Arrival::here) return std::nullopt;
    EXPECT_TRUE(end.is_staged(row, length));
    std::copy_n(end.payload(row), length, bytes.begin());
    end.release_bulk(row, false);
    return bytes;
}

TEST(TcpTransport, CarriesMessagesOfAllLengthsInOrderOnEveryChannel) {
    std::mt19937 random(support::test_seed());
    Hosts hosts(2);
    constexpr std::size_t lengths[] = {0, 1, 55, 56, 57, 112, 500, 560, 561, 2048, 2049, 9000, 16 << 10};
    struct Stream {
        Rank from;
        std::uint16_t channel;
        std::vector<std::size_t> lengths;
        std::size_t sent = 0, received = 0;
    };
    std::vector<Stream> streams;
    for (const Rank from : {0, 1})
        for (const std::uint16_t channel : {0, 1, 5}) {
            streams.push_back({from, channel, {}});
            for (int i = 0; i < 400; i++) streams.back().lengths.push_back(lengths[random() % std::size(lengths)]);
        }
    // The reader takes its time, so that credit runs out. True when all has come.
    const auto take_one = [&](Stream& s) {
        if (s.received == s.lengths.size()) return true;
        if (random() % 2 == 0) return false;
        const auto got = try_receive(hosts.receive_end(1 - s.from, s.from, s.channel), s.lengths[s.received]);
        if (!got) return false;
        EXPECT_EQ(*got, bytes_of(s.lengths[s.received], s.received));
        s.received++;
        return false;
    };
    const auto moved = hosts.move_until([&] {
        bool done = true;
        for (Stream& s : streams) {
            while (s.sent < s.lengths.size() &&
                   try_send(hosts.send_end(s.from, 1 - s.from, s.channel), bytes_of(s.lengths[s.sent], s.sent)))
                s.sent++;
            done &= take_one(s);
        }
        return done;
    });
    EXPECT_TRUE(moved) << moved.error().message;
}

TEST(TcpTransport, GoesFromBufferToBufferWhereBothSay) {
    Hosts hosts(2);
    const auto sent = bytes_of(16 << 10, 3);
    std::vector<std::byte> received(sent.size());
    Connection& to = hosts.ranks[0]->connection(1);
    Connection& from = hosts.ranks[1]->connection(0);
    SendEnd& out = hosts.send_end(0, 1);
    ReceiveEnd& in = hosts.receive_end(1, 0);
    const auto place = from.expose(received.data(), received.size());
    ASSERT_TRUE(place && from.peer_addresses(*place));
    in.offer(in.next_number(), place->form, place->address, received.size(), signature);
    const auto exposed = to.expose(sent.data(), sent.size());
    ASSERT_TRUE(exposed);
    out.send_header(Row::large, exposed->form, sent.size(), exposed->address, signature);
    ASSERT_TRUE(hosts.move_until([&] { return in.bulk_arrival(Row::large, signature) == Arrival::here; }));
    EXPECT_EQ(in.header(Row::large).form, MessageForm::put);
    EXPECT_EQ(received, sent);
    EXPECT_TRUE(*hosts.ranks[0]->progress()) << "the sender's memory is its own again";
}

TEST(TcpTransport, WhoFinishedSendingMayGo) {
    Hosts hosts(2);
    SendEnd& out = hosts.send_end(0, 1);
    ReceiveEnd& in = hosts.receive_end(1, 0);
    for (std::size_t i = 0; i < 4; i++) ASSERT_TRUE(try_send(out, bytes_of(16 << 10, i)));
    ASSERT_TRUE(hosts.move_until([&] {
        const auto finished = hosts.ranks[0]->finish_sending();
        return finished && *finished;
    }));
    hosts.ranks[0].reset();
    for (std::size_t i = 0; i < 4; i++) {
        std::optional<std::vector<std::byte>> got;
        const auto moved = hosts.move_until([&] { return (got = try_receive(in, 16 << 10)).has_value(); });
        ASSERT_TRUE(moved) << moved.error().message;
        EXPECT_EQ(*got, bytes_of(16 << 10, i));
    }
    EXPECT_TRUE(hosts.ranks[1]->progress()) << "the other side's end is no error after its goodbye";
    ASSERT_TRUE(try_send(hosts.send_end(1, 0), bytes_of(8, 0)));
    Result<void> moved = hosts.move_until([&] { return false; });
    EXPECT_THAT(moved.error().message, HasSubstr("has destroyed its communicator"));
}

TEST(TcpTransport, APeerThatDiesIsNamed) {
    Hosts hosts(3);
    hosts.receive_end(2, 1);
    ASSERT_TRUE(try_send(hosts.send_end(1, 2), bytes_of(8, 0)));
    ASSERT_TRUE(hosts.move_until([&] { return try_receive(hosts.receive_end(2, 1), 8).has_value(); }));
    hosts.ranks[1].reset();
    const auto moved = hosts.move_until([] { return false; });
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().status, Status::remote_error);
    EXPECT_THAT(moved.error().message,
                AllOf(HasSubstr("rank 2 on host2 has lost its connection to rank 1 on host1"), HasSubstr("127.0.0.1")));
}

TEST(TcpTransport, NobodyListensWhereThePeerShouldBe) {
    Hosts hosts(2);
    hosts.listeners[1]->close();
    hosts.send_end(0, 1);
    const auto moved = hosts.move_until([] { return false; });
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message, HasSubstr("rank 0 on host0 has lost its connection to rank 1 on host1"));
}

TEST(TcpTransport, RefusesTheChannelThatWouldExceedTheCapInWords) {
    Hosts hosts(2, 2 * shape.bytes());
    EXPECT_TRUE(hosts.ranks[0]->connection(1).send_end(0));
    const auto end = hosts.ranks[0]->connection(1).send_end(1);
    ASSERT_FALSE(end);
    EXPECT_THAT(end.error().message, HasSubstr("TENON_SLOT_MEMORY_BYTES"));
    EXPECT_LE(hosts.ranks[0]->slot_memory().value, 2 * shape.bytes());
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
