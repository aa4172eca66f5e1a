// Rows that one rank sends another, as messages whose lengths both ends compute: nothing but rows travels.
//
// The entries of a pair fall into *runs*, one for each token. An *item* is what travels of a run at a time: one row, or
// a row for each of its entries, and of each row one *segment*, where an item of whole rows would not fit into a slot.
// Items follow each other by run, then by segment; a message holds as many whole items as a slot does.
//
// Where the receiver can address the sender's memory, or the kernel copies from there, the sender's first message says
// where its rows begin, and is the only one: the receiver takes each row from its place, and acknowledges when it has
// taken the last.
#pragma once

#include <algorithm>
#include <optional>
#include <span>

#include "exchange/moe_routing.hpp"
#include "execution/work.hpp"
#include "tenon/plugin/transport.hpp"

namespace tenon {

// What the kernel copies at once, where items are shorter: little enough to be in a near cache when it is used.
inline constexpr std::uint64_t copied_at_once_bytes = 128 << 10;
// It is asked for each row, so that shorter ones go through slots.
inline constexpr std::uint64_t least_copied_row_bytes = 2 << 10;

// How rows are cut. The same on both ends.
struct RowGeometry {
    std::uint64_t row_bytes = 0, segment_bytes = 0, message_bytes = 0;
    std::uint32_t segments = 1;

    // An item has up to `most_rows` rows.
    static RowGeometry of(std::uint64_t row_bytes, std::uint64_t element_bytes, std::uint32_t most_rows,
                          std::uint64_t slot_bytes);
    std::uint64_t first_of(std::uint32_t segment) const { return segment * segment_bytes; }
    std::uint64_t length_of(std::uint32_t segment) const {
        return std::min(segment_bytes, row_bytes - first_of(segment));
    }
};

// What the two ends of a pair agree on.
struct RowStream {
    RowGeometry geometry;
    std::span<const MoeEntry> entries;   // ordered by token and slot
    bool row_for_each_entry = false;     // else one for each run
    const std::uint32_t* rows = nullptr; // by entry: which row of the sender's it is; null: its token's
    std::uint64_t row_of(std::size_t entry) const { return rows != nullptr ? rows[entry] : entries[entry].token; }
};

// A place in a stream, between items.
class RowCursor {
public:
    explicit RowCursor(const RowStream& stream) : stream_(&stream) { begin_run(); }
    bool at_end() const { return entry_ == stream_->entries.size(); }
    std::size_t first_entry() const { return entry_; }
    std::size_t run() const { return run_; }
    std::uint32_t segment() const { return segment_; }
    std::size_t item_rows() const { return stream_->row_for_each_entry ? run_ : 1; }
    std::uint64_t row_length() const { return stream_->geometry.length_of(segment_); }  // of the segment
    std::uint64_t item_bytes() const { return item_rows() * row_length(); }
    std::uint64_t offset_of(std::size_t row_of_item) const {  // in the sender's buffer
        return stream_->row_of(entry_ + row_of_item) * stream_->geometry.row_bytes +
               stream_->geometry.first_of(segment_);
    }
    void next() {
        if (++segment_ < stream_->geometry.segments) return;
        segment_ = 0;
        entry_ += run_;
        begin_run();
    }
    // Of the message that begins here; 0 at the end.
    std::uint64_t message_bytes() const;

private:
    void begin_run() { run_ = at_end() ? 0 : run_length(stream_->entries, entry_); }

    const RowStream* stream_;
    std::size_t entry_ = 0, run_ = 0;
    std::uint32_t segment_ = 0;
};

class RowSender {
public:
    // `rows` are `buffer_bytes` long in all. Stays valid only while the stream and the buffer do.
    RowSender(const RowStream& stream, Rank to, Connection& connection, SendEnd& end, const std::byte* buffer,
              std::uint64_t buffer_bytes, std::uint32_t signature, const AccessPolicy& policy);

    // The next message, if it can be sent now.
    bool send();
    bool all_sent() const { return cursor_.at_end(); }
    // And taken, where the receiver reads this rank's memory.
    bool done() { return all_sent() && (!is_exposed_ || end_->bulk_taken(row_, exposed_count_)); }
    Rank peer() const { return to_; }
    std::uint64_t sent_bytes() const { return sent_bytes_; }  // of rows; also those that the receiver takes itself
    std::uint64_t sent_messages() const { return sent_messages_; }

private:
    bool try_expose();
    bool may_expose(const Exposure& place) const;
    void fill(std::byte* message, std::uint64_t length);

    Rank to_;
    std::uint32_t signature_;
    Connection* connection_;
    SendEnd* end_;
    const std::byte* buffer_;
    std::uint64_t buffer_bytes_, length_ = 0, sent_bytes_ = 0, sent_messages_ = 0;
    AccessPolicy policy_;
    RowCursor cursor_;
    bool is_first_ = true, is_exposed_ = false;
    Row row_ = Row::large;
    std::uint64_t exposed_count_ = 0;
};

class RowReader {
public:
    RowReader(const RowStream& stream, Rank from, Connection& connection, ReceiveEnd& end, std::uint32_t signature)
        : stream_(&stream), from_(from), signature_(signature), connection_(&connection), end_(&end), cursor_(stream),
          length_(cursor_.message_bytes()) {}

    // Has the item at the cursor arrived? What the kernel copies comes into `room`, as many items as it is large enough
    // for, at least one, and they stay there until the last is passed. Of an item that is in the sender's own memory
    // false while this rank must stand back from that. An error where what arrived is no part of this stream.
    Result<bool> ready(std::span<std::byte> room, bool stands_back);
    bool holds_room() const { return place_ && is_here_; }
    // Of the item, if it is ready, the segment of each of its rows.
    const std::byte* row(std::size_t row_of_item) const {
        if (base_ != nullptr) return base_ + cursor_.offset_of(row_of_item);
        return (head_ == nullptr ? packed_ : head_) + taken_ + row_of_item * cursor_.row_length();
    }
    const RowCursor& cursor() const { return cursor_; }
    const RowStream& stream() const { return *stream_; }
    void pass();  // the item is done with
    bool done() const { return cursor_.at_end(); }
    Rank peer() const { return from_; }

private:
    bool is_packed() const { return length_ <= packed_bytes; }
    bool is_exposed() const { return base_ != nullptr || place_; }
    Result<bool> take_packed();
    Result<bool> take_bulk();
    Result<bool> copy_items(std::span<std::byte> room);
    std::uint64_t extent() const;

    const RowStream* stream_;
    Rank from_;
    std::uint32_t signature_;
    Connection* connection_;
    ReceiveEnd* end_;
    RowCursor cursor_;
    std::uint64_t length_, taken_ = 0;  // of the message at the cursor
    std::uint64_t copied_ = 0;          // of rows that the kernel copies: how much of them lies at head_
    bool is_here_ = false;              // that message, or those rows
    const std::byte* head_ = nullptr;   // where it lies, unless it is packed
    const std::byte* base_ = nullptr;   // the sender's buffer, where it is addressed
    std::optional<Exposure> place_;     // the same, where the kernel copies from there
    std::byte packed_[packed_bytes];    // a packed message, taken out of the ring
};

}  // namespace tenon
