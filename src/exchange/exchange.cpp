#include "exchange/exchange.hpp"

#include <algorithm>
#include <map>

namespace tenon {
namespace {

constexpr Channel exchange_channel = 0;

std::uint32_t salt_of(std::uint64_t bytes, DataType type) {
    std::uint64_t x = bytes * 0x9e3779b97f4a7c15u + static_cast<std::uint64_t>(type) + 1;
    x ^= x >> 29;
    return static_cast<std::uint32_t>(x * 0xbf58476d1ce4e5b9u >> 32);
}

class ExchangeBuilder {
public:
    ExchangeBuilder(const ExchangeShape& shape, Transport& transport)
        : shape_(shape), transport_(transport), element_(element_bytes(shape.type)) {
        program_.tile_bytes = transport.slot_bytes();
    }

    Result<Program> run() {
        const bool reduce = shape_.collective == Collective::reduce_scatter_v;
        if (auto ok = add_sends(); !ok) return std::unexpected(ok.error());
        if (auto ok = reduce ? add_reduction() : add_receives(); !ok) return std::unexpected(ok.error());
        const Request agreed{.collective = shape_.collective, .rank = shape_.rank, .rank_count = shape_.rank_count,
                             .type = shape_.type, .op = shape_.op};
        program_.signature = signature_of(agreed, "exchange");
        program_.collective = shape_.collective;
        program_.type = shape_.type;
        program_.op = shape_.op;
        program_.element_bytes = static_cast<std::uint32_t>(element_);
        program_.algorithm = "exchange";
        if (reduce) program_.kernel = reduce_kernel(shape_.type, shape_.op);
        if (shape_.op == ReduceOp::avg) program_.divisor = shape_.rank_count;
        describe(program_);
        return std::move(program_);
    }

private:
    Rank shifted(Rank by) const { return (shape_.rank + by + shape_.rank_count) % shape_.rank_count; }
    std::uint64_t bytes(const std::size_t* counts, Rank r) const { return counts[r] * element_; }
    std::uint64_t offset(const std::size_t* offsets, Rank r) const { return offsets[r] * element_; }
    // Blocks of reduce_scatter_v lie one after the other.
    std::uint64_t packed_offset(Rank r) const {
        std::uint64_t sum = 0;
        for (Rank i = 0; i < r; i++) sum += bytes(shape_.receive_counts, i);
        return sum;
    }

    void end_lane(std::uint32_t first) {
        LaneProgram lane{first, static_cast<std::uint32_t>(program_.operations.size()) - first, 1};
        for (std::uint32_t i = first; i < first + lane.count; i++)
            lane.tiles =
                std::max(lane.tiles, (program_.operations[i].bytes + program_.tile_bytes - 1) / program_.tile_bytes);
        program_.lanes.push_back(lane);
    }

    // No message and, between hosts, no connection for it.
    bool needs_none(std::uint64_t length) const { return length == 0 && transport_.needs_progress(); }

    Result<void> add_send(Rank to, std::uint64_t at, std::uint64_t length) {
        if (needs_none(length)) return {};
        auto& connection = transport_.connection(to);
        auto end = connection.send_end(exchange_channel);
        if (!end) return std::unexpected(end.error());
        program_.operations.push_back({.kind = StepKind::send, .source_stable = true, .send_to = to,
                                       .salt = salt_of(length, shape_.type), .out = *end, .out_connection = &connection,
                                       .bytes = length, .source = {BufferId::input, at}});
        program_.moved_bytes += length;
        return {};
    }

    Result<void> add_receive(Rank from, Place to, std::uint64_t length, bool free) {
        if (needs_none(length)) return {};
        auto& connection = transport_.connection(from);
        auto end = connection.receive_end(exchange_channel);
        if (!end) return std::unexpected(end.error());
        program_.operations.push_back({.kind = StepKind::receive, .destination_free = free, .receive_from = from,
                                       .salt = salt_of(length, shape_.type), .in = *end, .in_connection = &connection,
                                       .bytes = length, .destination = to});
        return {};
    }

    void add_copy(std::uint64_t from, std::uint64_t to, std::uint64_t length) {
        program_.operations.push_back({.kind = StepKind::copy, .bytes = length, .source = {BufferId::input, from},
                                       .destination = {BufferId::output, to}});
        program_.moved_bytes += length;
    }

    Result<void> add_sends() {
        for (Rank k = 1; k < shape_.rank_count; k++) {
            const Rank to = shifted(k);
            Result<void> added;
            switch (shape_.collective) {
                case Collective::all_to_all_v:
                    added = add_send(to, offset(shape_.send_offsets, to), bytes(shape_.send_counts, to));
                    break;
                case Collective::all_gather_v:
                    added = add_send(to, 0, bytes(shape_.receive_counts, shape_.rank));
                    break;
                default: added = add_send(to, packed_offset(to), bytes(shape_.receive_counts, to)); break;
            }
            if (!added) return added;
        }
        const Rank own = shape_.rank;
        if (shape_.collective == Collective::all_to_all_v)
            add_copy(offset(shape_.send_offsets, own), offset(shape_.receive_offsets, own),
                     bytes(shape_.send_counts, own));
        if (shape_.collective == Collective::all_gather_v)
            add_copy(0, offset(shape_.receive_offsets, own), bytes(shape_.receive_counts, own));
        end_lane(0);
        return {};
    }

