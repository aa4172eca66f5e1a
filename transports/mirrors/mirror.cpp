#include "transports/mirrors/mirror.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr Row rows[] = {Row::medium, Row::large};

std::size_t index(Row row) { return static_cast<std::size_t>(row); }

std::unexpected<Error> broken(std::string_view what) {
    return fail(Status::remote_error, "sent what breaks the protocol: " + std::string{what});
}

// Of so many whole lines: without zero words at the end, but with enough to tell how many lines there are.
std::size_t length_to_send(const Mirror::PackedRoom& lines, std::size_t length) {
    const std::size_t of_others = length - sizeof(PackedLine::data);
    const std::size_t least = of_others == 0 ? 0 : of_others + frame_grain;
    while (length != least) {
        std::uint64_t last = 0;
        std::memcpy(&last, lines.data() + length - frame_grain, sizeof last);
        if (last != 0) break;
        length -= frame_grain;
    }
    return length;
}

}  // namespace

Mirror::Mirror(const RingShape& shape, std::uint16_t channel, std::span<std::byte> memory)
    : shape_(shape),
      channel_(channel),
      outgoing_(memory.data()),
      incoming_(memory.data() + shape.bytes()),
      peer_taken_(reinterpret_cast<Taken*>(outgoing_ + shape.taken_offset())),
      own_taken_(reinterpret_cast<const Taken*>(incoming_ + shape.taken_offset())),
      out_(outgoing_, shape, {peer_taken_, 1}),
      in_(incoming_, shape, reinterpret_cast<Taken*>(incoming_ + shape.taken_offset())),
      arrivals_(incoming_, shape, {own_taken_, 1}) {
    out_.pair_with(in_);
}

// The rank's own thread has written whatever is there, so a message that has begun is whole.
std::optional<Mirror::Outgoing> Mirror::next_outgoing(PackedRoom& room) {
    if (auto packed = next_packed(room)) return packed;
    for (const Row row : rows)
        if (auto bulk = next_bulk(row)) return bulk;
    return next_credit();
}

std::optional<Mirror::Outgoing> Mirror::next_credit() {
    if (!credits_are_due()) return std::nullopt;
    return Outgoing{head_of(FrameKind::credit, 0, 0), nullptr};
}

// A line that has been forwarded is zeros again, so that what a message does not use of its last line are zeros.
std::optional<Mirror::Outgoing> Mirror::next_packed(PackedRoom& room) {
    auto* lines = reinterpret_cast<PackedLine*>(outgoing_);
    std::size_t length = 0;
    std::uint64_t word = 0;
    for (;;) {
        PackedLine& line = lines[packed_forwarded_ & (shape_.lines - 1)];
        if (!is_next(line.word) || length == packed_bytes) break;
        word = line.word;
        std::memcpy(room.data() + length, line.data, sizeof line.data);
        std::memset(line.data, 0, sizeof line.data);
        length += sizeof line.data;
        packed_forwarded_++;
    }
    if (length == 0) return std::nullopt;
    return Outgoing{head_of(FrameKind::packed, word, length_to_send(room, length)), room.data()};
}

const Header& Mirror::next_header(Row row) const {
    const auto* headers = reinterpret_cast<const Header*>(outgoing_ + shape_.headers_offset(row));
    return headers[bulk_forwarded_[index(row)] & (shape_.slots_of(row) - 1)];
}

std::optional<Mirror::Outgoing> Mirror::next_bulk(Row row) {
    const Header& header = next_header(row);
    if (!is_next(header.word)) return std::nullopt;
    TENON_ASSERT(header.form == MessageForm::staged || header.form == MessageForm::carried,
                 "the peer shares no memory in which anything could be exposed or put");
    const bool is_carried = header.form == MessageForm::carried;
    const std::byte* bytes = is_carried
                                 ? reinterpret_cast<const std::byte*>(static_cast<std::uintptr_t>(header.address))
                                 : outgoing_ + shape_.payload_offset(row) + header.address;
    const std::uint64_t first = row == Row::medium ? 0 : shape_.area_of(Row::medium);
    const std::uint64_t place = bulk_forwarded_[index(row)]++;
    // What the rank has taken, which it believes to have told with this header.
    for (const Row r : rows) known_[1 + index(r)] = std::max(known_[1 + index(r)], header.taken[index(r)]);
    const bool is_striped = row == Row::large && stripes_;
    const FrameKind kind = row == Row::medium ? FrameKind::medium : is_striped ? FrameKind::striped : FrameKind::large;
    FrameHead head = head_of(kind, header.word, header.length);
    if (is_striped) head.taken[0] = place;
    return Outgoing{head, bytes, is_carried, first + (is_carried ? header.result : header.address)};
}

