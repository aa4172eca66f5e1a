// Memory of the program that the network RDMA knows: what is written straight from it and straight to it, and what ends
// that; over a fake for libibverbs.
#include <gmock/gmock.h>

#include "tests/unit/rdma_fabric.hpp"

namespace tenon::rdma {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t length = 16 << 10;

class RdmaZeroCopy : public Rdma {
protected:
    // So that what is counted afterwards is the program's memory.
    void begin(std::uint64_t registered_cap = 64 << 20) {
        make_acquainted(registered_cap);
        registered_before = fabric.registered();
        fabric.writes.clear();
    }
    std::size_t registered() const { return fabric.registered() - registered_before; }
    // As the executor would; true where the bytes are written from where they lie.
    bool send(std::vector<std::byte>& bytes) {
        SendEnd& out = hosts->send_end(0, 1);
        const auto has_credit = hosts->move_until([&] { return out.may_send_bulk(Row::large); });
        EXPECT_TRUE(has_credit) << has_credit.error().message;
        const auto exposed = hosts->ranks[0]->connection(1).expose(bytes.data(), bytes.size());
        if (!exposed) {
            EXPECT_TRUE(try_send(out, bytes));
            return false;
        }
        out.send_carried(Row::large, bytes.size(), exposed->address, network_signature);
        return true;
    }
    bool offer(std::vector<std::byte>& bytes, std::uint64_t ahead = 0) {
        ReceiveEnd& in = hosts->receive_end(1, 0);
        const auto place = hosts->ranks[1]->connection(0).expose(bytes.data(), bytes.size());
        if (place) in.offer(in.next_number() + ahead, place->form, place->address, bytes.size(), network_signature);
        return place.has_value();
    }
    void move_offers() {
        ASSERT_TRUE(hosts->ranks[1]->progress());
        ASSERT_TRUE(hosts->ranks[0]->progress());
    }
    // How the next message has come, its bytes in `to` in any case.
    MessageForm receive(std::vector<std::byte>& to) {
        ReceiveEnd& in = hosts->receive_end(1, 0);
        const auto is_here = [&] { return in.bulk_arrival(Row::large, network_signature) == Arrival::here; };
        const auto moved = hosts->move_until(is_here);
        EXPECT_TRUE(moved) << moved.error().message;
        const MessageForm form = in.header(Row::large).form;
        if (form == MessageForm::staged) std::copy_n(in.payload(Row::large), to.size(), to.begin());
        in.release_bulk(Row::large, false);
        return form;
    }
    std::size_t registered_before = 0;
};

// So that what tenon-perf times as a registration is one, and the first message does not wait for it.
TEST_F(RdmaZeroCopy, IsRegisteredWhenItIsGivenNotWithTheFirstMessage) {
    begin();
    auto from = bytes_of(length, 5);
    for (std::size_t i = 0; i < 3; i++) {
        const std::size_t made = fabric.registrations_made;
        hosts->memory->add(from);
        EXPECT_TRUE(hosts->ranks[0]->prepare(from));
        EXPECT_EQ(fabric.registrations_made, made + 1);
        EXPECT_TRUE(send(from));
        std::vector<std::byte> to(length);
        receive(to);
        EXPECT_EQ(to, from);
        EXPECT_EQ(fabric.registrations_made, made + 1);
        hosts->memory->end(from);
        EXPECT_EQ(registered(), 0U);
    }
    EXPECT_FALSE(hosts->ranks[0]->prepare(from)) << "it is known no longer";
}

TEST_F(RdmaZeroCopy, WritesFromTheSendersMemoryToTheReceivers) {
    begin();
    std::vector<std::byte> to(length);
    auto from = bytes_of(length, 5);
    hosts->memory->add(from);
    hosts->memory->add(to);
    EXPECT_TRUE(offer(to));
    move_offers();
    EXPECT_TRUE(send(from));
    EXPECT_EQ(receive(to), MessageForm::put);
    EXPECT_EQ(to, from);
    ASSERT_THAT(fabric.writes, SizeIs(1));
    EXPECT_EQ(fabric.writes[0].from, from.data());
    EXPECT_EQ(fabric.writes[0].to, to.data());
    EXPECT_TRUE(*hosts->ranks[0]->progress()) << "the sender's memory is its own again";
}

// But for what else is news: here what rank 0 has taken of rank 1.
TEST_F(RdmaZeroCopy, AMessageThatWasOfferedIsToldByItsWriteAlone) {
    begin();
    std::vector<std::byte> to(length);
    auto from = bytes_of(length, 5);
    hosts->memory->add(from);
    hosts->memory->add(to);
    const auto put = [&] {
        EXPECT_TRUE(offer(to));
        move_offers();
        const std::size_t sends = fabric.sends, told_by_writes = fabric.immediates;
        EXPECT_TRUE(send(from));
        EXPECT_EQ(receive(to), MessageForm::put);
        EXPECT_EQ(to, from);
        EXPECT_EQ(fabric.sends - sends, 1 - (fabric.immediates - told_by_writes)) << "one or the other";
        return fabric.immediates - told_by_writes;
    };
    EXPECT_EQ(put(), 1U);
    EXPECT_EQ(put(), 1U);
    ASSERT_TRUE(try_send(hosts->send_end(1, 0), bytes_of(length, 1)));
    ASSERT_TRUE(hosts->move_until([&] { return try_receive(hosts->receive_end(0, 1), length).has_value(); }));
    EXPECT_EQ(put(), 0U);
    EXPECT_EQ(put(), 1U);
}

TEST_F(RdmaZeroCopy, SoAreMoreThanThePeerHasReceivesFor) {
    begin();
    std::vector<std::byte> to(length);
    hosts->memory->add(to);
    constexpr std::size_t messages = 500;
    for (std::size_t i = 0; i < messages; i++) {
        const auto from = bytes_of(length, i);
        EXPECT_TRUE(offer(to));
        move_offers();
        ASSERT_TRUE(hosts->move_until([&] { return try_send(hosts->send_end(0, 1), from); }));
        EXPECT_EQ(receive(to), MessageForm::put);
        ASSERT_EQ(to, from);
    }
    EXPECT_GT(fabric.immediates, messages / 2);
}

TEST_F(RdmaZeroCopy, OneSideAloneSavesItsOwnCopy) {
    begin();
    std::vector<std::byte> known(length), unknown(length);
    auto known_from = bytes_of(length, 1), unknown_from = bytes_of(length, 2);
    hosts->memory->add(known);
    hosts->memory->add(known_from);
    EXPECT_FALSE(offer(unknown));
    move_offers();
    EXPECT_TRUE(send(known_from));
    EXPECT_EQ(receive(unknown), MessageForm::staged);
    EXPECT_EQ(unknown, known_from);
    EXPECT_TRUE(offer(known));
    move_offers();
    EXPECT_FALSE(send(unknown_from));
    EXPECT_EQ(receive(known), MessageForm::put);
    EXPECT_EQ(known, unknown_from);
    ASSERT_THAT(fabric.writes, SizeIs(2));
    EXPECT_EQ(fabric.writes[0].from, known_from.data());
    EXPECT_NE(fabric.writes[1].from, unknown_from.data());
    EXPECT_EQ(fabric.writes[1].to, known.data());
}

TEST_F(RdmaZeroCopy, NobodyWaitsForAnOffer) {
    begin();
    std::vector<std::byte> to(length);
    auto from = bytes_of(length, 4);
    hosts->memory->add(from);
    hosts->memory->add(to);
    EXPECT_TRUE(send(from));
    ASSERT_TRUE(hosts->ranks[0]->progress());
    EXPECT_TRUE(offer(to)) << "for a message that has been sent";
    EXPECT_EQ(receive(to), MessageForm::staged);
    EXPECT_EQ(to, from);
    move_offers();
    EXPECT_TRUE(send(from));
    EXPECT_EQ(receive(to), MessageForm::staged) << "and it is not used for another";
}

// Carried messages keep their places in the ring, among those that are staged.
TEST_F(RdmaZeroCopy, StagedAndCarriedMessagesShareTheRing) {
    begin();
    std::vector<std::byte> to(length);
    auto known = bytes_of(length, 0);
    hosts->memory->add(known);
    for (std::size_t i = 0; i < 40; i++) {
        std::vector<std::vector<std::byte>> sent;
        for (std::size_t k = 0; k < 3; k++) {
            sent.push_back((i + k) % 2 == 0 ? known : bytes_of(length - 100 * (i % 5), i + k));
            EXPECT_EQ(send((i + k) % 2 == 0 ? known : sent.back()), (i + k) % 2 == 0);
        }
        for (const auto& expected : sent) {
            to.resize(expected.size());
            EXPECT_EQ(receive(to), MessageForm::staged);
            ASSERT_EQ(to, expected);
        }
    }
}

TEST_F(RdmaZeroCopy, SmallMessagesAreCopied) {
    begin();
    auto from = bytes_of(length - 1, 0);
    hosts->memory->add(from);
    EXPECT_FALSE(send(from));
    EXPECT_EQ(registered(), 0U);
}

TEST_F(RdmaZeroCopy, ARangeIsRegisteredOnceUntilItEnds) {
    begin();
    auto all = bytes_of(4 * length, 0);
    hosts->memory->add(all);
    Connection& to = hosts->ranks[0]->connection(1);
    EXPECT_TRUE(to.expose(all.data() + length, length));
    EXPECT_TRUE(to.expose(all.data(), 4 * length));
    EXPECT_FALSE(to.expose(all.data() + length, 4 * length)) << "not all of it is known";
    EXPECT_EQ(registered(), 1U);
    hosts->memory->end(all);
    EXPECT_EQ(registered(), 0U) << "at once, so that what is freed is free";
    EXPECT_FALSE(to.expose(all.data(), length));
}

TEST_F(RdmaZeroCopy, TheSameAddressAfterAnEndIsOtherMemory) {
    begin();
    std::vector<std::byte> to(length);
    auto from = bytes_of(length, 1);
    for (std::size_t i = 0; i < 3; i++) {
        hosts->memory->add(from);
        EXPECT_TRUE(send(from));
        EXPECT_EQ(receive(to), MessageForm::staged);
        EXPECT_EQ(to, from);
        EXPECT_EQ(fabric.registrations_made, fabric.registered() + i) << "each time anew";
        hosts->memory->end(from);
        EXPECT_FALSE(send(from)) << "nobody knows it";
        EXPECT_EQ(receive(to), MessageForm::staged);
    }
}

TEST_F(RdmaZeroCopy, BeyondItsBoundTheRangeUsedLongestAgoGoes) {
    begin(2 * length);
    auto a = bytes_of(length, 1), b = bytes_of(length, 2), c = bytes_of(length, 3), large = bytes_of(3 * length, 4);
    for (auto* range : {&a, &b, &c, &large}) hosts->memory->add(*range);
    Connection& to = hosts->ranks[0]->connection(1);
    EXPECT_TRUE(to.expose(a.data(), length));
    EXPECT_TRUE(to.expose(b.data(), length));
    EXPECT_TRUE(to.expose(a.data(), length));
    EXPECT_TRUE(to.expose(c.data(), length)) << "instead of b";
    EXPECT_EQ(registered(), 2U);
    const auto made = fabric.registrations_made;
    EXPECT_TRUE(to.expose(a.data(), length));
    EXPECT_EQ(fabric.registrations_made, made) << "a is still there";
    EXPECT_FALSE(to.expose(large.data(), length)) << "more than there may be in all";
    EXPECT_EQ(registered(), 2U);
}

TEST_F(RdmaZeroCopy, WhatIsInUseStaysBeyondTheBound) {
    begin(length);
    std::vector<std::byte> offered(length), other(length);
    auto from = bytes_of(length, 1);
    hosts->memory->add(offered);
    hosts->memory->add(other);
    EXPECT_TRUE(offer(offered));
    move_offers();
    EXPECT_FALSE(offer(other, 1)) << "the peer may still write into the other";
    EXPECT_FALSE(send(from));
    EXPECT_EQ(receive(offered), MessageForm::put);
    EXPECT_EQ(offered, from);
    EXPECT_TRUE(offer(other));
}

// Between the executor's look and the write.
TEST_F(RdmaZeroCopy, WhatIsNoLongerRegisteredIsCopied) {
    begin(length);
    std::vector<std::byte> to(length), other(length);
    auto from = bytes_of(length, 6);
    hosts->memory->add(from);
    hosts->memory->add(other);
    EXPECT_TRUE(send(from));
    EXPECT_TRUE(hosts->ranks[0]->connection(1).expose(other.data(), length));
    fabric.refused["reg_mr"] = ENOMEM;
    testing::internal::CaptureStderr();
    EXPECT_EQ(receive(to), MessageForm::staged);
    EXPECT_EQ(to, from);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("large messages there are copied"));
}

