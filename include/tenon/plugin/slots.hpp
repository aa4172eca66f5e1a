// Slots: how messages travel. A *ring* is memory written by one rank and read by one other (or, a board, by all
// others); its two ends are a SendEnd and a ReceiveEnd. The executor works on ends directly, without a virtual call; a
// transport whose peers do not share memory fills and empties the same rings from its progress function.
//
// A message is one tile (or a whole small chunk). Both sides know its length from their plans. There are two forms:
//   packed   up to packed_bytes: cache lines of 56 bytes of data and the message's word, so that data and flag arrive
//            together; in lines that never hold anything else, so no user's data can pass for a word;
//   bulk     a header line with the word, and either a payload slot (staged) or the place where the sender's bytes lie
//            (exposed) or a note that they have been put where the receiver offered (put). There are two rows of them:
//            a few medium slots, used again and again, which stay in the nearest cache; and large messages behind each
//            other in an area that is larger than a near cache, if it may be: lines that have left the reader's cache
//            are written twice as fast as those that it still holds. Or they take the lowest free place, so that only
//            what is ever under way at once takes room in caches that many rings share (RingShape::reuses_lowest).
// The word is (message number on this ring << 32 | signature of the call). A reader that finds its number with another
// signature has found ranks that disagree.
//
// Credits: the reader tells what it has taken in the headers that it sends itself, and counts it in its own Taken line
// when half of a row is untold; the writer looks there only when the credits it knows of are used up. So where messages
// go to and fro no line travels for credits alone. An exposed message is acknowledged at once, unless what its sender
// waits for anyway says so.
// Offers run the other way: the reader says where message number m may be put, for the writer to look at when it gets
// to m; a writer that finds none stages or exposes.
//
// Ordering: data is written before its word with release, read after it with acquire. An end belongs to one thread at a
// time. Memory of zeros is a valid ring.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

namespace tenon {

inline constexpr std::size_t cache_line_bytes = 64;
struct alignas(cache_line_bytes) PackedLine {
    std::byte data[cache_line_bytes - 8];
    std::uint64_t word;
};
inline constexpr std::size_t packed_bytes = 10 * sizeof(PackedLine::data);  // half a KiB fits
inline constexpr std::uint64_t packed_lines = 128;  // of a ring, where it has not fewer; a power of two
inline constexpr std::uint64_t least_packed_lines = 32;  // two of the longest packed messages always fit
constexpr std::uint64_t lines_of(std::size_t length) {
    return length <= sizeof(PackedLine::data) ? 1 : (length + sizeof(PackedLine::data) - 1) / sizeof(PackedLine::data);
}

enum class MessageForm : std::uint32_t {
    staged = 1,   // at `address` bytes from the start of the row's payloads
    arena = 2,    // at `address` bytes from the start of the sender's shared arena
    process = 3,  // at `address` in the sender's process
    put = 4,      // already where the receiver offered
    carried = 5,  // at `address` in this process, between which and the peer the transport carries the bytes itself
};
// Does its sender wait until the reader has taken it?
constexpr bool is_exposed(MessageForm form) { return form == MessageForm::arena || form == MessageForm::process; }
struct alignas(cache_line_bytes) Header {
    std::uint64_t word;
    MessageForm form;
    std::uint32_t length;  // bytes
    std::uint64_t address;
    std::uint64_t taken[2];  // of the ring in the other direction, by row, as the sender of this message has taken
    // Of an exposed message, in the same form: where to store what is made of it, or no_result. Of a carried one: the
    // place that is kept for it in the row, should it have to be put there.
    std::uint64_t result;
};
inline constexpr std::uint64_t no_result = UINT64_MAX;
// What a reader offers for one message: the same forms (arena, process, carried).
using Offer = Header;

struct alignas(cache_line_bytes) Taken {
    std::uint64_t packed;
    std::uint64_t bulk[2];  // of the medium row and of the large one
};

inline constexpr std::uint64_t payload_grain = 256;
inline constexpr std::uint64_t most_slots = 16;  // of a row with cells

// The two rows of bulk messages, by the length of a message.
enum class Row : std::uint8_t { medium = 0, large = 1 };

// The memory of one ring with one reader; a board has a Taken line for each rank instead of one.
struct RingShape {
    std::uint64_t lines = packed_lines;  // of packed messages: a power of two, from least_packed_lines on
    std::uint64_t slots = 0;         // large messages that may be under way, a power of two
    std::uint64_t slot_bytes = 0;    // the longest of them
    std::uint64_t area_bytes = 0;    // where they lie: at least (slots + 1) * slot_bytes; of cells, one less
    std::uint64_t medium_slots = 0;  // a power of two
    std::uint64_t medium_bytes = 0;  // 0: the row has a header, but no message is for it
    std::uint64_t readers = 1;
    bool reuses_lowest = false;  // large messages lie in the lowest free one of `slots` cells, not behind each other
    std::uint64_t alignment = 4096;  // of the payloads and of the whole; at least a cache line

