// The agreed part of a call: what is the same on every rank, and all that selection, plans and signatures may use.
//
// `rank` is the one exception: it says for whom the plan is built. Pointers, in-place and memory kinds are local facts
// and never appear here.
#pragma once

#include "tenon/plugin/types.hpp"

namespace tenon {

struct Request {
    Collective collective = Collective::barrier;
    Rank rank = 0;
    Rank rank_count = 1;
    ElementCount count{};  // of one block: see Plan's geometry
    DataType type = DataType::int8;
    ReduceOp op = ReduceOp::sum;
    Rank root = 0;
    bool deterministic = false;
};

}  // namespace tenon