TEST_F(RdmaZeroCopy, WhatCannotBeRegisteredIsCopiedAndLoggedOnce) {
    begin();
    std::vector<std::byte> to(length);
    auto a = bytes_of(length, 1), b = bytes_of(length, 2);
    hosts->memory->add(a);
    hosts->memory->add(b);
    fabric.refused["reg_mr"] = ENOMEM;
    testing::internal::CaptureStderr();
    EXPECT_FALSE(send(a));
    EXPECT_THAT(testing::internal::GetCapturedStderr(), AllOf(HasSubstr("fake0"), HasSubstr("16384 bytes")));
    testing::internal::CaptureStderr();
    EXPECT_FALSE(send(b));
    EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());
    for (const auto* sent : {&a, &b}) {
        EXPECT_EQ(receive(to), MessageForm::staged);
        EXPECT_EQ(to, *sent);
    }
}

TEST_F(RdmaZeroCopy, AfterAFailedCallNothingIsWrittenAnyMore) {
    begin();
    std::vector<std::byte> to(length);
    auto from = bytes_of(length, 1);
    hosts->memory->add(from);
    hosts->memory->add(to);
    EXPECT_TRUE(offer(to));
    move_offers();
    hosts->ranks[1]->withdraw();
    EXPECT_TRUE(send(from));
    EXPECT_FALSE(hosts->move_until([] { return false; }));
    EXPECT_EQ(to, std::vector<std::byte>(length)) << "as it was";
    EXPECT_THAT(fabric.writes, IsEmpty());
    EXPECT_FALSE(hosts->ranks[1]->progress());
}