    std::uint64_t slots_of(Row row) const { return row == Row::medium ? medium_slots : slots; }
    Row row_of(std::size_t length) const { return length <= medium_bytes ? Row::medium : Row::large; }
    // What a row's payloads take, and what the place of each is a multiple of.
    std::uint64_t area_of(Row row) const { return row == Row::medium ? medium_slots * medium_bytes : area_bytes; }
    std::uint64_t grain_of(Row row) const { return row == Row::medium ? medium_bytes : payload_grain; }
    std::uint64_t headers_offset(Row row) const {
        return sizeof(PackedLine) * lines + (row == Row::medium ? 0 : sizeof(Header) * medium_slots);
    }
    std::uint64_t offers_offset() const { return headers_offset(Row::large) + sizeof(Header) * slots; }
    std::uint64_t taken_offset() const { return offers_offset() + sizeof(Offer) * slots; }
    std::uint64_t payload_offset(Row row) const {
        const std::uint64_t first = aligned(taken_offset() + sizeof(Taken) * readers);
        return row == Row::medium ? first : first + area_of(Row::medium);
    }
    std::uint64_t bytes() const { return aligned(payload_offset(Row::large) + area_bytes); }

private:
    std::uint64_t aligned(std::uint64_t bytes) const { return (bytes + alignment - 1) & ~(alignment - 1); }
};

inline std::uint64_t load_acquire(const std::uint64_t& at) {
    return std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(at)).load(std::memory_order_acquire);
}
inline std::uint64_t load_relaxed(const std::uint64_t& at) {
    return std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(at)).load(std::memory_order_relaxed);
}
inline void store_release(std::uint64_t& at, std::uint64_t value) {
    std::atomic_ref<std::uint64_t>(at).store(value, std::memory_order_release);
}
inline void store_relaxed(std::uint64_t& at, std::uint64_t value) {
    std::atomic_ref<std::uint64_t>(at).store(value, std::memory_order_relaxed);
}

constexpr std::uint64_t message_word(std::uint64_t number, std::uint32_t signature) { return number << 32 | signature; }

// At most a line's data; by words, for what is sent most.
inline void copy_part_of_line(std::byte* to, const std::byte* from, std::size_t length) {
    for (; length >= 8; length -= 8, to += 8, from += 8) std::memcpy(to, from, 8);
    if (length != 0) std::memcpy(to, from, length);
}

class ReceiveEnd;

class SendEnd {
public:
    SendEnd() = default;
    // The end of the ring in the other direction, whose credits this one's headers carry, and the other way round. Both
    // must stay where they are.
    inline void pair_with(ReceiveEnd& reverse);
    SendEnd(std::byte* ring, const RingShape& shape, std::span<const Taken> takers)
        : packed_(reinterpret_cast<PackedLine*>(ring)),
          offers_(reinterpret_cast<const Offer*>(ring + shape.offers_offset())),
          offer_count_(shape.slots),
          medium_bytes_(shape.medium_bytes),
          cell_bytes_(shape.reuses_lowest ? shape.slot_bytes : 0),
          takers_(takers),
          lines_(shape.lines),
          packed_limit_(shape.lines) {
        for (const Row row : {Row::medium, Row::large})
            rows_[static_cast<std::size_t>(row)] = {reinterpret_cast<Header*>(ring + shape.headers_offset(row)),
                                                    ring + shape.payload_offset(row),
                                                    shape.slots_of(row),
                                                    shape.area_of(row),
                                                    shape.grain_of(row),
                                                    0,
                                                    0,
                                                    shape.slots_of(row)};
    }

    std::uint64_t next_number() const { return number_ + 1; }
    Row row_of(std::size_t length) const { return length <= medium_bytes_ ? Row::medium : Row::large; }

