// A communicator of one rank needs no algorithm: its output is its input.
#pragma once

#include "tenon/plugin/plan_builder.hpp"

namespace tenon {

inline Result<Plan> plan_for_one_rank(const Request& request) {
    PlanBuilder plan{request};
    plan.lane().copy(plan.block_of_output(0), plan.block_of_input(0));
    return plan.finish();
}

}  // namespace tenon
