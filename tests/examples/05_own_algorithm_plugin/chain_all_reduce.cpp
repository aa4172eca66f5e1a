// An algorithm of one's own, in a module outside the library: all-reduce along a chain.
//
// Vocabulary: the ranks are a chain 0 - 1 - ... - last. Partial sums travel up it, the result travels down.
// Cost: 2 (ranks - 1) steps; each rank sends the buffer twice, the ends once. Tiles follow each other, so that a large
// buffer costs little more than for two ranks. For chains of slow links, where only neighbours should talk.
#include <iterator>

#include "tenon/plugin/module.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace {

using namespace tenon;

Result<Plan> chain_all_reduce(const Request& request, const Topology&) {
    PlanBuilder plan{request};
    const Chunk input = plan.input(0), output = plan.output(0);
    const Rank last = request.rank_count - 1, next = request.rank + 1, previous = request.rank - 1;

    if (last == 0) {
        plan.lane().copy(output, input).completes();
        return plan.finish();
    }
    // Two lanes, so that a tile can go up while an earlier one comes down. Where a rank does both, the tile that comes
    // down must not overwrite the input, which may be the same memory, before it went up.
    LaneBuilder up = plan.lane();
    if (request.rank == last) {
        up.receive_reduce_copy_send(output, input, previous, previous).completes();
        return plan.finish();
    }
    const StepHandle gone_up = request.rank == 0 ? up.send(input, next) : up.receive_reduce_send(input, previous, next);
    LaneBuilder down = plan.lane();
    if (request.rank == 0)
        down.receive(output, next).after(gone_up);
    else
        down.receive_send(output, next, previous).after(gone_up);
    return plan.finish();
}

constexpr Algorithm algorithms[] = {
    {.name = "chain",
     .collective = Collective::all_reduce,
     .summary = "only neighbours talk; slow links in a row",
     .cost = "2 (ranks - 1) steps, twice the buffer",
     .source = "this example",
     .build = chain_all_reduce},
};

}  // namespace

extern "C" const TenonPluginModule tenonPlugin = {TENON_PLUGIN_VERSION, "example_chain", TENON_BUILD_TAG, algorithms,
                                                  std::size(algorithms), nullptr, 0};
