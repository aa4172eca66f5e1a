// The distances 1, 2, 4, ... below the number of ranks: the rounds of dissemination and of Bruck's algorithms.
//
// In the round of distance d a rank talks to the ranks d ahead and d behind, so that after it every rank knows of 2 d
// ranks, whatever their number: no fold is needed.
#pragma once

#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon {

inline std::vector<Rank> doubling_distances(Rank rank_count) {
    std::vector<Rank> distances;
    for (Rank distance = 1; distance < rank_count; distance *= 2) distances.push_back(distance);
    return distances;
}

}  // namespace tenon
