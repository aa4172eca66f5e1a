// Slots: how messages travel. A *ring* is memory written by one rank and read by one other (or, a board, by all others);
// its two ends are a SendEnd and a ReceiveEnd. The executor works on ends directly, without a virtual call; a transport
// whose peers do not share memory fills and empties the same rings from its progress function.
//
// A message is one tile (or a whole small chunk). Both sides know its length from their plans. There are two forms:
//   packed   up to packed_bytes: units of 8 bytes of data and the message's word, so that data and flag arrive together
//            in one cache line; in slots that never hold anything else, so no user's data can pass for a word;
//   bulk     a header line with the word, and either a payload slot (staged) or the place where the sender's bytes lie
//            (exposed) or a note that they have been put where the receiver offered (put).
// The word is (message number on this ring << 32 | signature of the call). A reader that finds its number with another
// signature has found ranks that disagree.
//
// Credits: the reader counts what it has taken in its own Taken line, not for every message; the writer looks there only
// when the credits it knows of are used up. An exposed or put message is always acknowledged at once.
// Offers run the other way: the reader says where message number m may be put, for the writer to look at when it gets
// to m; a writer that finds none stages or exposes.
//
// Ordering: data is written before its word with release, read after it with acquire. An end belongs to one thread at a
// time. Memory of zeros is a valid ring.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tenon {

inline constexpr std::size_t cache_line_bytes = 64;
inline constexpr std::size_t packed_units = 16;
inline constexpr std::size_t packed_bytes = packed_units * 8;
inline constexpr std::uint64_t packed_slots = 64;  // a power of two

struct PackedUnit {
    std::uint64_t data;
    std::uint64_t word;
};
struct alignas(cache_line_bytes) PackedSlot {
    PackedUnit units[packed_units];
};

enum class MessageForm : std::uint32_t {
    staged = 1,   // in the payload slot
    arena = 2,    // at `address` bytes from the start of the sender's shared arena
    process = 3,  // at `address` in the sender's process
    put = 4,      // already where the receiver offered
};
struct alignas(cache_line_bytes) Header {
    std::uint64_t word;
    MessageForm form;
    std::uint32_t length;  // bytes
    std::uint64_t address;
};
// What a reader offers for one message: the same forms (arena, process).
using Offer = Header;

struct alignas(cache_line_bytes) Taken {
    std::uint64_t packed;
    std::uint64_t bulk;
};

// The memory of one ring with one reader; a board has a Taken line for each rank instead of one.
struct RingShape {
    std::uint64_t slots = 0;       // bulk slots, a power of two
    std::uint64_t slot_bytes = 0;
    std::uint64_t readers = 1;

    std::uint64_t headers_offset() const { return sizeof(PackedSlot) * packed_slots; }
    std::uint64_t offers_offset() const { return headers_offset() + sizeof(Header) * slots; }
    std::uint64_t taken_offset() const { return offers_offset() + sizeof(Offer) * slots; }
    std::uint64_t payload_offset() const { return (taken_offset() + sizeof(Taken) * readers + 4095) & ~std::uint64_t{4095}; }
    std::uint64_t bytes() const { return payload_offset() + slots * slot_bytes; }
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

class SendEnd {
public:
    SendEnd() = default;
    SendEnd(std::byte* ring, const RingShape& shape, std::span<const Taken> takers)
        : packed_(reinterpret_cast<PackedSlot*>(ring)),
          headers_(reinterpret_cast<Header*>(ring + shape.headers_offset())),
          offers_(reinterpret_cast<const Offer*>(ring + shape.offers_offset())),
          payload_(ring + shape.payload_offset()),
          takers_(takers),
          slots_(shape.slots),
          slot_bytes_(shape.slot_bytes),
          packed_limit_(packed_slots),
          bulk_limit_(shape.slots) {}

    std::uint64_t next_number() const { return number_ + 1; }

