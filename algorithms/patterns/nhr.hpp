// The rounds of HCCL's non-uniform hierarchical ring (NHR), for any number of ranks: as a ring, each rank sends to
// ranks behind it and receives from ranks ahead of it, but over distances that double, so that most data goes to the
// nearest rank and the least to the farthest.
//
// A block's *way* is how far behind this rank its owner is. In the reduce-scatter's round of distance d, all blocks
// whose way has d as its lowest bit go d ranks back, where their way is shorter by d. The all-gather is that backwards.
// Source: Huawei, HCCL's documentation (coll_algo_intro, NHR) and its reduce-scatter template for it.
#pragma once

#include <vector>

#include "algorithms/patterns/distances.hpp"

namespace tenon {

struct NhrRound {
    Rank distance;
    std::vector<Rank> far;   // ways that the rank behind is nearer to, shortest first
    std::vector<Rank> near;  // ways of which the rank ahead sends its part, in the same order
};

// In the reduce-scatter's order: the nearest rank first. In it `far` is sent and `near` received; in the all-gather,
// backwards, `near` is sent to the rank ahead and `far` received from the rank behind.
inline std::vector<NhrRound> nhr_rounds(Rank rank_count) {
    std::vector<NhrRound> rounds;
    for (const Rank distance : doubling_distances(rank_count)) {
        NhrRound round{.distance = distance, .far = {}, .near = {}};
        for (Rank way = distance; way < rank_count; way += 2 * distance) {
            round.far.push_back(way);
            round.near.push_back(way - distance);
        }
        rounds.push_back(std::move(round));
    }
    return rounds;
}

}  // namespace tenon
