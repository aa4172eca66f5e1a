// The first half of every direct reduction: each rank gives each owner its part, and an owner gathers all contributions
// to its own.
//
// An owner lists contributions in the order of ranks, whatever the order in which they come: sums that are formed from
// the list in one step are deterministic.
#pragma once

#include <vector>

#include "algorithms/patterns/ring.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace tenon {

// Adds a lane that sends `part_of(owner)` to every other owner. Parts are stable even in place: one is overwritten only
// by its owner's result, which can only come after the owner took it. `answered`: that result comes.
template <class PartOf>
void give_contributions(PlanBuilder& plan, const Ring& ring, PartOf part_of, Channel channel, bool answered) {
    auto lane = plan.lane();
    for (Rank steps = 1; steps < ring.rank_count; steps++) {
        const Rank owner = ring.ahead(steps);
        lane.send(part_of(owner), owner, channel).source_stable().answered(answered);
    }
}

// Appends to `lane` what takes the others' contributions to `mine` into scratch; all of them, `mine` too, by rank.
inline std::vector<Chunk> take_contributions(PlanBuilder& plan, LaneBuilder& lane, const Ring& ring, const Chunk& mine,
                                             Channel channel = 0) {
    std::vector<Chunk> all(static_cast<std::size_t>(ring.rank_count), mine);
    for (Rank steps = 1; steps < ring.rank_count; steps++) {
        const Rank peer = ring.behind(steps);
        Chunk& contribution = all[static_cast<std::size_t>(peer)];
        contribution = plan.scratch(mine);
        lane.receive(contribution, peer, channel);
    }
    return all;
}

}  // namespace tenon
