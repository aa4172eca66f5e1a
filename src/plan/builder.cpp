// PlanBuilder: appends steps, checks their arguments by assertion, and groups the dependencies when the plan is done.
//
// A step may be given dependencies at any time before finish(), so they are kept as pairs until then.
#include "base/assert.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace tenon {

StepHandle& StepHandle::after(StepRef earlier) {
    PlanBuilder& builder = *builder_;
    const auto& lanes = builder.plan_.lanes;
    TENON_ASSERT(earlier.lane < lanes.size() && earlier.step < lanes[earlier.lane].steps.size(),
                 "a step can only wait for a step that was added before");
    if (earlier.lane == at_.lane) {
        TENON_ASSERT(earlier.step < at_.step, "a step cannot wait for itself or a later step of its lane");
        return *this;  // the lane's order says it already
    }
    builder.dependencies_.push_back({at_, earlier});
    builder.step(at_).dependency_count++;
    return *this;
}

StepHandle& StepHandle::completes(bool yes) {
    builder_->step(at_).completes = yes;
    return *this;
}

StepHandle& StepHandle::source_stable() {
    builder_->step(at_).source_stable = true;
    return *this;
}

StepHandle& StepHandle::answered(bool yes) {
    builder_->step(at_).answered = yes;
    return *this;
}

StepHandle& StepHandle::destination_free() {
    builder_->step(at_).destination_free = true;
    return *this;
}

StepHandle LaneBuilder::send(const Chunk& source, Rank to, Channel channel) {
    return add({.kind = StepKind::send, .send_channel = channel, .send_to = to, .source = source});
}

StepHandle LaneBuilder::publish(const Chunk& source) { return send(source, everyone, board_channel); }

StepHandle LaneBuilder::receive(const Chunk& destination, Rank from, Channel channel) {
    return add(
        {.kind = StepKind::receive, .receive_channel = channel, .receive_from = from, .destination = destination});
}

StepHandle LaneBuilder::receive_published(const Chunk& destination, Rank from) {
    return receive(destination, from, board_channel);
}

StepHandle LaneBuilder::receive_send(const Chunk& destination, Rank from, Rank to, Channel channel) {
    return add({.kind = StepKind::receive_send,
                .send_channel = channel,
                .receive_channel = channel,
                .send_to = to,
                .receive_from = from,
                .destination = destination});
}

StepHandle LaneBuilder::receive_reduce(const Chunk& destination, const Chunk& source, Rank from, Channel channel) {
    return add({.kind = StepKind::receive_reduce,
                .receive_channel = channel,
                .receive_from = from,
                .source = source,
                .destination = destination});
}

StepHandle LaneBuilder::exchange_reduce(const Chunk& destination, const Chunk& source, Rank peer, Channel channel) {
    add({.kind = StepKind::send, .exchanged = true, .send_channel = channel, .send_to = peer, .source = source});
    return receive_reduce(destination, source, peer, channel);
}

StepHandle LaneBuilder::receive_reduce_send(const Chunk& source, Rank from, Rank to, Channel channel) {
    return add({.kind = StepKind::receive_reduce_send,
                .send_channel = channel,
                .receive_channel = channel,
                .send_to = to,
                .receive_from = from,
                .source = source});
}

StepHandle LaneBuilder::receive_reduce_copy_send(const Chunk& destination, const Chunk& source, Rank from, Rank to,
                                                 Channel receive_channel, Channel send_channel) {
    return add({.kind = StepKind::receive_reduce_copy_send,
                .send_channel = send_channel,
                .receive_channel = receive_channel,
                .send_to = to,
                .receive_from = from,
                .source = source,
                .destination = destination});
}

StepHandle LaneBuilder::receive_reduce_publish(const Chunk& destination, const Chunk& source, Rank from,
                                               Channel channel) {
    return receive_reduce_copy_send(destination, source, from, everyone, channel, board_channel);
}

StepHandle LaneBuilder::copy(const Chunk& destination, const Chunk& source) {
    return add({.kind = StepKind::copy, .source = source, .destination = destination});
}

StepHandle LaneBuilder::reduce(const Chunk& destination, std::span<const Chunk> operands) {
    return builder_->append(lane_, {.kind = StepKind::reduce, .destination = destination}, operands);
}

StepHandle LaneBuilder::reduce_send(const Chunk& destination, std::span<const Chunk> operands, Rank to,
                                    Channel channel) {
    const Step step{.kind = StepKind::reduce_send, .send_channel = channel, .send_to = to, .destination = destination};
    return builder_->append(lane_, step, operands);
}

StepHandle LaneBuilder::reduce_publish(const Chunk& destination, std::span<const Chunk> operands) {
    return reduce_send(destination, operands, everyone, board_channel);
}

StepHandle LaneBuilder::nothing() { return add({}); }

