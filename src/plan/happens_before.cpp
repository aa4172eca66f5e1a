#include "plan/happens_before.hpp"

#include <algorithm>

namespace tenon {

std::uint32_t first_piece(const Chunk& chunk, std::uint32_t pieces) {
    return std::uint64_t{chunk.shape} + chunk.count > pieces ? 0 : chunk.shape;
}

HappensBefore::HappensBefore(const World& world, std::span<const StepId> order)
    : world_(world),
      position_(world.step_count()),
      first_dependent_(world.step_count() + 1),
      stamp_(world.lane_count()),
      walked_from_(world.lane_count()) {
    for (std::uint32_t i = 0; i < order.size(); i++) position_[order[i]] = i;
    const auto each_dependency = [&](auto&& use) {
        for (StepId id = 0; id < world.step_count(); id++)
            for (const StepRef& earlier : world.plan_of(id).dependencies_of(world.step(id)))
                use(world.id(world.plan_of(id).rank, earlier), id);
    };
    each_dependency([&](StepId earlier, StepId) { first_dependent_[earlier + 1]++; });
    for (std::size_t i = 1; i < first_dependent_.size(); i++) first_dependent_[i] += first_dependent_[i - 1];
    dependents_.resize(first_dependent_.back());
    std::vector<std::uint32_t> next(first_dependent_.begin(), first_dependent_.end() - 1);
    each_dependency([&](StepId earlier, StepId id) { dependents_[next[earlier]++] = id; });
}

bool HappensBefore::operator()(StepId earlier, StepId later, std::uint32_t piece) {
    if (world_.lane_of(earlier) == world_.lane_of(later)) return earlier < later;
    if (position_[earlier] >= position_[later]) return false;
    query_++;
    open_.clear();
    open_.push_back(earlier);
    while (!open_.empty()) {
        const StepId from = open_.back();
        open_.pop_back();
        const LaneId lane = world_.lane_of(from);
        if (lane == world_.lane_of(later)) return true;
        const StepId end = walked(lane) ? walked_from_[lane] : world_.end_step(lane);
        if (from >= end) continue;
        stamp_[lane] = query_;
        walked_from_[lane] = from;
        for (StepId id = from; id < end && position_[id] < position_[later]; id++) push_successors(id, piece, later);
    }
    return false;
}

void HappensBefore::push_successors(StepId id, std::uint32_t piece, StepId later) {
    for (std::uint32_t i = first_dependent_[id]; i < first_dependent_[id + 1]; i++) push(dependents_[i], later);
    const Step& step = world_.step(id);
    if (!sends(step.kind) || first_piece(sent_chunk(step), world_.plan_of(id).pieces) > piece) return;
    const ChannelId first = world_.first_outgoing(id);
    for (ChannelId c = first; c < first + world_.outgoing_count(id); c++) push(world_.receiver_of(id, c), later);
}

// A step that comes after `later` in the order cannot lead to it.
void HappensBefore::push(StepId id, StepId later) {
    const LaneId lane = world_.lane_of(id);
    if (position_[id] <= position_[later] && !(walked(lane) && walked_from_[lane] <= id)) open_.push_back(id);
}

bool HappensBefore::taken_before(StepId send, StepId later, std::uint32_t piece) {
    const ChannelId first = world_.first_outgoing(send);
    for (ChannelId c = first; c < first + world_.outgoing_count(send); c++) {
        const StepId receive = world_.receiver_of(send, c);
        if (receive != later && !(*this)(receive, later, piece)) return false;
    }
    return true;
}

}  // namespace tenon
