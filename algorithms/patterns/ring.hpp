// Ranks in a circle: neighbours, and the rotating order that spreads direct exchanges over all peers.
//
// Rank arithmetic only; a value type without state of its own.
#pragma once

#include "tenon/plugin/types.hpp"

namespace tenon {

struct Ring {
    Rank rank;
    Rank rank_count;

    // Steps around the circle; 0 <= steps <= rank_count.
    Rank ahead(Rank steps) const { return (rank + steps) % rank_count; }
    Rank behind(Rank steps) const { return (rank - steps + rank_count) % rank_count; }
    Rank next() const { return ahead(1); }
    Rank previous() const { return behind(1); }
};

}  // namespace tenon
