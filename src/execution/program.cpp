#include "execution/program.hpp"

#include <algorithm>
#include <unordered_map>

#include "base/assert.hpp"

namespace tenon {
namespace {

class Binder {
public:
    Binder(const Plan& plan, const Request& request, Transport& transport)
        : plan_(plan), request_(request), transport_(transport), element_bytes_(element_bytes(request.type)) {}

    Result<Program> run() {
        Program& p = program_;
        p.tile_bytes = transport_.slot_bytes();
        if (plan_.tile_bytes != 0 && plan_.tile_bytes != one_tile)
            p.tile_bytes = std::min(p.tile_bytes, plan_.tile_bytes);
        p.tile_bytes -= p.tile_bytes % element_bytes_;
        if (plan_.tile_bytes != one_tile) p.dependencies = plan_.dependencies;
        for (const Chunk& c : plan_.operands) p.operands.push_back(place(c));
        for (const Lane& lane : plan_.lanes)
            if (auto added = add(lane); !added) return std::unexpected(added.error());
        const std::uint64_t piece = piece_elements(request_.count, plan_.pieces, request_.type).value;
        p.scratch_bytes = plan_.scratch_cells * piece * element_bytes_;
        p.moved_bytes = std::max(read_, written_);
        describe(p);
        return std::move(p);
    }

private:
    Place place(const Chunk& chunk) const {
        return {chunk.buffer, element_range(chunk, plan_.pieces, request_.count, request_.type).first * element_bytes_};
    }
    std::uint64_t bytes(const Chunk& chunk) const {
        return element_range(chunk, plan_.pieces, request_.count, request_.type).count * element_bytes_;
    }

    Result<void> add(const Lane& lane) { return plan_.tile_bytes == one_tile ? add_uncut(lane) : add_cut(lane); }

    // A plan whose chunks are not cut: each step is a lane of its own, whose messages may take several slots, and
    // begins when all of the step before it is done.
    Result<void> add_uncut(const Lane& lane) {
        const auto lane_index = static_cast<std::uint32_t>(&lane - plan_.lanes.data());
        std::uint32_t before = 0;  // lanes made of the plan's earlier ones
        std::vector<std::uint32_t> first(plan_.lanes.size());
        for (std::size_t i = 0; i < plan_.lanes.size(); i++) {
            first[i] = before;
            before += static_cast<std::uint32_t>(plan_.lanes[i].steps.size());
        }
        for (std::uint32_t s = 0; s < lane.steps.size(); s++) {
            auto operation = resolve(lane.steps[s]);
            if (!operation) return std::unexpected(operation.error());
            operation->after_whole_lane = true;
            operation->first_dependency = static_cast<std::uint32_t>(program_.dependencies.size());
            for (const StepRef d : plan_.dependencies_of(lane.steps[s]))
                program_.dependencies.push_back({first[d.lane] + d.step, 0});
            if (s != 0) program_.dependencies.push_back({first[lane_index] + s - 1, 0});
            operation->dependency_count =
                static_cast<std::uint32_t>(program_.dependencies.size()) - operation->first_dependency;
            program_.lanes.push_back({static_cast<std::uint32_t>(program_.operations.size()), 1, tiles_of(*operation)});
            program_.operations.push_back(*operation);
        }
        return {};
    }

    std::uint64_t tiles_of(const Operation& o) const {
        return std::max<std::uint64_t>(1, (o.bytes + program_.tile_bytes - 1) / program_.tile_bytes);
    }

    Result<void> add_cut(const Lane& lane) {
        LaneProgram bound{static_cast<std::uint32_t>(program_.operations.size()),
                          static_cast<std::uint32_t>(lane.steps.size()), 1};
        for (const Step& step : lane.steps) {
            auto operation = resolve(step);
            if (!operation) return std::unexpected(operation.error());
            bound.tiles = std::max(bound.tiles, tiles_of(*operation));
            operation->exchanges = step.exchanged || (&step != lane.steps.data() && (&step - 1)->exchanged);
            program_.operations.push_back(*operation);
        }
        program_.lanes.push_back(bound);
        return {};
    }

