// Where the ranks are. Flat for now: all ranks of a communicator on one host.
//
// Every field is agreed between the ranks when the communicator is made, so that all of them choose the same plan.
#pragma once

#include "tenon/plugin/types.hpp"

namespace tenon {

struct Topology {
    Rank rank_count = 1;
    std::int32_t cores = 1;         // distinct cores that the ranks of this host may run on, together
    bool one_process = false;       // every rank is a thread of one process
    std::uint64_t slot_bytes = 0;   // what one slot of a connection holds; the largest tile of a plan

    bool cores_are_short() const { return rank_count > cores; }
};

}  // namespace tenon
