// Messages that are put into memory which their receiver has registered, over UCX; what ends that; and a peer that
// breaks the rules of it. Over sockets, where UCX emulates puts: by messages of its own, which the receiver's progress
// copies.
#include <gmock/gmock.h>

#include "tests/unit/ucx_hosts.hpp"

namespace tenon::ucx {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t length = put_min_bytes;

class UcxPutsTest : public ::testing::Test {
protected:
    void begin(UcxPuts own = UcxPuts::always, UcxPuts peers = UcxPuts::always) {
        hosts.emplace(NetworkKind{"", [own, peers](NetworkFacts facts, const LinksFor& links_for) {
                                      const UcxPuts puts = facts.rank == 0 ? own : peers;
                                      return kind("", "inf", puts).make(std::move(facts), links_for);
                                  }},
                      2);
        expect_acquainted(*hosts);
    }
    // As the executor would.
    void send(const std::vector<std::byte>& bytes) {
        SendEnd& out = hosts->send_end(0, 1);
        const auto has_credit = hosts->move_until([&] { return out.may_send_bulk(Row::large); });
        ASSERT_TRUE(has_credit) << has_credit.error().message;
        const auto exposed = hosts->ranks[0]->connection(1).expose(bytes.data(), bytes.size());
        out.send_carried(Row::large, bytes.size(), exposed->address, network_signature);
    }
    void offer(std::vector<std::byte>& bytes, std::uint64_t ahead = 0) {
        ReceiveEnd& in = hosts->receive_end(1, 0);
        const auto place = hosts->ranks[1]->connection(0).expose(bytes.data(), bytes.size());
        in.offer(in.next_number() + ahead, place->form, place->address, bytes.size(), network_signature);
    }
    // Offers travel, as do credits, while nobody waits for them.
    void move_offers() {
        int turns = 200;
        ASSERT_TRUE(hosts->move_until([&] { return turns-- == 0; }));
    }
    // The next message, in `to` wherever it came.
    void receive(std::vector<std::byte>& to) {
        ReceiveEnd& in = hosts->receive_end(1, 0);
        const auto is_here = [&] { return in.bulk_arrival(Row::large, network_signature) == Arrival::here; };
        const auto moved = hosts->move_until(is_here);
        ASSERT_TRUE(moved) << moved.error().message;
        if (in.header(Row::large).form == MessageForm::staged)
            std::copy_n(in.payload(Row::large), to.size(), to.begin());
        in.release_bulk(Row::large, false);
    }
    std::uint64_t messages_put() const {
        return dynamic_cast<UcxConnection&>(hosts->ranks[0]->connection(1)).messages_put();
    }
    // A message of its own kind goes from rank 0 to 1; how many of it were put.
    std::uint64_t put_one(std::vector<std::byte>& to, std::size_t salt) {
        const std::uint64_t before = messages_put();
        const auto from = bytes_of(to.size(), salt);
        offer(to);
        move_offers();
        send(from);
        receive(to);
        EXPECT_EQ(to, from);
        return messages_put() - before;
    }
    std::optional<NetworkHosts> hosts;
};

TEST_F(UcxPutsTest, PutsWhatItsReceiverHasOffered) {
    begin();
    std::vector<std::byte> to(length);
    hosts->memory->add(to);
    for (std::size_t i = 0; i < 20; i++) EXPECT_EQ(put_one(to, i), 1U);
    EXPECT_TRUE(*hosts->ranks[0]->progress()) << "the sender's memory is its own again";
}

TEST_F(UcxPutsTest, WhatIsNotKnownOrIsShortGoesAsEver) {
    begin();
    std::vector<std::byte> unknown(length), shorter(length - 1);
    hosts->memory->add(shorter);
    EXPECT_EQ(put_one(unknown, 1), 0U);
    EXPECT_EQ(put_one(shorter, 2), 0U);
}

TEST_F(UcxPutsTest, NobodyWaitsForAnOffer) {
    begin();
    std::vector<std::byte> to(length);
    hosts->memory->add(to);
    const auto from = bytes_of(length, 4);
    send(from);
    move_offers();
    offer(to);
    receive(to);
    EXPECT_EQ(to, from);
    EXPECT_EQ(messages_put(), 0U);
    EXPECT_EQ(put_one(to, 5), 1U) << "and it is not used for another";
}

TEST_F(UcxPutsTest, PutAndSentMessagesKeepTheirOrder) {
    begin();
    std::vector<std::vector<std::byte>> to(4, std::vector<std::byte>(length));
    hosts->memory->add(to[0]);
    hosts->memory->add(to[2]);
    for (std::size_t round = 0; round < 10; round++) {
        std::vector<std::vector<std::byte>> sent;
        for (std::size_t i = 0; i < to.size(); i++) offer(to[i], i);
        move_offers();
        for (std::size_t i = 0; i < to.size(); i++) send(sent.emplace_back(bytes_of(length, 10 * round + i)));
        for (std::size_t i = 0; i < to.size(); i++) {
            receive(to[i]);
            ASSERT_EQ(to[i], sent[i]) << round << ", " << i;
        }
    }
    EXPECT_EQ(messages_put(), 20U);
}

TEST_F(UcxPutsTest, MoreMemoryThanKeysIsPutIntoAllTheSame) {
    begin();
    std::vector<std::vector<std::byte>> to(most_keys + 6, std::vector<std::byte>(length));
    for (auto& one : to) hosts->memory->add(one);
    for (std::size_t round = 0; round < 2; round++)
        for (std::size_t i = 0; i < to.size(); i++) ASSERT_EQ(put_one(to[i], i + round), 1U) << i;
}

TEST_F(UcxPutsTest, TheSameAddressAfterAnEndIsOtherMemory) {
    begin();
    std::vector<std::byte> to(length);
    for (std::size_t i = 0; i < 3; i++) {
        hosts->memory->add(to);
        EXPECT_TRUE(hosts->ranks[1]->prepare(to));
        EXPECT_EQ(put_one(to, i), 1U);
        hosts->memory->end(to);
        EXPECT_FALSE(hosts->ranks[1]->prepare(to)) << "it is known no longer";
        EXPECT_EQ(put_one(to, i + 10), 0U);
    }
}

// Over sockets UCX's puts are slower than its messages, so by itself it makes none there.
TEST_F(UcxPutsTest, WhereEitherSideMakesNoneMessagesGoAsEver) {
    using enum UcxPuts;
    for (const auto& [own, peers] :
         {std::pair{never, always}, {always, never}, {automatic, automatic}, {automatic, always}}) {
        begin(own, peers);
        std::vector<std::byte> to(length);
        hosts->memory->add(to);
        for (std::size_t i = 0; i < 3; i++) EXPECT_EQ(put_one(to, i), 0U);
    }
}

// ---- what ends it -------------------------------------------------------------------------------------------------

// A call that has failed has its memory to itself, whatever was on its way there.
TEST_F(UcxPutsTest, TouchesNoMemoryOnceWithdrawn) {
    for (int turns = 0; turns < 12; turns++) {
        begin();
        std::vector<std::byte> to(length);
        hosts->memory->add(to);
        offer(to);
        move_offers();
        const auto from = bytes_of(length, 1);
        send(from);
        int left = turns;
        ASSERT_TRUE(hosts->move_until([&] { return left-- == 0; }));
        hosts->ranks[1]->withdraw();
        std::ranges::fill(to, std::byte{0xaa});
        for (int turn = 0; turn < 100; turn++) static_cast<void>(hosts->ranks[0]->progress());
        EXPECT_TRUE(std::ranges::all_of(to, [](std::byte b) { return b == std::byte{0xaa}; })) << turns;
        hosts->memory->end(to);
    }
}

// And the sender's memory is its own again when its call has failed. (UCX 1.13 would end a receiver that progressed
// then: to answer an emulated put it takes for granted that its sender lives.)
TEST_F(UcxPutsTest, APutThatIsUnderWayEndsWithItsSender) {
    begin();
    std::vector<std::byte> to(length);
    hosts->memory->add(to);
    offer(to);
    move_offers();
    const auto from = bytes_of(length, 1);
    send(from);
    EXPECT_FALSE(*hosts->ranks[0]->progress()) << "it cannot be done before the peer looks";
    const os::Deadline soon = os::Deadline::after_ms(5'000);
    hosts->ranks[0]->withdraw();
    EXPECT_FALSE(soon.passed());
    EXPECT_TRUE(*hosts->ranks[0]->progress());
}

TEST_F(UcxPutsTest, OneThatFailsNamesThePeerAndWhatWasPut) {
    begin();
    std::vector<std::byte> to(length);
    hosts->memory->add(to);
    offer(to);
    move_offers();
    const auto from = bytes_of(length, 1);
    send(from);
    EXPECT_FALSE(*hosts->ranks[0]->progress());
    hosts->ranks[1].reset();
    const auto moved = hosts->move_until([] { return false; });
    EXPECT_THAT(moved.error().message,
                AllOf(HasSubstr("rank 1 on host1"), HasSubstr("putting 16384 bytes into its memory failed")));
}

// ---- a peer that breaks the rules ---------------------------------------------------------------------------------

class PuttingImpostor : public Impostor {
protected:
    PuttingImpostor() : Impostor(UcxPuts::always) {}
    void SetUp() override {
        Impostor::SetUp();
        ASSERT_TRUE(introductions_->say_ready(1));
    }
    template <class T>
    static std::vector<std::byte> bytes_with(const T& head, std::size_t more = 0) {
        std::vector<std::byte> bytes(sizeof head + more);
        std::memcpy(bytes.data(), &head, sizeof head);
        return bytes;
    }
    MessageHead note(Note note, std::size_t bytes, std::uint16_t channel = 0) const {
        MessageHead head = head_;
        head.note = note;
        head.frame = {.kind = FrameKind::credit, .channel = channel, .length = static_cast<std::uint32_t>(bytes)};
        return head;
    }
    std::string verdict_of(Note what, const std::vector<std::byte>& bytes, std::uint16_t channel = 0) {
        return verdict(note(what, bytes.size(), channel), bytes);
    }
};

TEST_F(PuttingImpostor, PutsWhereNothingWasOffered) {
    head_.note = Note::put;
    head_.frame = {.kind = FrameKind::large, .signature = network_signature, .number = 1, .length = length};
    EXPECT_THAT(verdict(head_, 0), AllOf(HasSubstr("rank 0 on host0"), HasSubstr("nothing was offered")));
}
TEST_F(PuttingImpostor, PutsWithBytesOfAMessage) {
    head_.note = Note::put;
    head_.frame = {.kind = FrameKind::large, .signature = network_signature, .number = 1, .length = length};
    EXPECT_THAT(verdict(head_, length), HasSubstr("breaks the protocol"));
}
TEST_F(PuttingImpostor, TellsAPartOfAKey) {
    EXPECT_THAT(verdict_of(Note::key, std::vector<std::byte>(sizeof(WireKey))), HasSubstr("a part of a key"));
}
TEST_F(PuttingImpostor, TellsAKeyOfNoName) {
    EXPECT_THAT(verdict_of(Note::key, bytes_with(WireKey{{most_keys, 1}, 4096, 4096}, 9)),
                HasSubstr("a key of no name"));
}
TEST_F(PuttingImpostor, TellsAKeyOfMemoryThatWrapsAround) {
    EXPECT_THAT(verdict_of(Note::key, bytes_with(WireKey{{0, 1}, 4096, UINT64_MAX}, 9)), HasSubstr("of no memory"));
}
TEST_F(PuttingImpostor, OffersAPart) {
    EXPECT_THAT(verdict_of(Note::offers, std::vector<std::byte>(sizeof(Offer) + 1)), HasSubstr("one is a part"));
}
TEST_F(PuttingImpostor, OffersForNoChannel) {
    EXPECT_THAT(verdict_of(Note::offers, bytes_with(Offer{}), 40'000), HasSubstr("breaks the protocol"));
}
TEST_F(PuttingImpostor, OffersForWhatIsFarAway) {
    EXPECT_THAT(verdict_of(Note::offers, bytes_with(Offer{.length = length, .number = 1000})),
                HasSubstr("too far ahead"));
}
TEST_F(PuttingImpostor, OffersWithAKeyOfNoName) {
    EXPECT_THAT(verdict_of(Note::offers, bytes_with(Offer{.key = {most_keys, 1}, .length = length, .number = 1})),
                HasSubstr("an offer whose key has no name"));
}
TEST_F(PuttingImpostor, OffersWhatTheKeyIsNotOf) {
    std::vector<std::byte> memory(length);
    const auto mapped = map_memory(worker_->context(), memory);
    ASSERT_TRUE(mapped) << mapped.error().message;
    const auto first = reinterpret_cast<std::uintptr_t>(memory.data());
    auto key = bytes_with(WireKey{{0, 1}, first, length}, mapped->key.size());
    std::ranges::copy(mapped->key, key.begin() + sizeof(WireKey));
    say(note(Note::key, key.size()), key);
    EXPECT_THAT(verdict_of(Note::offers, bytes_with(Offer{.address = first + 1, .key = {0, 1}, .length = length,
                                                          .number = 1})),
                HasSubstr("outside of the memory that its key is of"));
}

}  // namespace
}  // namespace tenon::ucx