    Result<Operation> resolve(const Step& step) {
        // A board's writer puts nothing, and its readers would share one place for their offers.
        const bool may_offer = step.destination_free && step.receive_channel != board_channel;
        Operation o{.kind = step.kind, .completes = step.completes, .source_stable = step.source_stable,
                    .destination_free = may_offer, .answered = step.answered, .sends_to_all = step.send_to == everyone,
                    .send_to = step.send_to, .receive_from = step.receive_from,
                    .first_operand = step.first_operand, .operand_count = step.operand_count,
                    .first_dependency = step.first_dependency, .dependency_count = step.dependency_count};
        const Chunk& sized = writes_destination(step.kind) ? step.destination : step.source;
        o.bytes = bytes(sized);
        o.token = sized.count == 0 && (sends(step.kind) || receives(step.kind));
        if (reads_source(step.kind)) o.source = place(step.source), read_ += o.bytes;
        if (writes_destination(step.kind)) o.destination = place(step.destination), written_ += o.bytes;
        read_ += o.bytes * step.operand_count;
        // No message and, between hosts, no connection for it.
        if (o.bytes == 0 && !o.token && transport_.needs_progress()) return o;
        if (sends(step.kind)) {
            auto end = o.sends_to_all ? transport_.board_send_end()
                                      : transport_.connection(step.send_to).send_end(step.send_channel);
            if (!end) return std::unexpected(end.error());
            o.out = *end;
            o.out_connection = o.sends_to_all ? to_everyone() : &transport_.connection(step.send_to);
        }
        if (receives(step.kind)) {
            auto end = step.receive_channel == board_channel
                           ? transport_.board_receive_end(step.receive_from)
                           : transport_.connection(step.receive_from).receive_end(step.receive_channel);
            if (!end) return std::unexpected(end.error());
            o.in = *end;
            o.in_connection = &transport_.connection(step.receive_from);
        }
        return o;
    }

    // Any connection will do to say where bytes lie, if they reach all peers in one way; otherwise there is none.
    Connection* to_everyone() {
        Connection* any = nullptr;
        for (Rank peer = 0; peer < plan_.rank_count; peer++) {
            if (peer == plan_.rank) continue;
            Connection& other = transport_.connection(peer);
            if (any != nullptr && any->name() != other.name()) return nullptr;
            any = &other;
        }
        return any;
    }

    const Plan& plan_;
    const Request& request_;
    Transport& transport_;
    std::uint64_t element_bytes_;
    std::uint64_t read_ = 0, written_ = 0;
    Program program_;
};

}  // namespace

void describe(Program& program) {
    std::unordered_map<const ReceiveEnd*, int> receivers;
    for (const Operation& o : program.operations)
        if (o.in != nullptr) receivers[o.in]++;
    program.has_offers = false;
    for (Operation& o : program.operations) {
        o.offers = o.destination_free && o.kind == StepKind::receive && receivers[o.in] == 1;
        program.has_offers = program.has_offers || o.offers;
    }
    const auto all = [&](auto holds) { return std::ranges::all_of(program.operations, holds); };
    program.small = program.moved_bytes <= small_bytes &&
                    all([&](const Operation& o) { return o.bytes <= program.tile_bytes && o.dependency_count == 0; });
    program.only_sends = all([](const Operation& o) { return !receives(o.kind); });
    program.packed = program.small && all([](const Operation& o) { return o.bytes <= packed_bytes; });
}

Result<Program> bind(const Plan& plan, const Request& request, Transport& transport) {
    TENON_ASSERT(plan.rank == request.rank && plan.rank_count == request.rank_count, "the plan is another rank's");
    auto program = Binder(plan, request, transport).run();
    if (!program) return program;
    program->rank = request.rank;
    program->collective = request.collective;
    program->type = request.type;
    program->op = request.op;
    program->root = request.root;
    program->count = request.count.value;
    program->element_bytes = static_cast<std::uint32_t>(element_bytes(request.type));
    program->signature = signature_of(request, plan.algorithm);
    if (reduces(request.collective)) program->kernel = reduce_kernel(request.type, request.op);
    if (request.op == ReduceOp::avg) program->divisor = request.rank_count;
    return program;
}

std::uint32_t signature_of(const Request& request, std::string_view algorithm) {
    // FNV-1a over the agreed fields; what matters is that unlike calls differ, not strength.
    std::uint64_t hash = 0xcbf29ce484222325u;
    const auto mix = [&](std::uint64_t value) {
        for (int i = 0; i < 8; i++, value >>= 8) hash = (hash ^ (value & 255)) * 0x100000001b3u;
    };
    mix(static_cast<std::uint64_t>(request.collective));
    mix(request.count.value);
    mix(static_cast<std::uint64_t>(request.type));
    mix(reduces(request.collective) ? static_cast<std::uint64_t>(request.op) : 0);
    mix(is_rooted(request.collective) ? static_cast<std::uint64_t>(request.root) : 0);
    for (const char c : algorithm) mix(static_cast<unsigned char>(c));
    return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

}  // namespace tenon
