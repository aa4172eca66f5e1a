#include "plan/exchanges.hpp"

#include <fmt/format.h>

namespace tenon {
namespace {

// The step behind an exchanged send, if it is one that may be: it adds to what was sent.
bool adds_what_comes_back(const World& world, StepId send) {
    if (send + 1 == world.end_step(world.lane_of(send))) return false;
    const Step &sent = world.step(send), &next = world.step(send + 1);
    return next.kind == StepKind::receive_reduce && next.receive_from == sent.send_to &&
           next.receive_channel == sent.send_channel && next.source == sent.source;
}

std::string problem(const World& world, StepId send) {
    const Plan& plan = world.plan_of(send);
    if (plan.lanes.size() != 1 || plan.tile_bytes == one_tile)
        return "in a plan that is not one lane, whose tiles run one after the other";
    if (!adds_what_comes_back(world, send)) return "but the next step does not add what comes back to the same chunk";
    const StepId other = world.sender_of(send + 1);
    if (!world.step(other).exchanged || !adds_what_comes_back(world, other) || world.sender_of(other + 1) != send)
        return fmt::format("but {}, whose message comes back, is not the other half of it", world.name(other));
    if (world.step(send + 1).completes != world.step(other + 1).completes)
        return fmt::format("but only one of this rank and of {} completes the sum", world.name(other + 1));
    return {};
}

}  // namespace

Result<void> check_exchanges(const World& world) {
    for (StepId id = 0; id < world.step_count(); id++) {
        if (!world.step(id).exchanged) continue;
        if (const std::string what = problem(world, id); !what.empty())
            return fail(Status::invalid_argument, world.name(id) + " claims to be exchanged, " + what);
    }
    return {};
}

}  // namespace tenon