bool Mirror::has_message() const {
    const auto* lines = reinterpret_cast<const PackedLine*>(outgoing_);
    return is_next(lines[packed_forwarded_ & (shape_.lines - 1)].word) || is_next(next_header(Row::medium).word) ||
           is_next(next_header(Row::large).word);
}

// With all that has been taken, as far as it is known.
FrameHead Mirror::head_of(FrameKind kind, std::uint64_t word, std::size_t length) {
    known_[0] = std::max(known_[0], own_taken_->packed);
    for (const Row row : rows)
        known_[1 + index(row)] = std::max(known_[1 + index(row)], own_taken_->bulk[index(row)]);
    arrivals_.learn({known_[1], known_[2]});
    FrameHead head{.kind = kind, .channel = channel_, .length = static_cast<std::uint32_t>(length)};
    std::ranges::copy(known_, head.taken);
    // The way of a striped message may be a slow one: what it tells is told again by another.
    if (kind != FrameKind::striped) std::ranges::copy(known_, told_);
    if (kind == FrameKind::credit) return head;
    head.signature = static_cast<std::uint32_t>(word);
    head.number = ++number_;
    return head;
}

bool Mirror::credits_are_due() const {
    return std::max(known_[0], own_taken_->packed) > told_[0] ||
           std::max(known_[1], own_taken_->bulk[0]) > told_[1] || std::max(known_[2], own_taken_->bulk[1]) > told_[2];
}

Result<void> Mirror::take_credits(const FrameHead& head) {
    const std::uint64_t sent[3] = {packed_forwarded_, bulk_forwarded_[0], bulk_forwarded_[1]};
    std::uint64_t* const known[3] = {&peer_taken_->packed, &peer_taken_->bulk[0], &peer_taken_->bulk[1]};
    for (std::size_t i = head.kind == FrameKind::striped ? 1 : 0; i < 3; i++) {
        if (head.taken[i] > sent[i]) return broken("it took more messages than were sent");
        store_release(*known[i], std::max(*known[i], head.taken[i]));
    }
    return {};
}

Result<std::byte*> Mirror::begin_incoming(const FrameHead& head) {
    if (auto taken = take_credits(head); !taken) return std::unexpected(taken.error());
    if (head.kind == FrameKind::credit) {
        if (head.length != 0) return broken("a credit with bytes");
        return nullptr;
    }
    if (auto taken = take_number(head); !taken) return std::unexpected(taken.error());
    if (head.kind == FrameKind::packed) {
        if (head.length > packed_bytes || head.length % frame_grain != 0)
            return broken("a packed message of a wrong length");
        if (!arrivals_.may_send_packed(head.length)) return broken("more messages than there is room for");
        return arriving_.data();
    }
    if (head.kind == FrameKind::large && numbers_) return broken("a large message that is not striped");
    const Row row = head.kind == FrameKind::medium ? Row::medium : Row::large;
    if (head.length <= packed_bytes || head.length > shape_.slot_bytes || shape_.row_of(head.length) != row)
        return broken("a message of a wrong length");
    if (!arrivals_.may_send_bulk(row)) return broken("more messages than there is room for");
    const Offer* offer = arrivals_.offer(head.signature);
    is_put_ = offer != nullptr && offer->form == MessageForm::carried && offer->length == head.length;
    if (is_put_) return reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(offer->address));
    return arrivals_.payload(row, head.length);
}

// Small messages come by one way, and so in their order.
Result<void> Mirror::take_number(const FrameHead& head) {
    if (!numbers_) {
        if (head.number == static_cast<std::uint32_t>(arrivals_.next_number())) return {};
        return broken("a message out of order");
    }
    const auto number = numbers_->take(head.number);
    if (!number || *number <= last_small_) return broken("a message out of order");
    last_small_ = *number;
    arrivals_.continue_at(*number);
    return {};
}

void Mirror::expect_stripes() {
    if (numbers_) return;
    numbers_.emplace(arrivals_.next_number());
    last_small_ = arrivals_.next_number() - 1;
}

Result<Mirror::Stripe> Mirror::begin_striped(const FrameHead& head) {
    if (auto taken = take_credits(head); !taken) return std::unexpected(taken.error());
    if (!numbers_) return broken("a striped message before it said that it would stripe");
    if (head.length <= packed_bytes || head.length > shape_.slot_bytes || shape_.row_of(head.length) != Row::large)
        return broken("a message of a wrong length");
    const auto number = numbers_->take(head.number);
    if (!number) return broken("a message out of order");
    if (auto taken = take_stripe_place(head, *number); !taken) return std::unexpected(taken.error());
    arrivals_.continue_at(*number);
    const Offer* offer = arrivals_.offer(head.signature);
    if (offer != nullptr && offer->form == MessageForm::carried && offer->length == head.length)
        return Stripe{reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(offer->address)), *number, true};
    const std::uint64_t cell = head.taken[0] % shape_.slots * shape_.slot_bytes;
    return Stripe{incoming_ + shape_.payload_offset(Row::large) + cell, *number, false};
}

