// Halving: two ranks that send each other the same chunk, each to add both (Operation::exchanges), and can address each
// other's buffers, do not both read all of the other's. Each reduces one half, stores it in both results, and says so.
//
// A sender that can be helped exposes its source and, in the same header, its result. So when both have, both know, and
// neither waits for anything but the other's half. When only one has, the other reads all that is exposed, and its own
// message lies in a slot, as ever.
#include "execution/execution.hpp"

namespace tenon {
namespace {

// The two operations of an exchange, of which each is run by itself, lie behind each other.
const Operation& reduction_of(const Operation& send) { return *(&send + 1); }
const Operation& send_of(const Operation& reduction) { return *(&reduction - 1); }

}  // namespace

// The lower rank's half is the first; they meet where a cache line may.
Execution::Tile Execution::half_of(Tile tile, bool first) const {
    const std::size_t grain = std::max<std::size_t>(cache_line_bytes, program_->element_bytes);
    const std::size_t middle = tile.length / 2 / grain * grain;
    return first ? Tile{tile.offset, middle} : Tile{tile.offset + middle, tile.length - middle};
}

// Instead of staging; false where the peer cannot address both source and result.
bool Execution::try_expose_for_halving(const Operation& o, Tile tile) {
    exchange_ = {};
    if (tile.length < policy_.direct_min_bytes) return false;
    const Connection& peer = *o.out_connection;
    const auto source = peer.expose(at(o.source, tile.offset), tile.length);
    const auto result = peer.expose(at(reduction_of(o).destination, tile.offset), tile.length);
    if (!source || !result || source->form != result->form || source->form == MessageForm::carried ||
        !peer.peer_addresses(*source))
        return false;
    const Row row = o.out->row_of(tile.length);
    o.out->send_header(row, source->form, tile.length, source->address, signature_ ^ o.salt, result->address);
    exchange_ = {.exposed = o.out->bulk_sent(row)};
    return true;
}

// The peer's message has come; this rank has exposed its own.
Execution::Outcome Execution::reduce_exchanged(const Operation& o, Tile tile, const Header& header) {
    const bool both = header.form != MessageForm::staged && header.result != no_result;
    const Outcome outcome = exchange_.halved ? take_other_half(o, tile, header)
                            : both           ? reduce_half(o, tile, header)
                                             : reduce_alone(o, tile, header);
    if (outcome == Outcome::done) exchange_ = {};
    return outcome;
}

// In both results. Blocks until the peer's half is here, which has its own message.
Execution::Outcome Execution::reduce_half(const Operation& o, Tile tile, const Header& header) {
    SendEnd& out = *send_of(o).out;
    const Row row = o.in->row_of(tile.length);
    if (!out.may_send_bulk(row) || must_stand_back()) return Outcome::blocked;
    const Exposure source{header.form, header.address}, result{header.form, header.result};
    const std::byte* theirs = o.in_connection->address_of(source, tile.length);
    std::byte* there = o.in_connection->address_of(result, tile.length);
    if (theirs == nullptr || there == nullptr)  // what read() says of it
        return failed(o.in_connection->read(at(o.destination, tile.offset), source, tile.length).error());
    const Tile mine = half_of(tile, program_->rank < o.receive_from);
    const std::uint64_t begin = mine.offset - tile.offset;
    const void* sources[2] = {at(o.source, mine.offset), theirs + begin};
    program_->kernel({.destination = at(o.destination, mine.offset),
                      .second_destination = there + begin,
                      .sources = sources,
                      .source_count = 2,
                      .elements = mine.length / program_->element_bytes,
                      .divisor = o.completes ? program_->divisor : 1,
                      .stream_destination = policy_.streaming_stores,
                      .stream_second = policy_.streaming_stores});
    o.in->release_bulk(row, false);  // the peer waits for this half, not for that
    out.send_header(row, MessageForm::put, tile.length, 0, signature_ ^ o.salt);
    exchange_.halved = true;
    return Outcome::blocked;
}

Execution::Outcome Execution::take_other_half(const Operation& o, Tile tile, const Header& header) {
    if (header.form != MessageForm::put) return disagree(o);
    o.in->release_bulk(o.in->row_of(tile.length), false);
    return Outcome::done;
}

// The peer has not exposed its own, and reads all of this rank's source, which must stay as it is until then.
Execution::Outcome Execution::reduce_alone(const Operation& o, Tile tile, const Header& header) {
    const Row row = o.in->row_of(tile.length);
    if (!send_of(o).out->bulk_taken(row, exchange_.exposed)) return Outcome::blocked;
    const Outcome outcome = combine_arrived(o, tile, header);
    if (outcome == Outcome::done) o.in->release_bulk(row, is_exposed(header.form));
    return outcome;
}

}  // namespace tenon
