// Pairwise all-to-all: one exchange at a time, with another peer in every step.
//
// Cost: ranks - 1 steps of one block each. Best for large blocks where links are shared, because each rank loads one
// link each way at any time.
// Needs: nothing. Where the ranks are a power of two the partners exchange (rank xor step); otherwise a rank sends
// ahead and receives from behind.
// Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005.
#include <bit>

#include "algorithms/all_to_all/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> pairwise_all_to_all(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    const bool paired = std::has_single_bit(static_cast<std::uint32_t>(request.rank_count));
    PlanBuilder plan{request};
    auto lane = plan.lane();

    for (Rank step = 1; step < request.rank_count; step++) {
        const Rank to = paired ? request.rank ^ step : ring.ahead(step);
        const Rank from = paired ? to : ring.behind(step);
        lane.send(plan.block_of_input(to), to).source_stable();
        lane.receive(plan.block_of_output(from), from).destination_free();
    }
    lane.copy(plan.block_of_output(request.rank), plan.block_of_input(request.rank));
    return plan.finish();
}

}  // namespace tenon
