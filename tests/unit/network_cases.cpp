// What every network over Mirrors does: what arrives, in what order, with what credit; and what a rank is told when its
// peer goes.
#include "tests/unit/network_cases.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "tests/support/seed.hpp"
#include "tests/support/sending.hpp"
#include "transports/tcp/introductions.hpp"
#include "transports/rings/network_layout.hpp"

namespace tenon {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

std::shared_ptr<Introductions> introductions(const LinksFor& links_for) {
    auto made = tcp::TcpIntroductions::make(links_for(tcp::Purpose::introductions));
    EXPECT_TRUE(made);
    return *made;
}

std::vector<std::byte> bytes_of(std::size_t length, std::size_t salt) {
    std::vector<std::byte> bytes(length);
    for (std::size_t i = 0; i < length; i++) bytes[i] = static_cast<std::byte>(i * 31 + salt * 7 + 1);
    return bytes;
}

bool try_send(SendEnd& end, const std::vector<std::byte>& bytes) { return try_send(end, bytes, network_signature); }

std::optional<std::vector<std::byte>> try_receive(ReceiveEnd& end, std::size_t length) {
    std::vector<std::byte> bytes(length, std::byte{0xff});
    if (length <= packed_bytes) {
        if (end.packed_arrival(length, network_signature) != Arrival::here) return std::nullopt;
        end.take_packed(bytes.data(), length);
        return bytes;
    }
    const Row row = end.row_of(length);
    if (end.bulk_arrival(row, network_signature) != Arrival::here) return std::nullopt;
    EXPECT_TRUE(end.is_staged(row, length));
    std::copy_n(end.payload(row), length, bytes.begin());
    end.release_bulk(row, false);
    return bytes;
}

// ---- the cases ----------------------------------------------------------------------------------------------------

TEST_P(NetworkCases, SaysWhatItIs) {
    const NetworkHosts hosts(GetParam(), 2);
    EXPECT_THAT(hosts.ranks[0]->in_words(), testing::StartsWith(std::string{hosts.ranks[0]->connection(1).name()}));
}

// Both ways, on some channels at once, by a reader who takes its time, so that credit runs out.
void carry_all(NetworkHosts& hosts, const std::vector<std::size_t>& lengths) {
    std::mt19937 random(support::test_seed());
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
    // True when all has come.
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

TEST_P(NetworkCases, CarriesMessagesOfAllLengthsInOrderOnEveryChannel) {
    NetworkHosts hosts(GetParam(), 2);
    carry_all(hosts, {0, 1, 55, 56, 57, 112, 500, 560, 561, 2048, 2049, 9000, 16 << 10});
}

TEST_P(NetworkCases, CarriesAllInTheSmallRingsThatManyRanksHave) {
    constexpr std::uint64_t cap = 64 << 20;
    for (const Rank ranks : {1536, 8192}) {
        const NetworkLayout layout = NetworkLayout::of(ranks, cap);
        const RingShape shape = layout.shape(0);
        NetworkHosts hosts(GetParam(), 2, cap, cap, shape, layout.peer_bytes());
        std::vector<std::size_t> lengths{0, 1, 56, 57, 560};
        if (shape.slot_bytes > packed_bytes) lengths.insert(lengths.end(), {561, shape.slot_bytes});
        carry_all(hosts, lengths);
    }
}

// Which are not sent where they end a message, in lines that others were in before.
TEST_P(NetworkCases, BringsZerosWhereverTheyAre) {
    NetworkHosts hosts(GetParam(), 2);
    SendEnd& out = hosts.send_end(0, 1);
    ReceiveEnd& in = hosts.receive_end(1, 0);
    std::vector<std::vector<std::byte>> messages;
    for (std::size_t length = 0; length <= packed_bytes; length += length < 120 ? 1 : 40)
        for (const std::size_t zeros : {length, (length + 1) / 2, std::min<std::size_t>(length, 1), std::size_t{0}}) {
            messages.push_back(bytes_of(length, length));
            std::fill_n(messages.back().rbegin(), zeros, std::byte{});
        }
    std::size_t sent = 0, received = 0;
    const auto moved = hosts.move_until([&] {
        while (sent < messages.size() && try_send(out, messages[sent])) sent++;
        while (received < sent) {
            const auto got = try_receive(in, messages[received].size());
            if (!got) break;
            EXPECT_EQ(*got, messages[received]) << "of " << got->size() << " bytes";
            received++;
        }
        return received == messages.size();
    });
    EXPECT_TRUE(moved) << moved.error().message;
}

TEST_P(NetworkCases, GoesFromBufferToBufferWhereBothSay) {
    NetworkHosts hosts(GetParam(), 2);
    auto sent = bytes_of(16 << 10, 3);
    std::vector<std::byte> received(sent.size());
    hosts.memory->add(sent);
    hosts.memory->add(received);
    Connection& to = hosts.ranks[0]->connection(1);
    Connection& from = hosts.ranks[1]->connection(0);
    SendEnd& out = hosts.send_end(0, 1);
    ReceiveEnd& in = hosts.receive_end(1, 0);
    const auto place = from.expose(received.data(), received.size());
    ASSERT_TRUE(place);
    ASSERT_TRUE(from.peer_addresses(*place));
    in.offer(in.next_number(), place->form, place->address, received.size(), network_signature);
    const auto exposed = to.expose(sent.data(), sent.size());
    ASSERT_TRUE(exposed);
    ASSERT_EQ(exposed->form, MessageForm::carried);
    out.send_carried(Row::large, sent.size(), exposed->address, network_signature);
    ASSERT_TRUE(hosts.move_until([&] { return in.bulk_arrival(Row::large, network_signature) == Arrival::here; }));
    EXPECT_EQ(in.header(Row::large).form, MessageForm::put);
    EXPECT_EQ(received, sent);
    EXPECT_TRUE(*hosts.ranks[0]->progress()) << "the sender's memory is its own again";
}

TEST_P(NetworkCases, WhoFinishedSendingMayGo) {
    NetworkHosts hosts(GetParam(), 2);
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

TEST_P(NetworkCases, APeerThatDiesIsNamed) {
    NetworkHosts hosts(GetParam(), 3);
    hosts.receive_end(2, 1);
    ASSERT_TRUE(try_send(hosts.send_end(1, 2), bytes_of(8, 0)));
    ASSERT_TRUE(hosts.move_until([&] { return try_receive(hosts.receive_end(2, 1), 8).has_value(); }));
    hosts.ranks[1].reset();
    const auto moved = hosts.move_until([] { return false; });
    ASSERT_FALSE(moved);
    const auto names_it =
        AllOf(HasSubstr("rank 2"), HasSubstr(" has lost its "), HasSubstr("connection to rank 1 on host1"));
    // A device alone only knows that the peer's is silent.
    const auto is_a_loss = AnyOf(Status::remote_error, Status::timeout);
    EXPECT_THAT(moved.error().status, is_a_loss);
    EXPECT_THAT(moved.error().message, names_it);
    // Nor does the next thing that fails hide that.
    ASSERT_TRUE(try_send(hosts.send_end(2, 1), bytes_of(8, 0)));
    const auto again = hosts.move_until([] { return false; });
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().status, is_a_loss);
    EXPECT_THAT(again.error().message, names_it);
}

TEST_P(NetworkCases, RefusesTheChannelThatWouldExceedTheCapInWords) {
    const std::uint64_t cap = 3 * network_shape.bytes();  // both rings of one channel, and all else
    NetworkHosts hosts(GetParam(), 2, cap);
    EXPECT_TRUE(hosts.ranks[0]->connection(1).send_end(0));
    const auto end = hosts.ranks[0]->connection(1).send_end(1);
    ASSERT_FALSE(end);
    EXPECT_THAT(end.error().message, HasSubstr("TENON_SLOT_MEMORY_BYTES"));
    EXPECT_LE(hosts.ranks[0]->slot_memory().value, cap);
}

}  // namespace tenon
