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
    return without_boards(std::move(*plan));
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

// A plan is gone before the next is built: together they would be most of what a price keeps in memory.
Result<Flow> flow_of(const Representatives& ranks, const LevelMap& map, const Algorithm& algorithm,
                     const Request& request, const Topology& topology, const CostParameters& parameters) {
    Flow flow(ranks, map, request, topology, parameters);
    for (const Representative& one : ranks.all()) {
        const auto plan = plan_of(one.rank, algorithm, request, topology);
        if (!plan) return std::unexpected(plan.error());
        flow.add(*plan);
    }
    return flow;
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
    Flow flow(ranks, map, request, topology, parameters);
    for (const Plan& plan : plans) flow.add(plan);
    flow.join();
    return price_of(flow, {.steps = SIZE_MAX}, plans.size());
}

Result<Price> price(const Algorithm& algorithm, const Request& request, const Topology& topology,
                    const CostParameters& parameters, const PriceLimits& limits) {
    const LevelMap map(topology);
    const Rank root = is_rooted(request.collective) ? request.root : no_rank;
    const auto price_over = [&](const Representatives& ranks, double most_steps) -> Result<std::optional<Price>> {
        auto flow = flow_of(ranks, map, algorithm, request, topology, parameters);
        if (!flow) return std::unexpected(flow.error());
        if (flow->steps_of_all() <= most_steps) return std::nullopt;
        flow->join();
        return price_of(*flow, limits, ranks.all().size());
    };
    // Each rank as it is, where that is no more work: so trees and chains have their depth.
    const auto some = Representatives::some(map, root, most_representatives);
    auto priced = price_over(some, static_cast<double>(limits.steps));
    if (priced && !*priced) priced = price_over(Representatives::everybody(map), -1);
    if (!priced) return std::unexpected(priced.error());
    return std::move(**priced);
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
    const ElementCount piece = piece_elements(request.count, plan.pieces, request.type);
    double busy = 0;
    for (const Lane& lane : plan.lanes)
        for (const Step& step : lane.steps) {
            FlowStep done = flow_step(plan, step, request, piece);
            if (done.bytes == 0 && !done.is_token) continue;
            done.message_in_ns = done.message_out_ns = links.front().message_ns;
            busy += busy_time(done, links, parameters).of(done.bytes);
        }
    return Outlook{.least_ns = busy * (1 - rounding), .steps = steps_of(plan)};
}

}  // namespace tenon
