#include "exchange/row_stream.hpp"

#include <fmt/format.h>

#include <cstring>

#include "base/assert.hpp"
#include "reduction/kernels.hpp"

namespace tenon {

RowGeometry RowGeometry::of(std::uint64_t row_bytes, std::uint64_t element_bytes, std::uint32_t most_rows,
                            std::uint64_t slot_bytes) {
    RowGeometry g{.row_bytes = row_bytes, .segment_bytes = row_bytes, .message_bytes = slot_bytes};
    if (row_bytes * most_rows <= slot_bytes) return g;
    const std::uint64_t share = slot_bytes / most_rows;
    g.segment_bytes =
        std::min(row_bytes, share - share % (share < cache_line_bytes ? element_bytes : cache_line_bytes));
    TENON_ASSERT(g.segment_bytes != 0, "a slot holds no element of each of a token's rows");
    g.segments = static_cast<std::uint32_t>((row_bytes + g.segment_bytes - 1) / g.segment_bytes);
    return g;
}

std::uint64_t RowCursor::message_bytes() const {
    std::uint64_t bytes = 0;
    for (RowCursor ahead = *this; !ahead.at_end(); ahead.next()) {
        if (bytes + ahead.item_bytes() > stream_->geometry.message_bytes) break;
        bytes += ahead.item_bytes();
    }
    return bytes;
}

// ---- sending ------------------------------------------------------------------------------------------------------

RowSender::RowSender(const RowStream& stream, Rank to, Connection& connection, SendEnd& end, const std::byte* buffer,
                     std::uint64_t buffer_bytes, std::uint32_t signature, const AccessPolicy& policy)
    : to_(to),
      signature_(signature),
      connection_(&connection),
      end_(&end),
      buffer_(buffer),
      buffer_bytes_(buffer_bytes),
      policy_(policy),
      cursor_(stream) {
    length_ = cursor_.message_bytes();
}

bool RowSender::send() {
    if (all_sent()) return false;
    if (length_ <= packed_bytes) {
        if (!end_->may_send_packed(length_)) return false;
        std::byte message[packed_bytes];
        const std::uint64_t length = length_;
        fill(message, length);
        end_->send_packed(message, length, signature_);
        return true;
    }
    const Row row = end_->row_of(length_);
    if (!end_->may_send_bulk(row)) return false;
    if (std::exchange(is_first_, false) && try_expose()) return true;
    const std::uint64_t length = length_;
    fill(end_->payload(row, length), length);
    end_->send_staged(row, length, signature_);
    return true;
}

// A receiver that takes the rows itself takes each once; a first message that is short has few to take.
bool RowSender::may_expose(const Exposure& place) const {
    if (!is_exposed(place.form)) return false;
    if (connection_->peer_addresses(place)) return length_ >= policy_.direct_min_bytes;
    return length_ >= policy_.copy_min_bytes && cursor_.row_length() >= least_copied_row_bytes;
}

bool RowSender::try_expose() {
    if (length_ < std::min(policy_.direct_min_bytes, policy_.copy_min_bytes)) return false;
    const auto place = connection_->expose(buffer_, buffer_bytes_);
    if (!place || !may_expose(*place)) return false;
    row_ = end_->row_of(length_);
    end_->send_header(row_, place->form, length_, place->address, signature_);
    exposed_count_ = end_->bulk_sent(row_);
    is_exposed_ = true;
    sent_messages_++;
    for (; !cursor_.at_end(); cursor_.next()) sent_bytes_ += cursor_.item_bytes();
    return true;
}

// The items of one message, and the cursor behind them.
void RowSender::fill(std::byte* message, std::uint64_t length) {
    for (std::uint64_t at = 0; at < length; cursor_.next())
        for (std::size_t i = 0; i < cursor_.item_rows(); i++, at += cursor_.row_length()) {
            const std::byte* const row = buffer_ + cursor_.offset_of(i);
            if (policy_.streaming_slots) {
                copy_streaming(message + at, row, cursor_.row_length());
            } else {
                copy_bytes(message + at, row, cursor_.row_length());
            }
        }
    sent_bytes_ += length;
    sent_messages_++;
    length_ = cursor_.message_bytes();
    is_first_ = false;
}

// ---- receiving ----------------------------------------------------------------------------------------------------

namespace {

std::unexpected<Error> made_another_call(Rank from) {
    return fail(Status::mismatch, fmt::format("rank {} made another call", from));
}

}  // namespace

Result<bool> RowReader::ready(std::span<std::byte> room, bool stands_back) {
    if (done()) return false;
    if (is_here_) return true;
    if (!is_exposed()) {
        auto arrived = is_packed() ? take_packed() : take_bulk();
        if (!arrived || !*arrived || is_here_) return arrived;
    }
    if (stands_back) return false;
    return base_ != nullptr ? true : copy_items(room);
}

Result<bool> RowReader::take_packed() {
    const Arrival arrival = end_->packed_arrival(length_, signature_);
    if (arrival == Arrival::none) return false;
    if (arrival == Arrival::mismatch) return made_another_call(from_);
    end_->take_packed(packed_, length_);
    head_ = nullptr;
    return is_here_ = true;
}

Result<bool> RowReader::take_bulk() {
    const Row row = end_->row_of(length_);
    const Arrival arrival = end_->bulk_arrival(row, signature_);
    if (arrival == Arrival::none) return false;
    const Header header = end_->header(row);
    if (arrival == Arrival::mismatch || header.length != length_) return made_another_call(from_);
    if (header.form == MessageForm::staged) {
        head_ = end_->payload(row);
        return is_here_ = true;
    }
    const Exposure place{header.form, header.address};
    base_ = connection_->address_of(place, extent());
    if (base_ == nullptr) place_ = place;
    return true;
}

// Rows that lie one behind the other at the sender's, as a dispatch's mostly do, are one copy.
Result<bool> RowReader::copy_items(std::span<std::byte> room) {
    std::uint64_t from = 0, length = 0;
    copied_ = 0;
    const auto copy = [&]() -> Result<void> {
        const Exposure rows{place_->form, place_->address + from};
        auto ok = length != 0 ? connection_->read(room.data() + copied_, rows, length) : Result<void>{};
        copied_ += length;
        return ok;
    };
    for (RowCursor item = cursor_; !item.at_end() && copied_ + length + item.item_bytes() <= room.size(); item.next())
        for (std::size_t i = 0; i < item.item_rows(); i++) {
            if (const std::uint64_t offset = item.offset_of(i); offset != from + length) {
                if (auto ok = copy(); !ok) return std::unexpected(ok.error());
                from = offset;
                length = 0;
            }
            length += item.row_length();
        }
    if (auto ok = copy(); !ok) return std::unexpected(ok.error());
    head_ = room.data();
    taken_ = 0;
    return is_here_ = true;
}

// How far into the sender's buffer the stream's rows reach.
std::uint64_t RowReader::extent() const {
    std::uint64_t rows = 0;
    for (std::size_t i = 0; i < stream_->entries.size(); i++) rows = std::max(rows, stream_->row_of(i) + 1);
    return rows * stream_->geometry.row_bytes;
}

void RowReader::pass() {
    const Row row = end_->row_of(length_);
    taken_ += cursor_.item_bytes();
    cursor_.next();
    if (is_exposed()) {
        if (taken_ == copied_) is_here_ = false;
        if (done()) end_->release_bulk(row, true);
        return;
    }
    if (taken_ < length_) return;
    if (!is_packed()) end_->release_bulk(row, false);
    is_here_ = false;
    taken_ = 0;
    length_ = cursor_.message_bytes();
}

}  // namespace tenon
