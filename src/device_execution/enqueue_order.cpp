#include "device_execution/enqueue_order.hpp"

#include <algorithm>

#include "plan/schedule.hpp"
#include "plan/world.hpp"

namespace tenon {

std::uint64_t TileCut::tiles_of(const Plan& plan, const Step& step) const {
    const Chunk& sized = writes_destination(step.kind) ? step.destination : step.source;
    const std::uint64_t bytes = element_range(sized, plan.pieces, count, type).count * element_bytes(type);
    return std::max<std::uint64_t>(1, (bytes + tile_bytes - 1) / tile_bytes);
}

Result<std::vector<StepRef>> enqueue_order(std::span<const Plan> plans, Rank rank, const TileCut& cut,
                                           std::uint32_t channel_depth) {
    const auto world = World::link(plans);
    if (!world) return std::unexpected(world.error());
    std::vector<std::uint64_t> messages;
    if (plans.front().tile_bytes == one_tile)
        for (StepId id = 0; id < world->step_count(); id++)
            messages.push_back(cut.tiles_of(world->plan_of(id), world->step(id)));
    const auto all = schedule(*world, channel_depth, messages);
    if (!all) return std::unexpected(all.error());
    std::vector<StepRef> own;
    for (const StepId id : *all)
        if (const LaneId lane = world->lane_of(id); world->rank_of(lane) == rank)
            own.push_back({.lane = lane - world->first_lane(rank), .step = id - world->first_step(lane)});
    return own;
}

}  // namespace tenon
