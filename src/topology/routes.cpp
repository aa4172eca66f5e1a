#include "topology/routes.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <queue>
#include <string_view>
#include <utility>

namespace tenon {
namespace {

constexpr std::uint64_t hop_ns = 50, reference_bytes = 64 * 1024;
constexpr double assumed_bytes_per_s = 8e9;  // where nothing is known: as slow as an old PCIe slot
// A link whose rate is not known limits nothing.
constexpr double unlimited = 1e18, not_limited = 1e17;
constexpr std::uint64_t unreached = std::numeric_limits<std::uint64_t>::max();

// All links of one kind that a place has, together.
using KindRates = std::map<std::pair<std::uint32_t, std::string_view>, double>;

}  // namespace

struct Routes::Search {
    std::vector<std::uint64_t> cost, latency_ns;  // by place, to the nearest goal
    bool is_complete = false;                     // all that start were reached
};

Routes::Routes(const Map& map, std::span<const PlaceIndex> end_points)
    : place_count_(map.place_count()), is_end_point_(map.place_count()) {
    for (const PlaceIndex end : end_points) is_end_point_[end.value] = true;
    price(map);
}

void Routes::price(const Map& map) {
    KindRates rates;
    for (const Link& link : map.links())
        for (const PlaceIndex end : {link.from, link.to})
            rates[{end.value, link.kind}] += static_cast<double>(link.bytes_per_s_of_all());
    first_way_.resize(place_count_ + 2);
    for (const Link& link : map.links())
        for (const PlaceIndex end : {link.from, link.to}) first_way_[end.value + 2]++;
    for (std::uint32_t place = 2; place < first_way_.size(); place++) first_way_[place] += first_way_[place - 1];
    ways_.resize(2 * map.links().size());
    for (const Link& link : map.links()) {
        const double narrower = std::min(rates[{link.from.value, link.kind}], rates[{link.to.value, link.kind}]);
        const double bytes_per_s = narrower > 0 ? narrower : assumed_bytes_per_s;
        const double all = static_cast<double>(link.bytes_per_s_of_all());
        Way way{.bytes_per_s = all > 0 ? all : unlimited,
                .cost = hop_ns + link.latency_ns + static_cast<std::uint64_t>(reference_bytes * 1e9 / bytes_per_s),
                .latency_ns = link.latency_ns};
        for (const PlaceIndex end : {link.from, link.to}) {
            way.to = link.other_end(end);
            ways_[first_way_[end.value + 1]++] = way;
        }
    }
    first_way_.pop_back();
}

Routes::Search Routes::search(std::span<const PlaceIndex> from, std::span<const PlaceIndex> to) const {
    Search found{.cost = std::vector<std::uint64_t>(place_count_, unreached),
                 .latency_ns = std::vector<std::uint64_t>(place_count_)};
    std::vector<bool> is_start(place_count_), is_done(place_count_);
    for (const PlaceIndex start : from) is_start[start.value] = true;
    std::size_t missing = from.size();
    using Entry = std::pair<std::uint64_t, std::uint32_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> next;
    for (const PlaceIndex goal : to) {
        found.cost[goal.value] = 0;
        next.push({0, goal.value});
    }
    while (!next.empty() && missing > 0) {
        const auto [cost, place] = next.top();
        next.pop();
        if (is_done[place]) continue;
        is_done[place] = true;
        if (is_start[place]) missing--;
        if (cost > 0 && is_end_point_[place]) continue;
        for (const Way& way : ways_from({place})) {
            const std::uint32_t neighbour = way.to.value;
            const std::uint64_t latency_ns = found.latency_ns[place] + way.latency_ns;
            if (cost + way.cost < found.cost[neighbour]) {
                found.cost[neighbour] = cost + way.cost;
                found.latency_ns[neighbour] = latency_ns;
                next.push({found.cost[neighbour], neighbour});
            } else if (cost + way.cost == found.cost[neighbour]) {
                found.latency_ns[neighbour] = std::min(found.latency_ns[neighbour], latency_ns);
            }
        }
    }
    found.is_complete = missing == 0;
    return found;
}

// Pushes what each start could send down all cheapest ways at once, in proportion to their rates; what does not fit
// through a place's ways out is lost. From the farthest place to the nearest, so that all of it has come in before it
// goes on.
double Routes::flow(const Search& search, std::span<const PlaceIndex> from) const {
    std::map<std::pair<std::uint64_t, std::uint32_t>, double, std::greater<>> waiting;  // by cost and place
    for (const PlaceIndex start : from) waiting[{search.cost[start.value], start.value}] = unlimited;
    double arrived = 0;
    while (!waiting.empty()) {
        const auto [cost, place] = waiting.begin()->first;
        const double came = waiting.begin()->second;
        waiting.erase(waiting.begin());
        if (cost == 0) {
            arrived += came;
            continue;
        }
        const auto leads_on = [&, here = cost](const Way& way) {
            const std::uint64_t there = search.cost[way.to.value];
            return there != unreached && there + way.cost == here && (there == 0 || !is_end_point_[way.to.value]);
        };
        double room = 0;
        for (const Way& way : ways_from({place}))
            if (leads_on(way)) room += way.bytes_per_s;
        for (const Way& way : ways_from({place}))
            if (leads_on(way))
                waiting[{search.cost[way.to.value], way.to.value}] += std::min(came, room) * (way.bytes_per_s / room);
    }
    return arrived;
}

std::optional<Route> Routes::between(std::span<const PlaceIndex> from, std::span<const PlaceIndex> to) const {
    const Search found = search(from, to);
    if (!found.is_complete) return std::nullopt;
    Route route;
    for (const PlaceIndex start : from) route.latency_ns = std::max(route.latency_ns, found.latency_ns[start.value]);
    const double bytes_per_s = flow(found, from);
    // Rounded, because the shares of a flow do not add up exactly.
    if (bytes_per_s < not_limited) route.bytes_per_s = static_cast<std::uint64_t>(bytes_per_s + 0.5);
    return route;
}

}  // namespace tenon
