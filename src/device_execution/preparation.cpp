#include "device_execution/preparation.hpp"

#include <algorithm>
#include <bit>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t alignment = 512;

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

// Of a reduction's operands: how many sums are open at once, beside the destination.
std::uint64_t partial_sums_of(std::size_t operands) { return static_cast<std::uint64_t>(std::bit_width(operands)); }

}  // namespace

Preparation::Preparation(device::Device& device, DeviceLinks& links, const OrderedPlan& ordered, const Request& request,
                         const DeviceBuffers& buffers)
    : device_{device},
      links_{links},
      plan_{ordered.plan},
      order_{ordered.order},
      request_{request},
      buffers_{buffers},
      element_bytes_{element_bytes(request.type)},
      cut_{TileCut::of(plan_, request, links.slot_bytes())},
      is_cut_{plan_.tile_bytes != one_tile},
      lanes_(plan_.lanes.size()),
      is_awaited_(plan_.lanes.size()) {
    const auto ends = static_cast<std::size_t>(plan_.rank_count) * links.channels();
    sent_.resize(ends);
    received_.resize(ends);
    for (std::uint32_t lane = 0; lane < plan_.lanes.size(); lane++) {
        lanes_[lane].number = lane;
        is_awaited_[lane].resize(plan_.lanes[lane].steps.size());
        for (const Step& step : plan_.lanes[lane].steps)
            lanes_[lane].tiles = std::max(lanes_[lane].tiles, cut_.tiles_of(plan_, step));
    }
    for (std::uint32_t lane = 0; lane < plan_.lanes.size(); lane++)
        for (const Step& step : plan_.lanes[lane].steps)
            for (const StepRef& earlier : plan_.dependencies_of(step))
                if (earlier.lane != lane) is_awaited_[earlier.lane][earlier.step] = true;
}

std::uint64_t Preparation::cell_bytes() const {
    const std::uint64_t piece = piece_elements(request_.count, plan_.pieces, request_.type).value * element_bytes_;
    return aligned(plan_.scratch_cells * piece);
}

std::uint64_t Preparation::partial_sum_bytes() const {
    std::size_t most_operands = 0;
    for (const Lane& lane : plan_.lanes)
        for (const Step& step : lane.steps) most_operands = std::max<std::size_t>(most_operands, step.operand_count);
    return most_operands < 2 ? 0 : partial_sums_of(most_operands) * aligned(cut_.tile_bytes);
}

std::uint64_t Preparation::scratch_bytes() const { return cell_bytes() + partial_sum_bytes() * lanes_.size(); }

Result<DeviceCall> Preparation::prepare(std::byte* scratch) {
    call_.type_ = request_.type;
    call_.op_ = request_.op;
    call_.lane_count_ = lanes_.size();
    scratch_ = scratch;
    for (LaneState& lane : lanes_) lane.partial_sums = scratch + cell_bytes() + lane.number * partial_sum_bytes();
    if (auto started = start_lanes(); !started) return std::unexpected(started.error());
    if (auto added = is_cut_ ? add_by_tiles() : add_by_steps(); !added) return std::unexpected(added.error());
    if (auto joined = join_lanes(); !joined) return std::unexpected(joined.error());
    if (auto cut = call_.cut_into_parts(device_); !cut) return std::unexpected(cut.error());
    return std::move(call_);
}

// The first lane runs on the caller's stream, the others beside it from here on.
Result<void> Preparation::start_lanes() {
    device::Event* begin = nullptr;
    for (LaneState& lane : lanes_) {
        if (lane.number == 0) continue;
        if (begin == nullptr) {
            const auto event = call_.new_event(device_);
            if (!event) return std::unexpected(event.error());
            begin = *event;
            add_record(lanes_[0], *begin);
        }
        add_wait(lane, *begin);
    }
    return {};
}

Result<void> Preparation::join_lanes() {
    for (const LaneState& lane : lanes_) {
        if (lane.number == 0) continue;
        const auto event = call_.new_event(device_);
        if (!event) return std::unexpected(event.error());
        add_record(lane, **event);
        add_wait(lanes_[0], **event);
    }
    return {};
}

Result<void> Preparation::add_by_tiles() {
    std::uint64_t most_tiles = 0;
    for (const LaneState& lane : lanes_) most_tiles = std::max(most_tiles, lane.tiles);
    for (std::uint64_t tile = 0; tile < most_tiles; tile++)
        for (const StepRef& at : order_)
            if (tile < lanes_[at.lane].tiles)
                if (auto added = add_part(at, tile); !added) return added;
    return {};
}