StepHandle LaneBuilder::add(const Step& step) {
    TENON_ASSERT(step.operand_count == 0 && step.dependency_count == 0,
                 "operands are given to reduce(), dependencies to after()");
    return builder_->append(lane_, step);
}

PlanBuilder::PlanBuilder(const Request& request, std::uint32_t pieces) {
    TENON_ASSERT(pieces > 0, "a block has at least one piece");
    TENON_ASSERT(request.rank >= 0 && request.rank < request.rank_count, "the rank is one of the communicator's");
    TENON_ASSERT(!is_rooted(request.collective) || (request.root >= 0 && request.root < request.rank_count),
                 "the root is one of the communicator's ranks");
    plan_.collective = request.collective;
    plan_.rank = request.rank;
    plan_.rank_count = request.rank_count;
    plan_.root = request.root;
    plan_.pieces = pieces;
    plan_.input_blocks = input_blocks(request.collective, request.rank, request.rank_count, request.root);
    plan_.output_blocks = output_blocks(request.collective, request.rank, request.rank_count, request.root);
}

Chunk PlanBuilder::chunk(BufferId buffer, ChunkIndex index, std::uint32_t count) const {
    TENON_ASSERT(holds({buffer, index, count, 0}), "a chunk lies within its buffer");
    return {buffer, index, count, index % plan_.pieces};
}

Chunk PlanBuilder::input(ChunkIndex index, std::uint32_t count) const { return chunk(BufferId::input, index, count); }

Chunk PlanBuilder::output(ChunkIndex index, std::uint32_t count) const { return chunk(BufferId::output, index, count); }

Chunk PlanBuilder::scratch(const Chunk& like) {
    TENON_ASSERT(like.count <= UINT32_MAX - plan_.scratch_cells, "scratch has fewer than 2^32 cells");
    const Chunk made{BufferId::scratch, plan_.scratch_cells, like.count, like.shape};
    plan_.scratch_cells += like.count;
    return made;
}

LaneBuilder PlanBuilder::lane() {
    plan_.lanes.emplace_back();
    return {*this, static_cast<std::uint32_t>(plan_.lanes.size() - 1)};
}

bool PlanBuilder::holds(const Chunk& chunk) const {
    std::uint64_t cells = plan_.scratch_cells;
    if (chunk.buffer == BufferId::input) cells = std::uint64_t{plan_.input_blocks} * plan_.pieces;
    if (chunk.buffer == BufferId::output) cells = std::uint64_t{plan_.output_blocks} * plan_.pieces;
    return chunk.count == 0 || (chunk.index < cells && chunk.count <= cells - chunk.index);
}

bool PlanBuilder::is_peer(Rank rank, Channel channel) const {
    return rank >= 0 && rank < plan_.rank_count && rank != plan_.rank && channel <= board_channel;
}

StepHandle PlanBuilder::append(std::uint32_t lane, Step step, std::span<const Chunk> operands) {
    TENON_ASSERT(holds(step.source) && holds(step.destination), "a step's chunks lie within their buffers");
    TENON_ASSERT(step.destination.count == 0 || step.destination.buffer != BufferId::input,
                 "the input is never written; write the output, which may be the same memory");
    if (sends(step.kind))
        TENON_ASSERT(step.send_to == everyone
                         ? step.send_channel == board_channel
                         : is_peer(step.send_to, step.send_channel) && step.send_channel < max_channels,
                     "a message goes to another rank on a channel, or to everyone on the board");
    if (receives(step.kind))
        TENON_ASSERT(is_peer(step.receive_from, step.receive_channel), "a message comes from another rank");
    const bool reduces_operands = step.kind == StepKind::reduce || step.kind == StepKind::reduce_send;
    TENON_ASSERT(reduces_operands == !operands.empty(), "reduce steps, and no others, have operands");
    if (reduces_operands) {
        step.first_operand = static_cast<std::uint32_t>(plan_.operands.size());
        step.operand_count = static_cast<std::uint32_t>(operands.size());
        for (const Chunk& operand : operands) TENON_ASSERT(holds(operand), "operands lie within their buffers");
        plan_.operands.insert(plan_.operands.end(), operands.begin(), operands.end());
    }
    auto& steps = plan_.lanes[lane].steps;
    steps.push_back(step);
    return {*this, {lane, static_cast<std::uint32_t>(steps.size() - 1)}};
}

Result<Plan> PlanBuilder::finish() {
    std::uint32_t dependencies = 0;
    for (Lane& lane : plan_.lanes)
        for (Step& step : lane.steps) {
            step.first_dependency = dependencies;
            dependencies += step.dependency_count;
            step.dependency_count = 0;
        }
    plan_.dependencies.resize(dependencies);
    for (const auto& [step_ref, earlier] : dependencies_) {
        Step& waiting = step(step_ref);
        plan_.dependencies[waiting.first_dependency + waiting.dependency_count++] = earlier;
    }
    dependencies_.clear();
    return std::move(plan_);
}

}  // namespace tenon
