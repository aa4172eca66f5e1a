// How an Execution's steps turn into messages: packed, staged, exposed or put, as the sender decides for each.
#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "execution/execution.hpp"

namespace tenon {

bool Execution::may_send(const Operation& o, std::size_t length) const {
    return length <= packed_bytes ? o.out->may_send_packed(length) : o.out->may_send_bulk(o.out->row_of(length));
}

// ---- sending ------------------------------------------------------------------------------------------------------

Execution::Outcome Execution::send(const Operation& o, Tile tile) {
    if (!may_send(o, tile.length)) return Outcome::blocked;
    if (o.exchanges && tile.length > packed_bytes) {
        if (!try_expose_for_halving(o, tile)) send_in_slot(o, at(o.source, tile.offset), tile.length);
        return Outcome::done;
    }
    return send_bytes(o, at(o.source, tile.offset), tile.length, o.source_stable);
}

// Sends bytes that lie in this process. There is credit. `stable`: they may stay where they are until they are taken.
// Stable bytes are rather exposed than put, so that every receiver takes its own at once; but a rank that only sends
// has nothing better to do than to put.
Execution::Outcome Execution::send_bytes(const Operation& o, const std::byte* bytes, std::size_t length, bool stable) {
    if (length <= packed_bytes) {
        o.out->send_packed(bytes, length, signature_ ^ o.salt);
        return Outcome::done;
    }
    if (stable && !program_->only_sends && try_expose(o, bytes, length)) return Outcome::done;
    if (length >= policy_.direct_min_bytes && !o.sends_to_all) {
        if (const Offer* offer = o.out->offer(signature_ ^ o.salt)) {
            const Exposure place{offer->form, offer->address};
            if (must_stand_back()) return Outcome::blocked;
            auto put = this->put(o, place, bytes, length);
            if (!put) return failed(put.error());
            if (*put) return Outcome::done;
        }
    }
    if (stable && program_->only_sends && try_expose(o, bytes, length)) return Outcome::done;
    send_in_slot(o, bytes, length);
    return Outcome::done;
}

void Execution::send_in_slot(const Operation& o, const std::byte* bytes, std::size_t length) {
    const Row row = o.out->row_of(length);
    stage(o.out->payload(row, length), bytes, length);
    o.out->send_staged(row, length, signature_ ^ o.salt);
}

// Stores the bytes where their receiver offered; false if this rank cannot, or not well.
Result<bool> Execution::put(const Operation& o, const Exposure& place, const std::byte* bytes, std::size_t length) {
    if (std::byte* to = o.out_connection->address_of(place, length)) {
        copy(to, bytes, length);
    } else if (!copies_into(place, length)) {
        return false;
    } else if (auto written = o.out_connection->write(place, bytes, length); !written) {
        return std::unexpected(written.error());
    }
    o.out->send_header(o.out->row_of(length), MessageForm::put, length, 0, signature_ ^ o.salt);
    return true;
}

// Where the peer may read the bytes itself, if it can, and well.
std::optional<Exposure> Execution::exposure_of(const Operation& o, const std::byte* bytes, std::size_t length) const {
    if (length < policy_.direct_min_bytes || o.out_connection == nullptr) return std::nullopt;
    const std::optional<Exposure> exposure = o.out_connection->expose(bytes, length);
    if (exposure && (length >= policy_.copy_min_bytes || o.out_connection->peer_addresses(*exposure))) return exposure;
    return std::nullopt;
}

bool Execution::try_expose(const Operation& o, const std::byte* bytes, std::size_t length) {
    const std::optional<Exposure> exposure = exposure_of(o, bytes, length);
    if (!exposure) return false;
    const Row row = o.out->row_of(length);
    // What the transport carries is gone when its progress() says so, which ends the call too.
    if (exposure->form == MessageForm::carried) {
        o.out->send_carried(row, length, exposure->address, signature_ ^ o.salt);
        return true;
    }
    o.out->send_header(row, exposure->form, length, exposure->address, signature_ ^ o.salt);
    if (o.answered) return true;
    if (exposed_.empty() || exposed_.back().end != o.out || exposed_.back().row != row)
        exposed_.push_back({o.out, row, 0});
    exposed_.back().count = o.out->bulk_sent(row);
    return true;
}

// ---- receiving ----------------------------------------------------------------------------------------------------

// Tells the sender of tile `tile` where its bytes may be put, if it can address that memory.
void Execution::post_offer(const Operation& o, std::uint64_t tile, std::uint64_t number) {
    const std::uint64_t offset = tile * program_->tile_bytes;
    if (offset >= o.bytes) return;
    const std::size_t length = std::min(o.bytes - offset, program_->tile_bytes);
    if (length < policy_.direct_min_bytes) return;
    const std::optional<Exposure> place = o.in_connection->expose(at(o.destination, offset), length);
    if (place && (o.in_connection->peer_addresses(*place) || length >= policy_.copy_min_bytes))
        o.in->offer(number, place->form, place->address, length, signature_ ^ o.salt);
}

void Execution::post_first_offers(const Operation& o) {
    for (std::uint64_t tile = 0; tile < o.in->offer_count(); tile++) post_offer(o, tile, o.in->next_number() + tile);
}

Execution::Outcome Execution::receive(const Operation& o, Tile tile) {
    return tile.length <= packed_bytes ? receive_small(o, tile) : receive_large(o, tile);
}

Execution::Outcome Execution::receive_small(const Operation& o, Tile tile) {
    const Arrival arrival = o.in->packed_arrival(tile.length, signature_ ^ o.salt);
    if (arrival != Arrival::here) return arrival == Arrival::none ? Outcome::blocked : disagree(o);
    if (sends(o.kind) && !may_send(o, tile.length)) return Outcome::blocked;
    alignas(16) std::byte message[packed_bytes];
    o.in->take_packed(message, tile.length);
    if (combines(o.kind)) return combine_message(o, tile, message);
    std::byte* to = at(o.destination, tile.offset);
    if (tile.length != 0) std::memcpy(to, message, tile.length);
    return sends(o.kind) ? send_bytes(o, to, tile.length, false) : Outcome::done;
}

Execution::Outcome Execution::receive_large(const Operation& o, Tile tile) {
    const Row row = o.in->row_of(tile.length);
    const Arrival arrival = o.in->bulk_arrival(row, signature_ ^ o.salt);
    if (arrival != Arrival::here) return arrival == Arrival::none ? Outcome::blocked : disagree(o);
    if (sends(o.kind) && !may_send(o, tile.length)) return Outcome::blocked;
    const Header header = o.in->header(row);
    if (header.length != tile.length) return disagree(o);
    if (o.exchanges && exchange_.exposed != 0) return reduce_exchanged(o, tile, header);
    const std::uint64_t tile_number = tile.offset / program_->tile_bytes;
    const Outcome outcome = combines(o.kind) ? combine_arrived(o, tile, header) : store_arrived(o, tile, header);
    if (outcome != Outcome::done) return outcome;
    o.in->release_bulk(row, is_exposed(header.form));
    if (o.offers) post_offer(o, tile_number + o.in->offer_count(), o.in->next_number() + o.in->offer_count() - 1);
    return Outcome::done;
}

// destination = msg, and on to the next where the step says so.
Execution::Outcome Execution::store_arrived(const Operation& o, Tile tile, const Header& header) {
    std::byte* to = at(o.destination, tile.offset);
    if (header.form != MessageForm::put) {
        if (header.form != MessageForm::staged && must_stand_back()) return Outcome::blocked;
        const Exposure place{header.form, header.address};
        const std::byte* from = header.form == MessageForm::staged
                                    ? o.in->payload(o.in->row_of(tile.length))
                                    : o.in_connection->address_of(place, tile.length);
        if (from != nullptr) {
            copy(to, from, tile.length);
        } else if (auto read = o.in_connection->read(to, place, tile.length); !read) {
            return failed(read.error());
        }
    }
    return sends(o.kind) ? send_bytes(o, to, tile.length, false) : Outcome::done;
}

Execution::Outcome Execution::combine_arrived(const Operation& o, Tile tile, const Header& header) {
    if (header.form == MessageForm::staged) return combine_message(o, tile, o.in->payload(o.in->row_of(tile.length)));
    if (must_stand_back()) return Outcome::blocked;
    const Exposure place{header.form, header.address};
    if (const std::byte* from = o.in_connection->address_of(place, tile.length)) return combine_message(o, tile, from);
    if (bounce_.size() < tile.length) bounce_.resize(program_->tile_bytes);
    if (auto read = o.in_connection->read(bounce_.data(), place, tile.length); !read) return failed(read.error());
    return combine_message(o, tile, bounce_.data());
}

const Operation* Execution::contradicted() const {
    for (std::size_t i = 0; i < program_->lanes.size(); i++) {
        const LaneProgram& lane = program_->lanes[i];
        if (lanes_[i].done || lanes_[i].next >= lane.count) continue;
        const Operation& o = program_->operations[lane.first + lanes_[i].next];
        if (!receives(o.kind) || o.in == nullptr) continue;
        if (o.dependency_count != 0 && !dependencies_met(o, lanes_[i].tile)) continue;
        if (const auto sent = o.in->next_signature(); sent && *sent != (signature_ ^ o.salt)) return &o;
    }
    return nullptr;
}

// ---- reducing -----------------------------------------------------------------------------------------------------

Execution::Outcome Execution::combine_message(const Operation& o, Tile tile, const std::byte* message) {
    const void* sources[2] = {at(o.source, tile.offset), message};
    return combine_into(o, tile, sources, 2);
}

Execution::Outcome Execution::combine_operands(const Operation& o, Tile tile) {
    if (sends(o.kind) && !may_send(o, tile.length)) return Outcome::blocked;
    if (sources_.size() < o.operand_count) sources_.resize(o.operand_count);
    for (std::uint32_t i = 0; i < o.operand_count; i++)
        sources_[i] = at(program_->operands[o.first_operand + i], tile.offset);
    return combine_into(o, tile, sources_.data(), o.operand_count);
}

// A result that goes to this rank's memory and to a slot is stored twice in one pass where its own copy, or the slot's
// from some length on, goes past the caches. Else it lies in the cache afterwards, and a copy to the slot, which
// overwrites whole lines unread, beats stores here and there by turns.
constexpr std::size_t fused_min_bytes = 64 << 10;
static bool stores_twice(const ReduceArguments& a, std::size_t length) {
    return a.stream_destination || (a.stream_second && length >= fused_min_bytes);
}

// One pass over memory: the sources are read once, the result is stored and lies where the next rank takes it from.
Execution::Outcome Execution::combine_into(const Operation& o, Tile tile, const void* const* sources,
                                           std::uint32_t count) {
    ReduceArguments a{.sources = sources, .source_count = count, .elements = tile.length / program_->element_bytes};
    if (o.completes) a.divisor = program_->divisor;
    a.destination = writes_destination(o.kind) ? at(o.destination, tile.offset) : nullptr;
    a.stream_destination = policy_.streaming_stores && a.destination != nullptr;
    if (!sends(o.kind)) {
        program_->kernel(a);
        return Outcome::done;
    }
    if (tile.length <= packed_bytes) {
        alignas(16) std::byte result[packed_bytes];
        a.second_destination = result;
        if (a.destination == nullptr) a.destination = std::exchange(a.second_destination, nullptr);
        program_->kernel(a);
        o.out->send_packed(result, tile.length, signature_ ^ o.salt);
        return Outcome::done;
    }
    const Offer* offer =
        tile.length >= policy_.direct_min_bytes && !o.sends_to_all ? o.out->offer(signature_ ^ o.salt) : nullptr;
    if (offer != nullptr && must_stand_back()) return Outcome::blocked;
    std::byte* there = offer ? o.out_connection->address_of({offer->form, offer->address}, tile.length) : nullptr;
    if (there == nullptr && a.destination != nullptr) {
        // What the kernel copies from here, or the peer reads here, need not be stored twice.
        const auto* result = static_cast<const std::byte*>(a.destination);
        if (offer != nullptr && copies_into({offer->form, offer->address}, tile.length)) {
            program_->kernel(a);
            const auto put = this->put(o, {offer->form, offer->address}, result, tile.length);
            return put ? Outcome::done : failed(put.error());
        }
        if (o.source_stable && exposure_of(o, result, tile.length)) {
            program_->kernel(a);
            return send_bytes(o, result, tile.length, true);
        }
    }
    a.stream_second = there != nullptr ? policy_.streaming_stores : policy_.streaming_slots;
    a.second_destination = there ? there : o.out->payload(o.out->row_of(tile.length), tile.length);
    if (a.destination == nullptr) {
        a.destination = std::exchange(a.second_destination, nullptr);
        a.stream_destination = a.stream_second;
        program_->kernel(a);
    } else if (there == nullptr && !stores_twice(a, tile.length)) {
        std::byte* slot = static_cast<std::byte*>(std::exchange(a.second_destination, nullptr));
        program_->kernel(a);
        stage(slot, static_cast<const std::byte*>(a.destination), tile.length);
    } else {
        program_->kernel(a);
    }
    if (there != nullptr) {
        o.out->send_header(o.out->row_of(tile.length), MessageForm::put, tile.length, 0, signature_ ^ o.salt);
    } else {
        o.out->send_staged(o.out->row_of(tile.length), tile.length, signature_ ^ o.salt);
    }
    return Outcome::done;
}

}  // namespace tenon
