// Where the ranks are. Flat for now: how many hosts there are, not yet how they are joined.
//
// Every field is agreed between the ranks when the communicator is made, so that all of them choose the same plan.
#pragma once

#include "tenon/plugin/types.hpp"

namespace tenon {

struct Topology {
    Rank rank_count = 1;
    std::int32_t hosts = 1;
    std::int32_t cores = 1;         // distinct cores that the ranks of a host may run on, together, over all hosts
    bool cores_short = false;       // on some host, there are fewer of them than ranks
    bool one_process = false;       // every rank is a thread of one process
    // What one rank writes once all others can read (Plan's board): all ranks share memory.
    bool has_boards = true;
    std::uint64_t slot_bytes = 0;   // what one slot of a connection holds; the largest tile of a plan

    bool cores_are_short() const { return cores_short || rank_count > cores; }
};

}  // namespace tenon
