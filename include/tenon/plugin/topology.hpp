// Where the ranks are: the groups they form, one inside the other, and how these are joined.
//
// Every field is agreed between the ranks when the communicator is made, so that all of them choose the same plan.
#pragma once

#include <string>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon {

// How ranks talk across a level. 0: not known. Both ways at once: a rate is that of each way.
struct LevelLink {
    std::uint64_t latency_ns = 0;
    std::uint64_t rank_bytes_per_s = 0;  // what one rank alone can move
    std::uint64_t part_bytes_per_s = 0;  // what all ranks of a part can move together, by all of its ways out
    std::uint64_t pair_bytes_per_s = 0;  // what one rank alone can move to one other: less, in a mesh
};

// All groups of one kind: dies, NUMA nodes, servers, supernodes, the cluster. The *parts* of a group are the groups of
// the next level inside that it holds; those of the innermost level's groups are single ranks.
struct Level {
    std::string name;                    // of one group: "server"
    std::vector<std::int32_t> group_of;  // by rank; groups are numbered from 0 in the order of their lowest ranks
    LevelLink link{};                    // between ranks of one group that are of different parts
};

struct Topology {
    Rank rank_count = 1;
    std::int32_t hosts = 1;
    std::int32_t cores = 1;         // distinct cores that the ranks of a host may run on, together, over all hosts
    bool cores_short = false;       // on some host, there are fewer of them than ranks
    bool one_process = false;       // every rank is a thread of one process
    // What one rank writes once all others can read (Plan's board): all ranks share memory.
    bool has_boards = true;
    std::uint64_t slot_bytes = 0;   // what one slot of a connection holds; the largest tile of a plan
    // From the innermost to the outermost, which is one group of all ranks. Empty: nothing is known but the above.
    std::vector<Level> levels{};

    bool cores_are_short() const { return cores_short || rank_count > cores; }
};

}  // namespace tenon