    bool may_send_packed(std::size_t length) {
        const std::uint64_t after = packed_sent_ + lines_of(length);
        if (after > packed_limit_) refresh();
        return after <= packed_limit_;
    }
    // `length` bytes, at most packed_bytes, from anywhere.
    void send_packed(const std::byte* data, std::size_t length, std::uint32_t signature) {
        const std::uint64_t word = message_word(++number_, signature);
        for (; length > sizeof(PackedLine::data);
             data += sizeof(PackedLine::data), length -= sizeof(PackedLine::data)) {
            PackedLine& line = packed_[packed_sent_++ & (lines_ - 1)];
            std::memcpy(line.data, data, sizeof line.data);
            store_release(line.word, word);
        }
        PackedLine& line = packed_[packed_sent_++ & (lines_ - 1)];
        copy_part_of_line(line.data, data, length);
        store_release(line.word, word);
    }

    bool may_send_bulk(Row row) {
        if (at(row).sent >= at(row).limit) refresh();
        if (at(row).sent >= at(row).limit) return false;
        if (cell_bytes_ != 0 && row == Row::large)
            at(row).next = static_cast<std::uint64_t>(std::countr_zero(free_cells_)) * cell_bytes_;
        return true;
    }
    // Where to put the payload of the row's next message before send_staged. Valid when may_send_bulk().
    std::byte* payload(Row row, std::size_t length) const { return at(row).payload + at(row).place(length); }
    void send_staged(Row row, std::size_t length, std::uint32_t signature) {
        send_header(row, MessageForm::staged, length, take_place(row, length), signature);
    }
    // Its bytes stay at `address` in this process until the transport has carried them.
    void send_carried(Row row, std::size_t length, std::uint64_t address, std::uint32_t signature) {
        send_header(row, MessageForm::carried, length, address, signature, take_place(row, length));
    }
    void send_header(Row row, MessageForm form, std::size_t length, std::uint64_t address, std::uint32_t signature,
                     std::uint64_t result = no_result) {
        SlotRow& r = at(row);
        Header& header = r.headers[r.sent & (r.slots - 1)];
        header.form = form;
        header.length = static_cast<std::uint32_t>(length);
        header.address = address;
        header.result = result;
        tell_taken(header);
        store_release(header.word, message_word(++number_, signature));
        r.sent++;
    }
    // The reader has taken so many of each row.
    void learn(const std::uint64_t (&taken)[2]) {
        if (cell_bytes_ != 0) free_until(taken[1]);
        for (std::size_t i = 0; i < 2; i++) rows_[i].limit = std::max(rows_[i].limit, taken[i] + rows_[i].slots);
    }
    // The receiver's offer for the next message, or null where there is none (yet).
    const Offer* offer(std::uint32_t signature) const {
        const Offer& o = offers_[(number_ + 1) & (offer_count_ - 1)];
        return load_acquire(o.word) == message_word(number_ + 1, signature) ? &o : nullptr;
    }
    std::uint64_t bulk_sent(Row row) const { return at(row).sent; }
    // For networks that bring messages in any order, as readers allow: the next message has this number, and, where it
    // is a bulk one, is the row's message `index`, from 0. Then payload() and send_staged() are of no use for the row.
    void continue_at(std::uint64_t number) { number_ = number - 1; }
    void continue_at(std::uint64_t number, Row row, std::uint64_t index) {
        number_ = number - 1;
        at(row).sent = index;
    }
    // Has every reader taken the first `count` messages of the row?
    bool bulk_taken(Row row, std::uint64_t count) {
        if (at(row).limit < count + at(row).slots) refresh();
        return at(row).limit >= count + at(row).slots;
    }

private:
    struct SlotRow {
        Header* headers = nullptr;
        std::byte* payload = nullptr;
        std::uint64_t slots = 0, area = 0, grain = 1;
        std::uint64_t next = 0;  // behind the last payload
        std::uint64_t sent = 0, limit = 0;

        std::uint64_t grains(std::size_t length) const { return (length + grain - 1) / grain * grain; }
        // Behind the last one, or at the start where the area ends. With fewer than `slots` messages under way, none
        // longer than a slot, that place is free: the area has one slot more, for what stays empty at its end.
        std::uint64_t place(std::size_t length) const { return next + length > area ? 0 : next; }
    };
    SlotRow& at(Row row) { return rows_[static_cast<std::size_t>(row)]; }
    const SlotRow& at(Row row) const { return rows_[static_cast<std::size_t>(row)]; }

