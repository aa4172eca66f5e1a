// Writes the plans of an MSCCL program whose data flow is known.
#pragma once

#include "interchange/msccl_dataflow.hpp"

namespace tenon::msccl {

// One plan per gpu, unverified. Lane t is thread block t, and its steps are that block's; the lanes after those are
// what split steps add. Fails where a plan cannot say what the program does: channels beyond a plan's, input that only
// a root has.
Result<std::vector<Plan>> write_plans(const Program& program, const Cells& cells, const Dataflow& flow);

}  // namespace tenon::msccl
