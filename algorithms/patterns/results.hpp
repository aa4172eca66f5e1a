// The second half of a reduction by owners: each has published its result, and all take all.
#pragma once

#include "algorithms/patterns/ring.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace tenon {

// Adds a lane that takes every other owner's published result to `place_of(owner)`.
template <class PlaceOf>
void take_results(PlanBuilder& plan, const Ring& ring, PlaceOf place_of) {
    auto lane = plan.lane();
    for (Rank steps = 1; steps < ring.rank_count; steps++) {
        const Rank owner = ring.ahead(steps);
        lane.receive_published(place_of(owner), owner).destination_free();
    }
}

}  // namespace tenon