    // Of the row's next message; taken until its reader has taken the message.
    std::uint64_t take_place(Row row, std::size_t length) {
        SlotRow& r = at(row);
        const std::uint64_t place = r.place(length);
        r.next = place + r.grains(length);
        if (cell_bytes_ != 0 && row == Row::large) {
            const std::uint64_t cell = place / cell_bytes_;
            free_cells_ &= ~(1U << cell);
            cells_[r.sent & (r.slots - 1)] = 1U << cell;
        }
        return place;
    }

    // The cells of large messages before the one with this number.
    void free_until(std::uint64_t taken) {
        const SlotRow& large = at(Row::large);
        for (std::uint64_t i = large.limit - large.slots; i < std::min(taken, large.sent); i++)
            free_cells_ |= std::exchange(cells_[i & (large.slots - 1)], 0);
    }

    void refresh() {
        std::uint64_t packed = UINT64_MAX, medium = UINT64_MAX, large = UINT64_MAX;
        for (const Taken& t : takers_) {
            packed = std::min(packed, load_acquire(t.packed));
            medium = std::min(medium, load_acquire(t.bulk[0]));
            large = std::min(large, load_acquire(t.bulk[1]));
        }
        packed_limit_ = packed + lines_;
        learn({medium, large});
        learn_from_arrived();
    }
    inline void tell_taken(Header& header);
    inline void learn_from_arrived();

    PackedLine* packed_ = nullptr;
    const Offer* offers_ = nullptr;
    std::uint64_t offer_count_ = 1, medium_bytes_ = 0;
    std::uint64_t cell_bytes_ = 0;  // 0: there are no cells
    std::uint32_t free_cells_ = ~0U;
    std::array<std::uint32_t, most_slots> cells_ = {};  // of the large messages under way, as a bit, by number
    std::span<const Taken> takers_;
    std::uint64_t number_ = 0;  // of the last message sent
    std::uint64_t lines_ = packed_lines, packed_sent_ = 0, packed_limit_ = packed_lines;
    SlotRow rows_[2];
    ReceiveEnd* reverse_ = nullptr;
};

enum class Arrival { none, here, mismatch };

class ReceiveEnd {
public:
    ReceiveEnd() = default;
    ReceiveEnd(std::byte* ring, const RingShape& shape, Taken* taken)
        : packed_(reinterpret_cast<const PackedLine*>(ring)),
          offers_(reinterpret_cast<Offer*>(ring + shape.offers_offset())),
          offer_count_(shape.slots),
          medium_bytes_(shape.medium_bytes),
          taken_line_(taken),
          lines_(shape.lines) {
        for (const Row row : {Row::medium, Row::large})
            rows_[static_cast<std::size_t>(row)] = {reinterpret_cast<const Header*>(ring + shape.headers_offset(row)),
                                                    ring + shape.payload_offset(row), shape.slots_of(row), 0, 0};
    }

    std::uint64_t next_number() const { return number_ + 1; }
    Row row_of(std::size_t length) const { return length <= medium_bytes_ ? Row::medium : Row::large; }

    // What the sender signed the next message with, wherever in the ring it lies and however much of it is there;
    // nothing before it comes. Tells those who wait in vain for a message of another form or length.
    std::optional<std::uint32_t> next_signature() const {
        const std::uint64_t* const words[] = {&packed_[packed_taken_ & (lines_ - 1)].word,
                                              &header(Row::medium).word, &header(Row::large).word};
        for (const std::uint64_t* at_word : words)
            if (const std::uint64_t word = load_acquire(*at_word);
                word != 0 && word >> 32 == static_cast<std::uint32_t>(number_ + 1))
                return static_cast<std::uint32_t>(word);
        return std::nullopt;
    }

    // Is the next message here, in the packed form, all its lines?
    Arrival packed_arrival(std::size_t length, std::uint32_t signature) const {
        const std::uint64_t end = packed_taken_ + lines_of(length);
        for (std::uint64_t i = packed_taken_; i != end; i++)
            if (const Arrival a = arrival(packed_[i & (lines_ - 1)].word, signature); a != Arrival::here)
                return a;
        return Arrival::here;
    }
    // Its bytes, exactly `length`, after packed_arrival said `here`; and done with it.
    void take_packed(std::byte* to, std::size_t length) {
        std::uint64_t taken = packed_taken_;
        for (; length > sizeof(PackedLine::data); to += sizeof(PackedLine::data), length -= sizeof(PackedLine::data))
            std::memcpy(to, packed_[taken++ & (lines_ - 1)].data, sizeof(PackedLine::data));
        copy_part_of_line(to, packed_[taken++ & (lines_ - 1)].data, length);
        number_++;
        // When another quarter of the lines is done with.
        if ((taken ^ packed_taken_) >= lines_ / 4) store_release(taken_line_->packed, taken);
        packed_taken_ = taken;
    }

