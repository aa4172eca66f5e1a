// In which order a rank enqueues the steps of a plan, so that no bounded queue stops a call.
//
// A runtime's queues are bounded: whoever enqueues into a full one waits until the device has done some of what is in
// it. So ranks may wait for each other for ever, each with what the other needs behind what is blocked. They cannot if
// there is one order of all ranks' steps in which each could run after those before it, and every rank enqueues its own
// in that order: of what has not run, the first in it is next in its stream or not enqueued yet; its rank is held up by
// nothing, since all that it enqueued before has run; and so has what it waits for. That holds for queues of any
// length.
#pragma once

#include <span>
#include <vector>

#include "tenon/plugin/plan.hpp"

namespace tenon {

// How a call of a plan cuts what its steps move into tiles: by slots, and by what the plan asks for.
struct TileCut {
    ElementCount count{};
    DataType type = DataType::float32;
    std::uint64_t tile_bytes = 0;

    static TileCut of(const Plan& plan, const Request& request, ByteCount slot);
    // At least 1.
    std::uint64_t tiles_of(const Plan& plan, const Step& step) const;
};

// A rank's plan and the order of its steps: for one tile where chunks are cut (the order of all is that of one after
// the other); with one_tile a step occurs for each of its tiles, so that the order is that of one count and width of
// type.
struct OrderedPlan {
    Plan plan;
    std::vector<StepRef> order;
};

// request.rank's, from the plans of all ranks. An error where these are wrong: they do not match, or wait in a circle
// with `channel_depth` messages in a channel.
Result<OrderedPlan> in_enqueue_order(std::span<const Plan> plans, const Request& request, ByteCount slot,
                                     std::uint32_t channel_depth);

}  // namespace tenon
