// How data gets from place to place over the links of a map.
//
// A way costs, per link, a little for the hop, its latency, and the time that 64 KiB take on all links of its kind
// which the narrower of its ends has: so NVLink's eighteen narrow links beat one wide PCIe link, and a device's seven
// planes cost the same and are used side by side. Of the ways that cost least, all are used together. End points
// (ranks) do not forward; everything else does.
//
// Made once for a map, which must outlive it; asking is const, but takes memory of the map's size each time.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "topology/map.hpp"

namespace tenon {

// 0: not known.
struct Route {
    std::uint64_t latency_ns = 0;   // of the farthest of those that start
    std::uint64_t bytes_per_s = 0;  // of all that start, together
};

class Routes {
public:
    Routes(const Map& map, std::span<const PlaceIndex> end_points);

    // From each of `from` to whichever of `to` is nearest; none where one of them cannot get there.
    std::optional<Route> between(std::span<const PlaceIndex> from, std::span<const PlaceIndex> to) const;

private:
    struct Way {
        PlaceIndex to{};
        double bytes_per_s = 0;  // of all links of this kind between the two
        std::uint64_t cost = 0, latency_ns = 0;
    };
    // What is known of each place on the way to the nearest goal.
    struct Search;

    std::span<const Way> ways_from(PlaceIndex place) const {
        return std::span{ways_}.subspan(first_way_[place.value], first_way_[place.value + 1] - first_way_[place.value]);
    }
    void price(const Map& map);
    Search search(std::span<const PlaceIndex> from, std::span<const PlaceIndex> to) const;
    double flow(const Search& search, std::span<const PlaceIndex> from) const;

    std::uint32_t place_count_ = 0;
    std::vector<std::uint32_t> first_way_;  // by place; one more at the end
    std::vector<Way> ways_;
    std::vector<bool> is_end_point_;
};

}  // namespace tenon