// A step comes as often as it has tiles, and no other of its lane between.
Result<void> Preparation::add_by_steps() {
    std::vector<std::pair<std::uint32_t, std::uint64_t>> next(lanes_.size());  // step and tile
    for (const StepRef& at : order_) {
        auto& [step, tile] = next[at.lane];
        if (step != at.step) next[at.lane] = {at.step, 0};
        if (auto added = add_part(at, tile++); !added) return added;
    }
    return {};
}

Result<void> Preparation::add_part(const StepRef& at, std::uint64_t tile) {
    LaneState& lane = lanes_[at.lane];
    const Step& step = plan_.lanes[at.lane].steps[at.step];
    wait_for_dependencies(lane, step, tile);
    if (const Range range = range_of(step, tile); !range.is_empty()) add(lane, step, range);
    if (!is_awaited_[at.lane][at.step]) return {};
    const auto event = call_.new_event(device_);
    if (!event) return std::unexpected(event.error());
    add_record(lane, **event);
    lane.reached[{at.step, tile}] = *event;
    return {};
}

Preparation::Range Preparation::range_of(const Step& step, std::uint64_t tile) const {
    const Chunk& sized = writes_destination(step.kind) ? step.destination : step.source;
    const bool is_token = sized.count == 0 && (sends(step.kind) || receives(step.kind)) && tile == 0;
    const std::uint64_t bytes =
        element_range(sized, plan_.pieces, request_.count, request_.type).count * element_bytes_;
    const std::uint64_t offset = tile * cut_.tile_bytes;
    if (offset >= bytes) return {.offset = 0, .bytes = 0, .is_token = is_token};
    return {.offset = offset, .bytes = std::min(cut_.tile_bytes, bytes - offset), .is_token = is_token};
}

device::Event* Preparation::event_of(const StepRef& dependency, std::uint64_t tile) const {
    const LaneState& of = lanes_[dependency.lane];
    const Step& step = plan_.lanes[dependency.lane].steps[dependency.step];
    // A lane with fewer tiles is done with all of them before.
    const std::uint64_t awaited = is_cut_ ? std::min(tile, of.tiles - 1) : cut_.tiles_of(plan_, step) - 1;
    const auto reached = of.reached.find({dependency.step, awaited});
    TENON_ASSERT(reached != of.reached.end(), "a step comes after what it depends on");
    return reached->second;
}

// Once for each step of a plan that is not cut: later tiles come after the first in the same stream.
void Preparation::wait_for_dependencies(const LaneState& lane, const Step& step, std::uint64_t tile) {
    if (!is_cut_ && tile != 0) return;
    for (const StepRef& earlier : plan_.dependencies_of(step))
        // The stream itself keeps the order within a lane.
        if (earlier.lane != lane.number) add_wait(lane, *event_of(earlier, tile));
}

std::byte* Preparation::at(const Chunk& chunk, std::uint64_t offset) const {
    const std::uint64_t first =
        element_range(chunk, plan_.pieces, request_.count, request_.type).first * element_bytes_ + offset;
    switch (chunk.buffer) {
        // Only ever read.
        case BufferId::input:
            return const_cast<std::byte*>(static_cast<const std::byte*>(buffers_.input)) + first;
        case BufferId::output:
            return static_cast<std::byte*>(buffers_.output) + first;
        default:
            return scratch_ + first;
    }
}

void Preparation::add_copy(const LaneState& lane, void* destination, const void* source, std::uint64_t bytes) {
    if (destination == source || bytes == 0) return;
    call_.operations_.push_back({.kind = StreamOperation::Kind::copy,
                                 .lane = lane.number,
                                 .destination = destination,
                                 .source = source,
                                 .count = bytes});
}
void Preparation::add_combination(const LaneState& lane, void* destination, const void* source, std::uint64_t bytes) {
    if (bytes == 0) return;
    call_.operations_.push_back({.kind = StreamOperation::Kind::reduce,
                                 .lane = lane.number,
                                 .destination = destination,
                                 .source = source,
                                 .count = bytes / element_bytes_});
}
void Preparation::add_record(const LaneState& lane, device::Event& event) {
    call_.operations_.push_back({.kind = StreamOperation::Kind::record_event, .lane = lane.number, .event = &event});
}
void Preparation::add_wait(const LaneState& lane, device::Event& event) {
    call_.operations_.push_back({.kind = StreamOperation::Kind::wait_event, .lane = lane.number, .event = &event});
}
void Preparation::add_record(const LaneState& lane, device::Notify& notify) {
    call_.operations_.push_back({.kind = StreamOperation::Kind::record_notify, .lane = lane.number, .notify = &notify});
}
void Preparation::add_wait(const LaneState& lane, device::Notify& notify) {
    call_.operations_.push_back({.kind = StreamOperation::Kind::wait_notify, .lane = lane.number, .notify = &notify});
}

