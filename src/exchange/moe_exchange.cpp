#include "exchange/moe_exchange.hpp"

#include <fmt/format.h>

#include <cstring>

#include "reduction/kernels.hpp"

namespace tenon {
namespace {

// Streams take turns of about so much, so that what one puts into a slot is taken out again while it lies in a near
// cache, and so that no peer waits for long.
constexpr std::uint64_t turn_bytes = 256 << 10;
constexpr int messages_in_a_turn = 4;

constexpr std::uint32_t no_reader = UINT32_MAX;

}  // namespace

RowStream MoeExchange::stream_of(const Way& way, const RowGeometry& geometry, Rank peer) const {
    const auto at = static_cast<std::size_t>(peer);
    const std::uint64_t first = (*way.offsets)[at];
    return {.geometry = geometry,
            .entries = {way.entries->data() + first, (*way.offsets)[at + 1] - first},
            .row_for_each_entry = way.row_for_each_entry,
            .rows = way.rows != nullptr ? way.rows->data() + first : nullptr};
}

// A pair without rows has no stream and, between hosts, needs no connection.
Result<void> MoeExchange::open(const MoeCall& call, const RowGeometry& geometry, const Way& out, const Way& in,
                               const std::byte* buffer, std::uint64_t buffer_bytes) {
    call_ = call;
    moved_ = sent_ = false;
    waits_for_ = no_rank;
    const Rank own = call.routing->rank, ranks = call.routing->rank_count;
    const auto count = static_cast<std::size_t>(ranks);
    senders_.clear(), readers_.clear(), sending_.clear(), out_streams_.clear(), in_streams_.clear();
    // What refers to an element stays where it is.
    senders_.reserve(count), readers_.reserve(count), out_streams_.reserve(count), in_streams_.reserve(count);
    reader_of_.assign(count, no_reader);
    copied_.resize(std::max(copied_at_once_bytes, call.shape->top_k * geometry.segment_bytes));
    for (Rank k = 1; k < ranks; k++) {
        const Rank to = (own + k) % ranks, from = (own + ranks - k) % ranks;
        if (RowStream stream = stream_of(out, geometry, to); !stream.entries.empty()) {
            auto end = call.transport->connection(to).send_end(0);
            if (!end) return std::unexpected(end.error());
            out_streams_.push_back(stream);
            sending_.push_back(static_cast<std::uint32_t>(senders_.size()));
            senders_.emplace_back(out_streams_.back(), to, call.transport->connection(to), **end, buffer, buffer_bytes,
                                  call.signature, call.policy);
        }
        if (RowStream stream = stream_of(in, geometry, from); !stream.entries.empty()) {
            auto end = call.transport->connection(from).receive_end(0);
            if (!end) return std::unexpected(end.error());
            in_streams_.push_back(stream);
            reader_of_[static_cast<std::size_t>(from)] = static_cast<std::uint32_t>(readers_.size());
            readers_.emplace_back(in_streams_.back(), from, call.transport->connection(from), **end, call.signature);
        }
    }
    return {};
}

void MoeExchange::send_some() {
    std::erase_if(sending_, [this](std::uint32_t at) {
        RowSender& sender = senders_[at];
        for (int i = 0; i < messages_in_a_turn && sender.send(); i++) moved_ = sent_ = true;
        return sender.done();
    });
}

Rank MoeExchange::awaited_peer() const {
    if (waits_for_ != no_rank) return waits_for_;
    return sending_.empty() ? no_rank : senders_[sending_.front()].peer();
}

std::string MoeExchange::step_in_words() const {
    if (waits_for_ != no_rank) return fmt::format("receiving rows from rank {}", waits_for_);
    if (sending_.empty()) return "its last step";
    const RowSender& sender = senders_[sending_.front()];
    return fmt::format("{} rank {}", sender.all_sent() ? "its rows being read by" : "sending rows to", sender.peer());
}

// ---- dispatch -----------------------------------------------------------------------------------------------------

Result<void> MoeDispatch::begin(const MoeCall& call, const std::byte* tokens, const MoeRowBuffers& to) {
    const MoeRouting& r = *call.routing;
    tokens_ = tokens;
    to_ = to;
    row_bytes_ = call.shape->dispatch_row_bytes();
    kept_bytes_ = row_bytes_ - to.scale_bytes;
    own_entry_ = 0;
    const auto geometry = RowGeometry::of(row_bytes_, element_bytes(call.shape->dispatch_type), 1,
                                          call.transport->slot_bytes());
    auto opened = open(call, geometry, {.entries = &r.sent, .offsets = &r.sent_offsets},
                       {.entries = &r.received, .offsets = &r.received_offsets}, tokens, r.tokens * row_bytes_);
    if (!opened) return opened;
    reading_.resize(readers_.size());
    for (std::uint32_t i = 0; i < reading_.size(); i++) reading_[i] = i;
    clear_padding();
    return {};
}

void MoeDispatch::clear_padding() {
    if (call_.shape->layout == MoeLayout::rank_major) return;
    const MoeRouting& r = *call_.routing;
    for (std::size_t place = 0; place < r.place_rows.size(); place++) {
        const std::uint64_t first = r.place_offsets[place] + r.place_rows[place];
        const std::uint64_t end = place + 1 < r.place_rows.size() ? r.place_offsets[place + 1] : r.rows;
        if (first == end) continue;
        std::memset(to_.rows + first * kept_bytes_, 0, (end - first) * kept_bytes_);
        if (to_.scales != nullptr)
            std::memset(to_.scales + first * to_.scale_bytes, 0, (end - first) * to_.scale_bytes);
    }
}

Progress MoeDispatch::advance() {
    moved_ = sent_ = false;
    send_some();
    bool failed = false;
    std::erase_if(reading_, [&](std::uint32_t at) {
        if (failed) return false;
        failed = !take_some(readers_[at]);
        return readers_[at].done();
    });
    if (failed) return Progress::failed;
    copy_own_rows();
    waits_for_ = reading_.empty() ? no_rank : readers_[reading_.front()].peer();
    const bool own_done = own_entry_ == call_.routing->sent_to(call_.routing->rank).size();
    return all_sent() && reading_.empty() && own_done ? Progress::done : Progress::blocked;
}

bool MoeDispatch::take_some(RowReader& reader) {
    const std::uint64_t first = call_.routing->received_offsets[static_cast<std::size_t>(reader.peer())];
    for (std::uint64_t taken = 0; (taken < turn_bytes || reader.holds_room()) && !reader.done();) {
        auto ready = reader.ready(copied_, must_stand_back());
        if (!ready) {
            error_ = std::move(ready.error());
            return false;
        }
        if (!*ready) return true;
        const RowCursor& at = reader.cursor();
        const std::uint64_t length = at.row_length();
        store(reader.row(0), first + at.first_entry(), at.run(),
              reader.stream().geometry.first_of(at.segment()), length);
        reader.pass();
        taken += length;
        moved_ = true;
    }
    return true;
}

// What this rank sends itself.
void MoeDispatch::copy_own_rows() {
    const MoeRouting& r = *call_.routing;
    const std::span<const MoeEntry> own = r.sent_to(r.rank);  // the same entries as those that it receives
    const std::uint64_t first = r.received_offsets[static_cast<std::size_t>(r.rank)];
    for (std::uint64_t copied = 0; copied < turn_bytes && own_entry_ < own.size(); copied += row_bytes_) {
        const std::size_t run = run_length(own, own_entry_);
        store(tokens_ + own[own_entry_].token * row_bytes_, first + own_entry_, run, 0, row_bytes_);
        own_entry_ += run;
        moved_ = true;
    }
}

// A segment of a token's row, into the rows of its entries here, or into the one that stands for all of them.
void MoeDispatch::store(const std::byte* row, std::uint64_t first_entry, std::size_t entries, std::uint64_t offset,
                        std::uint64_t length) {
    if (call_.shape->layout == MoeLayout::rank_major) entries = 1;
    const std::uint64_t kept = offset < kept_bytes_ ? std::min(length, kept_bytes_ - offset) : 0;
    for (std::size_t i = 0; i < entries; i++) {
        const std::uint64_t at = call_.routing->received_rows[first_entry + i];
        if (kept != 0) copy(to_.rows + at * kept_bytes_ + offset, row, kept);
        if (kept == length) continue;
        std::memcpy(to_.scales + at * to_.scale_bytes + (offset + kept - kept_bytes_), row + kept, length - kept);
    }
}

void MoeDispatch::copy(std::byte* to, const std::byte* from, std::uint64_t length) const {
    if (call_.policy.streaming_stores) {
        copy_streaming(to, from, length);
    } else {
        copy_bytes(to, from, length);
    }
}

// ---- combine ------------------------------------------------------------------------------------------------------

Result<void> MoeCombine::begin(const MoeCall& call, const WeightedSumTypes& types, const std::byte* rows,
                               std::byte* tokens, bool weighted) {
    const MoeRouting& r = *call.routing;
    rows_ = rows;
    tokens_ = tokens;
    weighted_ = weighted;
    token_ = segment_ = 0;
    kernel_ = weighted_sum_kernel(types);
    input_bytes_ = element_bytes(types.input);
    output_bytes_ = element_bytes(types.output);
    const bool by_expert = call.shape->layout == MoeLayout::expert_major;
    geometry_ = RowGeometry::of(call.shape->hidden * input_bytes_, input_bytes_, by_expert ? call.shape->top_k : 1,
                                call.transport->slot_bytes());
    const Way out{&r.received, &r.received_offsets, &r.received_rows, by_expert};
    const Way in{&r.sent, &r.sent_offsets, &r.sent_rows, by_expert};
    return open(call, geometry_, out, in, rows, r.rows * geometry_.row_bytes);
}

Progress MoeCombine::advance() {
    moved_ = sent_ = false;
    send_some();
    waits_for_ = no_rank;
    const std::uint64_t tokens = call_.routing->tokens;
    for (std::uint64_t summed = 0; summed < turn_bytes && token_ < tokens; summed += geometry_.segment_bytes) {
        const Outcome outcome = sum_segment();
        if (outcome == Outcome::failed) return Progress::failed;
        if (outcome == Outcome::blocked) break;
        moved_ = true;
    }
    return all_sent() && token_ == tokens ? Progress::done : Progress::blocked;
}

// Is it the one with which the next item of its rank begins?
bool MoeCombine::begins_item(const MoeContribution& part) const {
    const RowReader& from = readers_[reader_of_[part.rank]];
    return part.entry - call_.routing->sent_offsets[part.rank] == from.cursor().first_entry();
}

// For the items of the other ranks.
MoeCombine::Outcome MoeCombine::await(std::span<const MoeContribution> parts) {
    std::span<std::byte> room = copied_;  // which each item has a part of until the token is summed
    for (const MoeContribution& part : parts) {
        if (static_cast<Rank>(part.rank) == call_.routing->rank || !begins_item(part)) continue;
        const std::uint64_t bytes = reader(part).cursor().item_bytes();
        auto ready = reader(part).ready(room.first(bytes), must_stand_back());
        if (!ready) {
            error_ = std::move(ready.error());
            return Outcome::failed;
        }
        if (!*ready) {
            waits_for_ = static_cast<Rank>(part.rank);
            return Outcome::blocked;
        }
        room = room.subspan(bytes);
    }
    return Outcome::done;
}

// Where the segment of each of the token's rows lies; blocked where some have not come.
MoeCombine::Outcome MoeCombine::find(std::span<const MoeContribution> parts) {
    const MoeRouting& r = *call_.routing;
    if (const Outcome outcome = await(parts); outcome != Outcome::done) return outcome;
    Contribution* found = found_;
    for (const MoeContribution& part : parts) {
        const std::uint64_t entry = part.entry - r.sent_offsets[part.rank];
        found->source = static_cast<Rank>(part.rank) == r.rank
                            ? rows_ + r.sent_rows[part.entry] * geometry_.row_bytes + geometry_.first_of(segment_)
                            : reader(part).row(entry - reader(part).cursor().first_entry());
        found->weight = weighted_ ? r.sent[part.entry].weight : 1;
        found->ends_group = part.ends_group != 0;
        found++;
    }
    return Outcome::done;
}

MoeCombine::Outcome MoeCombine::sum_segment() {
    const MoeRouting& r = *call_.routing;
    const std::span parts(r.contributions.data() + r.token_offsets[token_],
                          r.token_offsets[token_ + 1] - r.token_offsets[token_]);
    if (const Outcome outcome = find(parts); outcome != Outcome::done) return outcome;
    const std::uint64_t first = token_ * call_.shape->hidden + geometry_.first_of(segment_) / input_bytes_;
    run_weighted_sum(kernel_, {.destination = tokens_ + first * output_bytes_,
                               .contributions = found_,
                               .count = static_cast<std::uint32_t>(parts.size()),
                               .elements = geometry_.length_of(segment_) / input_bytes_});
    // In reverse: where a rank has several, the one that begins its item comes last.
    for (std::size_t i = parts.size(); i-- > 0;)
        if (static_cast<Rank>(parts[i].rank) != r.rank && begins_item(parts[i])) reader(parts[i]).pass();
    if (++segment_ == geometry_.segments) segment_ = 0, token_++;
    return Outcome::done;
}

}  // namespace tenon
