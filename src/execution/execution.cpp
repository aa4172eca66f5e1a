#include "execution/execution.hpp"

#include <fmt/format.h>

#include <cstring>

#include "base/assert.hpp"

namespace tenon {

void Execution::begin(const Program& program, const Buffers& buffers, std::uint32_t signature,
                      const AccessPolicy& policy) {
    program_ = &program;
    bases_[0] = const_cast<std::byte*>(buffers.input);  // never written: plans write output and scratch only
    bases_[1] = buffers.output;
    bases_[2] = buffers.scratch;
    signature_ = signature;
    acknowledging_ = false;
    lanes_left_ = program.lanes.size();
    if (lanes_.size() < lanes_left_) lanes_.resize(lanes_left_);
    for (std::size_t i = 0; i < lanes_left_; i++) lanes_[i] = LaneState{};
    begin_bulk(policy);
}

void Execution::begin_bulk(const AccessPolicy& policy) {
    policy_ = policy;
    exposed_.clear();
    exchange_ = {};
    if (!program_->has_offers || program_->moved_bytes < policy.direct_min_bytes) return;
    for (const Operation& o : program_->operations)
        if (o.offers && o.bytes > packed_bytes) post_first_offers(o);
}

// Makes a small run one that advance() can go on with: all operations before `next` are done.
void Execution::leave_small(std::uint32_t next) {
    if (program_->packed) begin_bulk({});
    acknowledging_ = false;
    lanes_left_ = 0;
    if (lanes_.size() < program_->lanes.size()) lanes_.resize(program_->lanes.size());
    for (std::size_t i = 0; i < program_->lanes.size(); i++) {
        const LaneProgram& lane = program_->lanes[i];
        const bool done = lane.first + lane.count <= next;
        lanes_[i] = {.next = !done && next > lane.first ? next - lane.first : 0, .tile = 0, .done = done};
        if (!done) lanes_left_++;
    }
}

// Have the readers taken all that this run exposed?
bool Execution::all_taken() {
    while (!exposed_.empty()) {
        if (!exposed_.back().end->bulk_taken(exposed_.back().row, exposed_.back().count)) return false;
        exposed_.pop_back();
    }
    return true;
}

namespace {
constexpr int tiles_in_a_turn = 4;
}

Progress Execution::advance() {
    moved_ = sent_ = false;
    if (!acknowledging_) {
        const std::size_t lane_count = program_->lanes.size();
        for (std::size_t i = 0; i < lane_count; i++)
            if (!lanes_[i].done && !advance_lane(i)) return Progress::failed;
        if (lanes_left_ != 0) return Progress::blocked;
        acknowledging_ = true;
    }
    return all_taken() ? Progress::done : Progress::blocked;
}

// Runs the lane until it blocks or has had its turn; false if it failed. Lanes take turns of a few tiles, so that what
// one puts into a slot is taken out again while it lies in a near cache; turns of one tile would wait for the peer too
// often.
bool Execution::advance_lane(std::size_t index) {
    const LaneProgram& lane = program_->lanes[index];
    LaneState& state = lanes_[index];
    const Operation* operations = program_->operations.data() + lane.first;
    int tiles = 0;
    for (;;) {
        if (state.next == lane.count) {
            state.next = 0;
            if (++state.tile >= lane.tiles) {
                state.done = true;
                lanes_left_--;
                return true;
            }
            if (++tiles == tiles_in_a_turn) return true;
        }
        const Operation& operation = operations[state.next];
        const std::uint64_t offset = state.tile * program_->tile_bytes;
        const Tile tile{offset,
                        operation.bytes > offset ? std::min(operation.bytes - offset, program_->tile_bytes) : 0};
        if (operation.dependency_count != 0 && !dependencies_met(operation, state.tile)) return true;
        if (tile.length != 0 || (operation.token && state.tile == 0)) {
            const Outcome outcome = step(operation, tile);
            if (outcome == Outcome::blocked) return true;
            if (outcome == Outcome::failed) return false;
            moved_ = true;
            sent_ |= sends(operation.kind);
        }
        state.next++;
    }
}

bool Execution::dependencies_met(const Operation& operation, std::uint64_t tile) const {
    for (std::uint32_t i = 0; i < operation.dependency_count; i++) {
        const StepRef earlier = program_->dependencies[operation.first_dependency + i];
        const LaneState& lane = lanes_[earlier.lane];
        if (lane.done) continue;
        if (operation.after_whole_lane || lane.tile < tile || (lane.tile == tile && lane.next <= earlier.step))
            return false;
    }
    return true;
}

std::optional<Execution::Blocked> Execution::blocked_on() const {
    for (std::size_t i = 0; i < program_->lanes.size(); i++) {
        const LaneProgram& lane = program_->lanes[i];
        if (lanes_[i].done || lane.count == 0) continue;
        const std::uint32_t step = lanes_[i].next % lane.count;
        const Operation& o = program_->operations[lane.first + step];
        if (o.dependency_count == 0 || dependencies_met(o, lanes_[i].tile)) return Blocked{&o, i, step, lanes_[i].tile};
    }
    return std::nullopt;
}

Rank Execution::awaited_peer() const {
    const auto blocked = blocked_on();
    if (!blocked) return no_rank;
    return receives(blocked->operation->kind) ? blocked->operation->receive_from : blocked->operation->send_to;
}

// In the terms of `tenon plan`.
std::string Execution::step_in_words() const {
    const auto blocked = blocked_on();
    if (!blocked) return "its last acknowledgements";
    return fmt::format("{} (lane {}, step {}, tile {})", name_of(blocked->operation->kind), blocked->lane,
                       blocked->step, blocked->tile);
}

std::optional<Work::Contradiction> Execution::contradiction() const {
    const Operation* o = contradicted();
    if (o == nullptr) return std::nullopt;
    return Contradiction{o->receive_from, o->bytes};
}

Execution::Outcome Execution::step(const Operation& o, Tile tile) {
    switch (o.kind) {
        case StepKind::send: return send(o, tile);
        case StepKind::receive:
        case StepKind::receive_send:
        case StepKind::receive_reduce:
        case StepKind::receive_reduce_send:
        case StepKind::receive_reduce_copy_send: return receive(o, tile);
        case StepKind::copy:
            copy(at(o.destination, tile.offset), at(o.source, tile.offset), tile.length);
            return Outcome::done;
        case StepKind::reduce:
        case StepKind::reduce_send: return combine_operands(o, tile);
        case StepKind::nothing: return Outcome::done;
    }
    return Outcome::done;
}

void Execution::copy(std::byte* to, const std::byte* from, std::size_t length) const {
    if (to == from) return;
    if (policy_.streaming_stores) {
        copy_streaming(to, from, length);
    } else {
        copy_bytes(to, from, length);
    }
}

void Execution::stage(std::byte* slot, const std::byte* from, std::size_t length) const {
    if (policy_.streaming_slots) {
        copy_streaming(slot, from, length);
    } else {
        copy_bytes(slot, from, length);
    }
}

Execution::Outcome Execution::failed(Error error) {
    error_ = std::move(error);
    return Outcome::failed;
}

// The words are the communicator's, which knows both sides; here is only the fact.
Execution::Outcome Execution::disagree(const Operation& o) {
    return failed({Status::mismatch, "rank " + std::to_string(o.receive_from) + " made another call"});
}

}  // namespace tenon