    Result<void> add_receives() {
        const auto first = static_cast<std::uint32_t>(program_.operations.size());
        for (Rank k = 1; k < shape_.rank_count; k++) {
            const Rank from = shifted(-k);
            const Place to{BufferId::output, offset(shape_.receive_offsets, from)};
            if (auto ok = add_receive(from, to, bytes(shape_.receive_counts, from), true); !ok) return ok;
        }
        end_lane(first);
        return {};
    }

    // Contributions to this rank's block into scratch, then the tree over them.
    Result<void> add_reduction() {
        const auto first = static_cast<std::uint32_t>(program_.operations.size());
        const std::uint64_t own = bytes(shape_.receive_counts, shape_.rank);
        program_.operands.resize(static_cast<std::size_t>(shape_.rank_count));
        program_.operands[static_cast<std::size_t>(shape_.rank)] = {BufferId::input, packed_offset(shape_.rank)};
        for (Rank k = 1; k < shape_.rank_count; k++) {
            const Rank from = shifted(-k);
            const Place cell{BufferId::scratch, static_cast<std::uint64_t>(k - 1) * own};
            program_.operands[static_cast<std::size_t>(from)] = cell;
            if (auto ok = add_receive(from, cell, own, false); !ok) return ok;
        }
        program_.scratch_bytes = static_cast<std::uint64_t>(shape_.rank_count - 1) * own;
        program_.operations.push_back({.kind = StepKind::reduce,
                                       .completes = true,
                                       .bytes = own,
                                       .destination = {BufferId::output, 0},
                                       .operand_count = static_cast<std::uint32_t>(shape_.rank_count)});
        end_lane(first);
        return {};
    }

    const ExchangeShape& shape_;
    Transport& transport_;
    std::uint64_t element_;
    Program program_;
};

}  // namespace

Result<Program> exchange_program(const ExchangeShape& shape, Transport& transport) {
    return ExchangeBuilder(shape, transport).run();
}

Result<Program> point_to_point_program(std::span<const PointToPoint> calls, Rank rank, Transport& transport) {
    Program program;
    program.tile_bytes = transport.slot_bytes();
    program.collective = Collective::send;
    static const std::uint32_t signature = signature_of({.collective = Collective::send}, "point to point");
    program.signature = signature;
    program.algorithm = "point to point";
    std::map<std::pair<Rank, bool>, std::vector<const PointToPoint*>> streams;
    for (const PointToPoint& c : calls) streams[{c.peer, c.is_send}].push_back(&c);
    const auto end_lane = [&](std::uint32_t first, std::uint64_t tiles) {
        program.lanes.push_back({first, static_cast<std::uint32_t>(program.operations.size()) - first, tiles});
    };
    for (const auto& [key, list] : streams) {
        const auto [peer, is_send] = key;
        if (peer == rank && !is_send) continue;  // taken care of with the sends
        for (std::size_t i = 0; i < list.size(); i++) {
            // A lane for each call, one after the other, so that a tile of a later call never overtakes an earlier
            // call.
            const PointToPoint& c = *list[i];
            const auto first = static_cast<std::uint32_t>(program.operations.size());
            Operation o{
                .bytes = c.bytes, .source = {BufferId::input, c.address}, .destination = {BufferId::input, c.address}};
            if (peer == rank) {
                o.kind = StepKind::copy;
                o.destination = {BufferId::input, streams.at({rank, false})[i]->address};
            } else {
                auto& connection = transport.connection(peer);
                o.salt = salt_of(c.bytes, c.type);
                o.token = c.bytes == 0;
                if (is_send) {
                    auto end = connection.send_end(point_to_point_channel);
                    if (!end) return std::unexpected(end.error());
                    o.kind = StepKind::send, o.source_stable = true, o.send_to = peer, o.out = *end,
                    o.out_connection = &connection;
                } else {
                    auto end = connection.receive_end(point_to_point_channel);
                    if (!end) return std::unexpected(end.error());
                    o.kind = StepKind::receive, o.receive_from = peer, o.in = *end, o.in_connection = &connection;
                }
                if (i != 0) {
                    o.first_dependency = static_cast<std::uint32_t>(program.dependencies.size());
                    o.dependency_count = 1;
                    program.dependencies.push_back({static_cast<std::uint32_t>(program.lanes.size()) - 1, 0});
                    o.after_whole_lane = true;
                }
            }
            program.operations.push_back(o);
            end_lane(first, std::max<std::uint64_t>(1, (c.bytes + program.tile_bytes - 1) / program.tile_bytes));
            program.moved_bytes += c.bytes;
        }
    }
    return program;
}

}  // namespace tenon
