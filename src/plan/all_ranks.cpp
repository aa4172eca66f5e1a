#include "plan/all_ranks.hpp"

#include "plan/boards.hpp"

namespace tenon {

Result<std::vector<Plan>> plans_of_all_ranks(const Algorithm& algorithm, Request request, const Topology& topology) {
    std::vector<Plan> plans;
    for (request.rank = 0; request.rank < request.rank_count; request.rank++) {
        auto plan = algorithm.build(request, topology);
        if (!plan) return std::unexpected(plan.error());
        plan->algorithm = algorithm.name;
        plans.push_back(topology.has_boards ? std::move(*plan) : without_boards(std::move(*plan)));
    }
    return plans;
}

}  // namespace tenon