void Preparation::add(const LaneState& lane, const Step& step, const Range& range) {
    if (receives(step.kind)) return add_receive(lane, step, range);
    switch (step.kind) {
        case StepKind::send:
            return add_send(lane, step, at(step.source, range.offset), range.bytes);
        case StepKind::copy:
            return add_copy(lane, at(step.destination, range.offset), at(step.source, range.offset), range.bytes);
        case StepKind::reduce:
        case StepKind::reduce_send:
            return add_reduction(lane, step, range);
        default:
            return;
    }
}

void Preparation::add_send(const LaneState& lane, const Step& step, const void* source, std::uint64_t bytes) {
    DeviceLinks::SendEnd& end = links_.send_end(step.send_to, step.send_channel);
    const auto place = static_cast<std::size_t>(step.send_to) * links_.channels() + step.send_channel;
    const std::size_t slot = sent_[place]++ % DeviceLinks::slots_per_channel;
    add_wait(lane, *end.free[slot]);
    add_copy(lane, end.slots[slot], source, bytes);
    add_record(lane, *end.arrived[slot]);
    call_.count_sent(step.send_to, bytes);
}

void Preparation::add_receive(const LaneState& lane, const Step& step, const Range& range) {
    DeviceLinks::ReceiveEnd& end = links_.receive_end(step.receive_from, step.receive_channel);
    const auto place = static_cast<std::size_t>(step.receive_from) * links_.channels() + step.receive_channel;
    const std::size_t slot = received_[place]++ % DeviceLinks::slots_per_channel;
    std::byte* const message = end.slots[slot];
    // The message may be what says that the destination may be written, so nothing comes before it.
    add_wait(lane, *end.arrived[slot]);
    if (!writes_destination(step.kind)) {  // receive_reduce_send: the slot itself holds the result
        add_combination(lane, message, at(step.source, range.offset), range.bytes);
        add_send(lane, step, message, range.bytes);
        add_record(lane, *end.free[slot]);
        return;
    }
    std::byte* const result = at(step.destination, range.offset);
    if (combines(step.kind)) {
        add_copy(lane, result, at(step.source, range.offset), range.bytes);
        add_combination(lane, result, message, range.bytes);
    } else {
        add_copy(lane, result, message, range.bytes);
    }
    add_record(lane, *end.free[slot]);
    if (sends(step.kind)) add_send(lane, step, result, range.bytes);
}

void Preparation::add_reduction(const LaneState& lane, const Step& step, const Range& range) {
    std::byte* const destination = at(step.destination, range.offset);
    std::vector<const std::byte*> operands;
    for (const Chunk& operand : plan_.operands_of(step)) operands.push_back(at(operand, range.offset));
    // The destination may be one of the operands; only as the first one may it be written before all are read.
    if (std::find(operands.begin() + 1, operands.end(), destination) != operands.end()) {
        add_sum(lane, lane.partial_sums, operands, range.bytes, 1);
        add_copy(lane, destination, lane.partial_sums, range.bytes);
    } else {
        add_sum(lane, destination, operands, range.bytes, 0);
    }
    if (sends(step.kind)) add_send(lane, step, destination, range.bytes);
}

void Preparation::add_sum(const LaneState& lane, std::byte* destination, std::span<const std::byte* const> operands,
                          std::uint64_t bytes, std::size_t depth) {
    if (operands.size() == 1) return add_copy(lane, destination, operands.front(), bytes);
    const std::size_t half = std::bit_floor(operands.size() - 1);
    add_sum(lane, destination, operands.first(half), bytes, depth);
    const auto rest = operands.subspan(half);
    if (rest.size() == 1) return add_combination(lane, destination, rest.front(), bytes);
    std::byte* const partial = lane.partial_sums + depth * aligned(cut_.tile_bytes);
    add_sum(lane, partial, rest, bytes, depth + 1);
    add_combination(lane, destination, partial, bytes);
}

}  // namespace tenon
