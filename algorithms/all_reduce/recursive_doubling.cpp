// Recursive doubling all-reduce: in round k every rank exchanges its partial sum with the rank 2^k away.
//
// Vocabulary: the fold, core and extra ranks are those of patterns/recursive.hpp.
// Cost: log2(ranks) rounds (two more where the ranks are not a power of two), each of the whole buffer. Best for small
// messages among many ranks.
// Needs: nothing; any number of ranks.
// Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations in MPICH, IJHPCA 2005.
#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/recursive.hpp"

namespace tenon {

Result<Plan> recursive_doubling_all_reduce(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Fold fold{request.rank, request.rank_count};
    PlanBuilder plan{request};
    const Chunk output = plan.output(0);

    if (fold.is_extra) {
        plan.lane().send(plan.input(0), fold.partner).source_stable();
        plan.lane().receive(output, fold.partner).destination_free();
        return plan.finish();
    }

    auto lane = plan.lane();
    Chunk partial = plan.input(0);
    if (fold.has_extra) {
        lane.receive_reduce(output, partial, fold.partner);
        partial = output;
    }
    const auto partners = doubling_partners(request.rank, fold.core);
    for (const Rank partner : partners) {
        lane.exchange_reduce(output, partial, partner).completes(partner == partners.back());
        partial = output;
    }
    if (fold.has_extra) lane.send(output, fold.partner).source_stable();
    return plan.finish();
}

}  // namespace tenon
