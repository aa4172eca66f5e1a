// Which places of a map are alike, so that forty-eight like servers can be shown as one.
#pragma once

#include <cstdint>
#include <vector>

#include "topology/map.hpp"

namespace tenon {

// By place: a number that two places share if they are of one kind, hold like places in the same order, and have like
// links; whatever their names, ranks and facts are.
std::vector<std::uint32_t> shapes_of(const Map& map);

// Siblings of one shape, in order.
struct LikePlaces {
    std::vector<PlaceIndex> places;
};
std::vector<LikePlaces> like_children(const Map& map, PlaceIndex parent, const std::vector<std::uint32_t>& shapes);

}  // namespace tenon