// ---- a peer that breaks the rules ---------------------------------------------------------------------------------

class RdmaOfferImpostor : public RdmaZeroCopy {
protected:
    // What rank 0 says to it, as if from rank 1.
    std::string error_of(const WireHead& head, std::span<const std::byte> more = {}) {
        if (!hosts) make_acquainted();
        std::vector<std::byte> bytes(sizeof head + more.size());
        std::memcpy(bytes.data(), &head, sizeof head);
        std::ranges::copy(more, bytes.begin() + sizeof head);
        fabric.deliver(fabric.pairs().front(), bytes);
        return error_of_moving();
    }
};
const FrameHead put{.kind = FrameKind::large, .signature = network_signature, .number = 2, .length = length};

TEST_F(RdmaOfferImpostor, PutsWhereNothingWasOffered) {
    EXPECT_THAT(error_of({.note = Note::frame, .frame = put, .place = put_place}), HasSubstr("nothing was offered"));
}
TEST_F(RdmaOfferImpostor, PutsWhatWasOfferedForAnother) {
    make_acquainted();
    std::vector<std::byte> to(length);
    hosts->memory->add(to);
    ReceiveEnd& in = hosts->receive_end(0, 1);
    const auto place = hosts->ranks[0]->connection(1).expose(to.data(), length);
    ASSERT_TRUE(place);
    in.offer(in.next_number(), place->form, place->address, length, network_signature + 1);
    ASSERT_TRUE(hosts->ranks[0]->progress());
    EXPECT_THAT(error_of({.note = Note::frame, .frame = put, .place = put_place}), HasSubstr("nothing was offered"));
}
TEST_F(RdmaOfferImpostor, PutsByAWriteWhereNothingWasOffered) {
    for (const FrameHead& frame : {put, FrameHead{.kind = FrameKind::medium, .channel = 31, .number = 2},
                                   FrameHead{.kind = FrameKind::large, .channel = 0x7fff, .number = 2}}) {
        SCOPED_TRACE(frame.channel);
        make_acquainted();
        fabric.deliver_immediate(fabric.pairs().front(), write_immediate(frame));
        EXPECT_THAT(error_of_moving(), HasSubstr("nothing was offered"));
        hosts.reset();
    }
}
// Its number, its row.
TEST_F(RdmaOfferImpostor, PutsByAWriteWhatWasOfferedForAnother) {
    for (const FrameHead& frame : {FrameHead{.kind = FrameKind::large, .number = put.number + 1},
                                   FrameHead{.kind = FrameKind::medium, .number = put.number}}) {
        SCOPED_TRACE(frame.number);
        make_acquainted();
        std::vector<std::byte> to(length);
        hosts->memory->add(to);
        ReceiveEnd& in = hosts->receive_end(0, 1);
        const auto place = hosts->ranks[0]->connection(1).expose(to.data(), length);
        ASSERT_TRUE(place);
        in.offer(in.next_number(), place->form, place->address, length, network_signature);
        ASSERT_EQ(static_cast<std::uint32_t>(in.next_number()), put.number);
        ASSERT_TRUE(hosts->ranks[0]->progress());
        fabric.deliver_immediate(fabric.pairs().front(), write_immediate(frame));
        EXPECT_THAT(error_of_moving(), HasSubstr("sent what breaks the protocol"));
        hosts.reset();
    }
}
TEST_F(RdmaOfferImpostor, OffersAPart) {
    EXPECT_THAT(error_of({.note = Note::offers}, bytes_of(sizeof(WireOffer) + 1, 0)),
                HasSubstr("offers of which one is a part"));
}
TEST_F(RdmaOfferImpostor, OffersForNoChannel) {
    EXPECT_THAT(error_of({.note = Note::offers, .channel = 999}, bytes_of(sizeof(WireOffer), 0)),
                HasSubstr("offers of no channel"));
}
TEST_F(RdmaOfferImpostor, OffersForWhatIsFarAway) {
    const WireOffer offer{.length = length, .number = 1000, .signature = network_signature};
    EXPECT_THAT(error_of({.note = Note::offers}, std::as_bytes(std::span{&offer, 1})), HasSubstr("too far ahead"));
}

}  // namespace
}  // namespace tenon::rdma
