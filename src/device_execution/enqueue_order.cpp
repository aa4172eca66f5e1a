#include "device_execution/enqueue_order.hpp"

#include <algorithm>

#include "plan/schedule.hpp"
#include "plan/world.hpp"

namespace tenon {

TileCut TileCut::of(const Plan& plan, const Request& request, ByteCount slot) {
    std::uint64_t bytes = slot.value;
    if (plan.tile_bytes != one_tile && plan.tile_bytes != 0) bytes = std::min(bytes, plan.tile_bytes);
    return {request.count, request.type, bytes - bytes % element_bytes(request.type)};
}

std::uint64_t TileCut::tiles_of(const Plan& plan, const Step& step) const {
    const Chunk& sized = writes_destination(step.kind) ? step.destination : step.source;
    const std::uint64_t bytes = element_range(sized, plan.pieces, count, type).count * element_bytes(type);
    return std::max<std::uint64_t>(1, (bytes + tile_bytes - 1) / tile_bytes);
}

Result<OrderedPlan> in_enqueue_order(std::span<const Plan> plans, const Request& request, ByteCount slot,
                                     std::uint32_t channel_depth) {
    const auto world = World::link(plans);
    if (!world) return std::unexpected(world.error());
    const Plan& plan = plans[static_cast<std::size_t>(request.rank)];
    const TileCut cut = TileCut::of(plan, request, slot);
    std::vector<std::uint64_t> messages;
    if (plan.tile_bytes == one_tile)
        for (StepId id = 0; id < world->step_count(); id++)
            messages.push_back(cut.tiles_of(world->plan_of(id), world->step(id)));
    const auto all = schedule(*world, channel_depth, messages);
    if (!all) return std::unexpected(all.error());
    OrderedPlan own{plan, {}};
    for (const StepId id : *all)
        if (const LaneId lane = world->lane_of(id); world->rank_of(lane) == request.rank)
            own.order.push_back({.lane = lane - world->first_lane(request.rank), .step = id - world->first_step(lane)});
    return own;
}

}  // namespace tenon