// Each message has the row's cell that follows from its place in the row: free when the rank has taken the one before
// it there, as the peer has been told. Numbers and places grow together.
Result<void> Mirror::take_stripe_place(const FrameHead& head, std::uint64_t number) {
    const std::uint64_t place = head.taken[0];
    // What may be sent follows from what the rank has taken, wherever in the row the last one was.
    arrivals_.continue_at(number, Row::large, place);
    Begun& begun = begun_[place % shape_.slots];
    if (!arrivals_.may_send_bulk(Row::large) || begun.place > place)
        return broken("more messages than there is room for");
    for (const Begun& other : begun_)
        if (other.place != 0 && (other.place <= place) != (other.number < number))
            return broken("a message out of order");
    begun = {place + 1, number};
    return {};
}

void Mirror::end_striped(const FrameHead& head, const Stripe& stripe) {
    const std::uint64_t place = head.taken[0];
    arrivals_.continue_at(stripe.number, Row::large, place);
    if (stripe.is_put) return arrivals_.send_header(Row::large, MessageForm::put, head.length, 0, head.signature);
    const std::uint64_t cell = place % shape_.slots * shape_.slot_bytes;
    arrivals_.send_header(Row::large, MessageForm::staged, head.length, cell, head.signature);
}

void Mirror::end_incoming(const FrameHead& head) {
    if (head.kind == FrameKind::credit) return;
    // Striped messages may have begun and ended since it began.
    if (numbers_) arrivals_.continue_at(last_small_);
    if (head.kind == FrameKind::packed) {
        const std::size_t whole_lines = lines_of(head.length) * sizeof(PackedLine::data);
        std::fill(arriving_.begin() + head.length, arriving_.begin() + static_cast<std::ptrdiff_t>(whole_lines),
                  std::byte{});
        return arrivals_.send_packed(arriving_.data(), whole_lines, head.signature);
    }
    const Row row = head.kind == FrameKind::medium ? Row::medium : Row::large;
    if (is_put_) return arrivals_.send_header(row, MessageForm::put, head.length, 0, head.signature);
    arrivals_.send_staged(row, head.length, head.signature);
}

Result<void> Mirror::take_placed(const FrameHead& head, std::uint64_t offset) {
    if (head.kind != FrameKind::medium && head.kind != FrameKind::large)
        return broken("a message of no bulk row that is said to be in one");
    if (auto place = begin_incoming(head); !place) return std::unexpected(place.error());
    const Row row = head.kind == FrameKind::medium ? Row::medium : Row::large;
    const std::uint64_t first = row == Row::medium ? 0 : shape_.area_of(Row::medium);
    if (offset < first || offset - first > shape_.area_of(row) - head.length)
        return broken("a message that lies outside its row");
    arrivals_.send_header(row, MessageForm::staged, head.length, offset - first, head.signature);
    return {};
}

// In the order of their numbers, and none again.
std::optional<Mirror::Offered> Mirror::next_offer() {
    const auto* offers = reinterpret_cast<const Offer*>(incoming_ + shape_.offers_offset());
    const std::uint64_t first = arrivals_.next_number(), mask = shape_.slots - 1;
    for (std::uint64_t i = std::max(next_offer_, first); i < first + shape_.slots; i++) {
        const Offer& offer = offers[i & mask];
        const auto number = static_cast<std::uint32_t>(i);
        if (offer.word >> 32 != number || offer.form != MessageForm::carried) continue;
        offers_told_.resize(shape_.slots);
        offers_told_[i & mask] = number;
        next_offer_ = i + 1;
        return Offered{number, static_cast<std::uint32_t>(offer.word),
                       reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(offer.address)), offer.length};
    }
    offers_seen_ = in_.offers_made();
    return std::nullopt;
}

Result<void> Mirror::take_put(const FrameHead& head) {
    const bool is_bulk = head.kind == FrameKind::medium || head.kind == FrameKind::large;
    const bool is_told =
        is_bulk && !offers_told_.empty() && offers_told_[head.number & (shape_.slots - 1)] == head.number;
    if (is_told)
        if (auto place = begin_incoming(head); !place) return std::unexpected(place.error());
    if (!is_told || !is_put_) return broken("a message that was put where nothing was offered");
    end_incoming(head);
    return {};
}

}  // namespace tenon