    bool may_send_packed() {
        if (packed_sent_ >= packed_limit_) refresh();
        return packed_sent_ < packed_limit_;
    }
    // `length` bytes, at most packed_bytes, from anywhere.
    void send_packed(const std::byte* data, std::size_t length, std::uint32_t signature) {
        PackedUnit* unit = packed_[packed_sent_ & (packed_slots - 1)].units;
        const std::uint64_t word = message_word(++number_, signature);
        std::size_t done = 0;
        do {
            std::uint64_t value = 0;
            if (length - done >= 8) {
                std::memcpy(&value, data + done, 8);
            } else {
                std::memcpy(&value, data + done, length - done);
            }
            store_relaxed(unit->data, value);
            store_release(unit->word, word);
            unit++;
            done += 8;
        } while (done < length);
        packed_sent_++;
        __builtin_prefetch(&packed_[packed_sent_ & (packed_slots - 1)], 1);
    }

    bool may_send_bulk() {
        if (bulk_sent_ >= bulk_limit_) refresh();
        return bulk_sent_ < bulk_limit_;
    }
    // Where to put up to slot_bytes of payload before send_staged. Valid when may_send_bulk().
    std::byte* payload() const { return payload_ + (bulk_sent_ & (slots_ - 1)) * slot_bytes_; }
    void send_staged(std::size_t length, std::uint32_t signature) { send_header(MessageForm::staged, length, 0, signature); }
    void send_header(MessageForm form, std::size_t length, std::uint64_t address, std::uint32_t signature) {
        Header& header = headers_[bulk_sent_ & (slots_ - 1)];
        header.form = form;
        header.length = static_cast<std::uint32_t>(length);
        header.address = address;
        store_release(header.word, message_word(++number_, signature));
        bulk_sent_++;
    }
    // The receiver's offer for the next message, or null where there is none (yet).
    const Offer* offer(std::uint32_t signature) const {
        const Offer& o = offers_[(number_ + 1) & (slots_ - 1)];
        return load_acquire(o.word) == message_word(number_ + 1, signature) ? &o : nullptr;
    }
    std::uint64_t bulk_sent() const { return bulk_sent_; }
    // Has every reader taken the first `count` bulk messages?
    bool bulk_taken(std::uint64_t count) {
        if (bulk_limit_ >= count + slots_) return true;
        refresh();
        return bulk_limit_ >= count + slots_;
    }
    std::uint64_t slot_bytes() const { return slot_bytes_; }

private:
    void refresh() {
        std::uint64_t packed = UINT64_MAX, bulk = UINT64_MAX;
        for (const Taken& t : takers_) {
            packed = std::min(packed, load_acquire(t.packed));
            bulk = std::min(bulk, load_acquire(t.bulk));
        }
        packed_limit_ = packed + packed_slots;
        bulk_limit_ = bulk + slots_;
    }

    PackedSlot* packed_ = nullptr;
    Header* headers_ = nullptr;
    const Offer* offers_ = nullptr;
    std::byte* payload_ = nullptr;
    std::span<const Taken> takers_;
    std::uint64_t slots_ = 0, slot_bytes_ = 0;
    std::uint64_t number_ = 0;  // of the last message sent
    std::uint64_t packed_sent_ = 0, packed_limit_ = 0;
    std::uint64_t bulk_sent_ = 0, bulk_limit_ = 0;
};

enum class Arrival { none, here, mismatch };

class ReceiveEnd {
public:
    ReceiveEnd() = default;
    ReceiveEnd(std::byte* ring, const RingShape& shape, Taken* taken)
        : packed_(reinterpret_cast<const PackedSlot*>(ring)),
          headers_(reinterpret_cast<const Header*>(ring + shape.headers_offset())),
          offers_(reinterpret_cast<Offer*>(ring + shape.offers_offset())),
          payload_(ring + shape.payload_offset()),
          taken_(taken),
          slots_(shape.slots),
          slot_bytes_(shape.slot_bytes) {}