    Arrival bulk_arrival(Row row, std::uint32_t signature) const { return arrival(header(row).word, signature); }
    const Header& header(Row row) const { return at(row).headers[at(row).taken & (at(row).slots - 1)]; }
    // Of a message that is here: does it lie in a slot, so long?
    bool is_staged(Row row, std::size_t length) const {
        return header(row).form == MessageForm::staged && header(row).length == length;
    }
    // Of a staged message that is here.
    const std::byte* payload(Row row) const { return at(row).payload + header(row).address; }
    // `at_once`: its sender waits for that.
    void release_bulk(Row row, bool at_once) {
        SlotRow& r = at(row);
        if (reverse_ != nullptr) reverse_->learn(header(row).taken);
        number_++;
        if (++r.taken - r.told < r.slots / 2 && !at_once) return;
        r.told = r.taken;
        store_release(taken_line_->bulk[static_cast<std::size_t>(row)], r.taken);
    }
    // Says where message `number` may be put; at most offer_count() ahead of the next one.
    void offer(std::uint64_t number, MessageForm form, std::uint64_t address, std::size_t length,
               std::uint32_t signature) {
        Offer& o = offers_[number & (offer_count_ - 1)];
        o.form = form;
        o.address = address;
        o.length = static_cast<std::uint32_t>(length);
        store_release(o.word, message_word(number, signature));
        offers_made_++;
    }
    std::uint64_t offer_count() const { return offer_count_; }
    // So far; for a transport that tells them to a writer who does not see this memory.
    std::uint64_t offers_made() const { return offers_made_; }

private:
    friend class SendEnd;
    // What has been taken, which the caller tells the writer.
    void tell(std::uint64_t (&taken)[2]) {
        for (std::size_t i = 0; i < 2; i++) taken[i] = rows_[i].told = rows_[i].taken;
    }
    // Calls `use` with the header of every message that has arrived and is not yet taken, in no order.
    template <class F>
    void for_each_arrived(F&& use) const {
        for (const SlotRow& r : rows_)
            for (std::uint64_t i = 0; i < r.slots; i++) {
                const Header& h = r.headers[i];
                const auto ahead = static_cast<std::int32_t>(static_cast<std::uint32_t>(load_acquire(h.word) >> 32) -
                                                             static_cast<std::uint32_t>(number_));
                if (ahead > 0 && static_cast<std::uint64_t>(ahead) <= packed_lines + rows_[0].slots + rows_[1].slots)
                    use(h);
            }
    }
    struct SlotRow {
        const Header* headers = nullptr;
        const std::byte* payload = nullptr;
        std::uint64_t slots = 0;
        std::uint64_t taken = 0, told = 0;
    };
    SlotRow& at(Row row) { return rows_[static_cast<std::size_t>(row)]; }
    const SlotRow& at(Row row) const { return rows_[static_cast<std::size_t>(row)]; }

    Arrival arrival(const std::uint64_t& word_at, std::uint32_t signature) const {
        const std::uint64_t word = load_acquire(word_at);
        if (word == message_word(number_ + 1, signature)) return Arrival::here;
        return word >> 32 == static_cast<std::uint32_t>(number_ + 1) ? Arrival::mismatch : Arrival::none;
    }

    const PackedLine* packed_ = nullptr;
    Offer* offers_ = nullptr;
    std::uint64_t offer_count_ = 1, medium_bytes_ = 0, offers_made_ = 0;
    Taken* taken_line_ = nullptr;
    std::uint64_t number_ = 0;  // of the last message taken
    std::uint64_t lines_ = packed_lines, packed_taken_ = 0;
    SlotRow rows_[2];
    SendEnd* reverse_ = nullptr;
};

inline void SendEnd::pair_with(ReceiveEnd& reverse) {
    reverse_ = &reverse;
    reverse.reverse_ = this;
}

inline void SendEnd::tell_taken(Header& header) {
    if (reverse_ != nullptr) {
        reverse_->tell(header.taken);
    } else {
        header.taken[0] = header.taken[1] = 0;
    }
}

// A credit may lie in a message that is taken only after this end has sent.
inline void SendEnd::learn_from_arrived() {
    if (reverse_ != nullptr) reverse_->for_each_arrived([this](const Header& h) { learn(h.taken); });
}

}  // namespace tenon
