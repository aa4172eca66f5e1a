#include "plan/cost.hpp"

#include <algorithm>
#include <cmath>

#include "plan/boards.hpp"
#include "plan/flow.hpp"
#include "plan/representatives.hpp"

namespace tenon {
namespace {

// Ranks of each kind that are looked at where the world is large.
constexpr std::size_t most_representatives = 27;
// From so many tiles on, each further one takes as long as the one before.
constexpr std::size_t most_filling_tiles = 8;

Price price_of(const Flow& flow, const PriceLimits& limits, std::size_t ranks) {
    Price price;
    std::size_t filling = most_filling_tiles;
    while (filling > 1 && 2 * filling * flow.step_count() > limits.steps) filling /= 2;
    const double tiles = flow.tiles(), seen = 2.0 * static_cast<double>(filling);
    price.simulated_ranks = ranks;
    if (tiles > seen) {
        // total = twice + (twice - once) * more, so that it is too much from some `twice` on.
        const double once = flow.time_ns(filling), more = (tiles - seen) / static_cast<double>(filling);
        const double twice = flow.time_ns(2 * filling, (limits.most_ns + once * more) / (1 + more));
        price.total_ns = twice + (twice - once) * more;
    } else {
        price.total_ns = flow.time_ns(2 * filling, limits.most_ns);
    }
    if (limits.is_only_total) return price;
    price.latency_ns = flow.empty_time_ns();
    flow.add_loads(price);
    return price;
}

std::size_t steps_of(const Plan& plan) {
    std::size_t steps = 0;
    for (const Lane& lane : plan.lanes) steps += lane.steps.size();
    return steps;
}

Result<Plan> plan_of(Rank rank, const Algorithm& algorithm, Request request, const Topology& topology) {
    request.rank = rank;
    auto plan = algorithm.build(request, topology);
    if (!plan || topology.has_boards) return plan;
    return without_boards(*plan);
}

Result<std::vector<Plan>> plans_of(const Representatives& ranks, const Algorithm& algorithm, const Request& request,
                                   const Topology& topology) {
    std::vector<Plan> plans;
    for (const Representative& one : ranks.all()) {
        auto plan = plan_of(one.rank, algorithm, request, topology);
        if (!plan) return std::unexpected(plan.error());
        plans.push_back(std::move(*plan));
    }
    return plans;
}

// The last pieces of a block may be empty, which only some ranks see, and those that stand for them may not.
Request with_equal_pieces(Request request, std::uint32_t pieces) {
    request.count.value = piece_elements(request.count, pieces, request.type).value * pieces;
    return request;
}

// The least of each figure over the levels: prices may take means of them, and means are no less.
FlowLink quickest(const std::vector<FlowLink>& links) {
    FlowLink least = links.front();
    for (const FlowLink& link : links) {
        least.message_ns = std::min(least.message_ns, link.message_ns);
        least.send_ns_per_byte = std::min(least.send_ns_per_byte, link.send_ns_per_byte);
        least.receive_ns_per_byte = std::min(least.receive_ns_per_byte, link.receive_ns_per_byte);
        least.reduce_ns_per_byte = std::min(least.reduce_ns_per_byte, link.reduce_ns_per_byte);
    }
    return least;
}

// What a simulation of all ranks would take.
double steps_of_all(const Representatives& ranks, const std::vector<Plan>& plans) {
    double steps = 0;
    for (std::size_t i = 0; i < plans.size(); i++)
        steps += static_cast<double>(steps_of(plans[i])) * ranks.all()[i].like;
    return steps;
}

}  // namespace

std::string Price::limit() const {
    const LevelLoad* busiest = nullptr;
    for (const LevelLoad& load : levels)
        if (busiest == nullptr || load.busy_ns > busiest->busy_ns) busiest = &load;
    const double links_ns = busiest == nullptr ? 0 : busiest->busy_ns;
    if (latency_ns >= total_ns / 2) return "latency";
    return links_ns >= cores_ns ? "links of a " + busiest->level : "cores";
}

Price price(std::span<const Plan> plans, const Request& request, const Topology& topology,
            const CostParameters& parameters) {
    const LevelMap map(topology);
    const Representatives ranks = Representatives::everybody(map);
    return price_of(Flow(plans, ranks, map, request, topology, parameters), {.steps = SIZE_MAX}, plans.size());
}

Result<Price> price(const Algorithm& algorithm, const Request& request, const Topology& topology,
                    const CostParameters& parameters, const PriceLimits& limits) {
    const LevelMap map(topology);
    const Rank root = is_rooted(request.collective) ? request.root : no_rank;
    Representatives ranks = Representatives::some(map, root, most_representatives);
    auto plans = plans_of(ranks, algorithm, request, topology);
    if (!plans) return std::unexpected(plans.error());
    // Each rank as it is, where that is no more work: so trees and chains have their depth.
    if (steps_of_all(ranks, *plans) <= static_cast<double>(limits.steps)) {
        ranks = Representatives::everybody(map);
        plans = plans_of(ranks, algorithm, request, topology);
        if (!plans) return std::unexpected(plans.error());
    }
    const Request priced = ranks.are_everybody() ? request : with_equal_pieces(request, plans->front().pieces);
    return price_of(Flow(*plans, ranks, map, priced, topology, parameters), limits, ranks.all().size());
}

// Rank 0 is looked at by every price, and does one step at a time: all that keeps its core busy takes no less. Where
// some ranks would stand for all in a price, it would be one of pieces of equal length, and so is this.
Result<Outlook> outlook(const Algorithm& algorithm, Request request, const Topology& topology,
                        const CostParameters& parameters) {
    const auto built = plan_of(0, algorithm, request, topology);
    if (!built) return std::unexpected(built.error());
    const Plan& plan = *built;
    request.rank = 0;
    const auto of_all = static_cast<double>(steps_of(plan)) * request.rank_count;
    if (of_all > static_cast<double>(PriceLimits{}.steps)) request = with_equal_pieces(request, plan.pieces);
    const std::vector<FlowLink> links{quickest(flow_links(LevelMap(topology), parameters))};
    constexpr double rounding = 1e-9;
    double busy = 0;
    for (const Lane& lane : plan.lanes)
        for (const Step& step : lane.steps) {
            FlowStep done = flow_step(plan, step, request);
            if (done.bytes == 0 && !done.is_token) continue;
            done.message_in_ns = done.message_out_ns = links.front().message_ns;
            busy += busy_ns(done, done.bytes, links, parameters);
        }
    return Outlook{.least_ns = busy * (1 - rounding), .steps = steps_of(plan)};
}

}  // namespace tenon