    std::uint64_t next_number() const { return number_ + 1; }

    // Is the next message here, in the packed form? Looks at its last unit first: units arrive in order.
    Arrival packed_arrival(std::size_t length, std::uint32_t signature) const {
        const PackedSlot& slot = packed_[packed_taken_ & (packed_slots - 1)];
        return arrival(slot.units[length == 0 ? 0 : (length - 1) / 8].word, signature);
    }
    // The message's bytes; valid after packed_arrival said `here`. `data` has room for length rounded up to 8.
    void copy_packed(std::byte* data, std::size_t length) const {
        const PackedUnit* unit = packed_[packed_taken_ & (packed_slots - 1)].units;
        for (std::size_t done = 0; done < length; done += 8, unit++) {
            const std::uint64_t value = load_relaxed(unit->data);
            std::memcpy(data + done, &value, 8);
        }
    }
    // The same, of exactly `length` bytes, and done with it.
    void take_packed(std::byte* to, std::size_t length) {
        const PackedUnit* unit = packed_[packed_taken_ & (packed_slots - 1)].units;
        for (; length >= 8; length -= 8, to += 8, unit++) {
            const std::uint64_t value = load_relaxed(unit->data);
            std::memcpy(to, &value, 8);
        }
        if (length != 0) {
            const std::uint64_t value = load_relaxed(unit->data);
            std::memcpy(to, &value, length);
        }
        release_packed();
    }
    void release_packed() {
        number_++;
        if ((++packed_taken_ & (packed_slots / 4 - 1)) == 0) store_release(taken_->packed, packed_taken_);
    }

    Arrival bulk_arrival(std::uint32_t signature) const { return arrival(header().word, signature); }
    const Header& header() const { return headers_[bulk_taken_ & (slots_ - 1)]; }
    const std::byte* payload() const { return payload_ + (bulk_taken_ & (slots_ - 1)) * slot_bytes_; }
    void release_bulk(bool at_once) {
        number_++;
        if (++bulk_taken_ - bulk_told_ >= slots_ / 4 || at_once) {
            bulk_told_ = bulk_taken_;
            store_release(taken_->bulk, bulk_taken_);
        }
    }
    // Says where message `number` may be put; number within the ring's slots of the next one.
    void offer(std::uint64_t number, MessageForm form, std::uint64_t address, std::size_t length, std::uint32_t signature) {
        Offer& o = offers_[number & (slots_ - 1)];
        o.form = form;
        o.address = address;
        o.length = static_cast<std::uint32_t>(length);
        store_release(o.word, message_word(number, signature));
    }
    // Where the next message would be if the peer's plan had another length: its number in either form.
    bool next_is_here_in_any_form() const {
        const std::uint32_t number = static_cast<std::uint32_t>(number_ + 1);
        return load_acquire(header().word) >> 32 == number ||
               load_acquire(packed_[packed_taken_ & (packed_slots - 1)].units[0].word) >> 32 == number;
    }
    std::uint64_t slots() const { return slots_; }

private:
    Arrival arrival(const std::uint64_t& at, std::uint32_t signature) const {
        const std::uint64_t word = load_acquire(at);
        if (word == message_word(number_ + 1, signature)) return Arrival::here;
        return word >> 32 == static_cast<std::uint32_t>(number_ + 1) ? Arrival::mismatch : Arrival::none;
    }

    const PackedSlot* packed_ = nullptr;
    const Header* headers_ = nullptr;
    Offer* offers_ = nullptr;
    const std::byte* payload_ = nullptr;
    Taken* taken_ = nullptr;
    std::uint64_t slots_ = 0, slot_bytes_ = 0;
    std::uint64_t number_ = 0;  // of the last message taken
    std::uint64_t packed_taken_ = 0, bulk_taken_ = 0, bulk_told_ = 0;
};

}  // namespace tenon
