// What algorithms see of a map: ranks, the groups that they form, and how fast ranks of different groups reach each
// other (tenon/plugin/topology.hpp).
//
// A level is made of all places of one kind that hold ranks ("pci 2" where such places lie inside one another), from
// the innermost to the outermost. A level that groups nothing new is left out, and so is, inside a server, one whose
// border costs nothing: the ranks beyond it are reached as fast, even by all at once.
//
// Ranks that links of their own join, while only what they share leads on to others of the server, are an "island".
//
// A level's link comes from the routes of a few representative ranks (see routes.hpp), the slowest of them:
// - latency: along the way from one rank to one of another part;
// - pair_bytes_per_s: what one rank moves to one other;
// - rank_bytes_per_s: what one rank moves to those of all other parts at once, the other ranks being quiet;
// - part_bytes_per_s: what all ranks of a part move to other parts at once.
// What a map does not tell is 0.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "tenon/plugin/topology.hpp"
#include "topology/map.hpp"

namespace tenon {

// The places that ranks run on, in the order of ranks: those that the map numbers or, where it numbers none, its dies,
// else its devices, else its cores, in order; the first `rank_count` of them. An error where there are not so many.
Result<std::vector<PlaceIndex>> rank_places(const Map& map, std::optional<Rank> rank_count = {});

// The topology of ranks that have a core each. Well under 100 ms for 1,536 ranks.
Result<Topology> topology_of(const Map& map, std::optional<Rank> rank_count = {});

}  // namespace tenon
