// A channel to a peer that shares no memory: both of its rings, in this process's own memory, and between them and the
// wire. The executor works on the ends as if the peer did the same with their other sides; a Mirror takes out of the
// one ring what the rank has sent, and puts into the other what has come, as the peer's ends would.
//
// Credits are the peer's: a slot of the outgoing ring is free when the peer's rank has taken the message out of its
// ring. So both rings have the same room, what arrives always fits, and nothing can hold up another channel.
//
// For the rank's thread. What arrives is checked: a peer that breaks the rules is an error, never a wild write.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tenon/plugin/slots.hpp"
#include "tenon/plugin/types.hpp"
#include "transports/mirrors/frame.hpp"
#include "transports/mirrors/number_window.hpp"

namespace tenon {

class Mirror {
public:
    // In memory of zeros for two rings, which must outlive it.
    Mirror(const RingShape& shape, std::uint16_t channel, std::span<std::byte> memory);
    Mirror(const Mirror&) = delete;
    std::uint16_t channel() const { return channel_; }
    SendEnd& send_end() { return out_; }
    ReceiveEnd& receive_end() { return in_; }

    // The next thing to be sent: a message, whose bytes stay where they are until the peer has taken it or the call
    // ends (those of a packed one are put into `room`), or else credits that are due.
    struct Outgoing {
        FrameHead head;
        const std::byte* bytes;
        // Of a bulk message: whether they lie in the rank's own memory, not in the ring; and the place that is the
        // message's own in the payloads of both rings, from their start.
        bool is_carried = false;
        std::uint64_t place = 0;
    };
    using PackedRoom = std::array<std::byte, packed_bytes>;
    std::optional<Outgoing> next_outgoing(PackedRoom& room);

    // A frame has begun to arrive: where its `head.length` bytes go.
    Result<std::byte*> begin_incoming(const FrameHead& head);
    // They are all there.
    void end_incoming(const FrameHead& head);

    // For networks whose peers write into this process's memory themselves: the payloads of both rings, at the same
    // places on both sides. What the sender has staged may be put at its own place in the receiver's ring, since there
    // it is free, too.
    std::span<std::byte> outgoing_payloads() const { return payloads(outgoing_); }
    std::span<std::byte> incoming_payloads() const { return payloads(incoming_); }
    // A bulk message whose bytes are already `offset` bytes from the start of the incoming payloads.
    Result<void> take_placed(const FrameHead& head, std::uint64_t offset);
    // What the rank has offered and no call has returned yet, for the peer to be told.
    struct Offered {
        std::uint32_t number, signature;  // of the message
        std::byte* address;
        std::uint32_t length;
    };
    bool has_offers() const { return in_.offers_made() != offers_seen_; }
    std::optional<Offered> next_offer();
    // A bulk message whose bytes are already where the rank has offered, which must have been told.
    Result<void> take_put(const FrameHead& head);
    // Of the last message that next_outgoing() has returned, and how many offers are made beyond it, at most.
    std::uint32_t forwarded() const { return number_; }
    std::uint64_t offer_count() const { return in_.offer_count(); }

    // For networks that carry large messages by several ways, whichever is free: they may overtake others. The ring is
    // where they are put in order again, since a reader looks for each message's number in the place that is next in
    // its row. From then on all large messages that leave are such.
    void stripe_outgoing() { stripes_ = true; }
    // Is the next thing to be sent a large message?
    bool is_large_next() const { return is_next(next_header(Row::large).word); }
    // The credits that are due, ahead of messages that wait.
    std::optional<Outgoing> next_credit();
    // The peer stripes: from then on what comes may do so in any order (of small messages, in their own).
    void expect_stripes();
    // As begin_incoming() and end_incoming(), for several at a time.
    struct Stripe {
        std::byte* to = nullptr;
        std::uint64_t number = 0;
        bool is_put = false;
    };
    Result<Stripe> begin_striped(const FrameHead& head);
    void end_striped(const FrameHead& head, const Stripe& stripe);

    // Would next_outgoing() return something, or a message?
    bool has_outgoing() const { return has_message() || credits_are_due(); }
    bool has_message() const;

private:
    std::optional<Outgoing> next_packed(PackedRoom& room);
    std::optional<Outgoing> next_bulk(Row row);
    bool is_next(std::uint64_t word) const {
        return word != 0 && static_cast<std::uint32_t>(word >> 32) == static_cast<std::uint32_t>(number_ + 1);
    }
    FrameHead head_of(FrameKind kind, std::uint64_t word, std::size_t length);
    bool credits_are_due() const;
    std::span<std::byte> payloads(std::byte* ring) const {
        return {ring + shape_.payload_offset(Row::medium), shape_.area_of(Row::medium) + shape_.area_of(Row::large)};
    }
    const Header& next_header(Row row) const;
    Result<void> take_credits(const FrameHead& head);
    Result<void> take_number(const FrameHead& head);
    Result<void> take_stripe_place(const FrameHead& head, std::uint64_t number);

    RingShape shape_;
    std::uint16_t channel_;
    std::byte* outgoing_;  // the two rings
    std::byte* incoming_;
    Taken* peer_taken_;        // of the outgoing ring, which the peer's frames tell
    const Taken* own_taken_;   // of the incoming ring, as the receiving end writes it
    SendEnd out_;
    ReceiveEnd in_;
    SendEnd arrivals_;  // the peer's part in the incoming ring
    std::uint64_t packed_forwarded_ = 0, bulk_forwarded_[2] = {};
    std::uint32_t number_ = 0;       // of the last message taken out of the outgoing ring
    std::uint64_t known_[3] = {};    // of what this rank has taken
    std::uint64_t told_[3] = {};     // to the peer, of that
    std::uint64_t offers_seen_ = 0, next_offer_ = 1;  // of the offers made; the message
    std::vector<std::uint32_t> offers_told_;          // the messages, each at its number's place
    bool is_put_ = false;            // the frame that arrives goes where the receiver offered
    PackedRoom arriving_;            // the packed message that does

    bool stripes_ = false;
    // Where the peer stripes: which numbers have come; the last of a small message; and, by cell of the large row, the
    // message that was begun there last, by its place in the row, from 1, and its number.
    struct Begun {
        std::uint64_t place = 0, number = 0;
    };
    std::optional<NumberWindow> numbers_;
    std::uint64_t last_small_ = 0;
    std::array<Begun, most_slots> begun_{};
};

}  // namespace tenon
