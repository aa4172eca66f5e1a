#include "plan/verifier.hpp"

#include <fmt/format.h>

#include "plan/data_flow.hpp"
#include "plan/exchanges.hpp"
#include "plan/hazards.hpp"
#include "plan/schedule.hpp"
#include "plan/world.hpp"

namespace tenon {
namespace {

Result<VerifiedPlan> prove(std::span<const Plan> plans, const VerifyOptions& options) {
    const auto world = World::link(plans);
    if (!world) return std::unexpected(world.error());
    const auto order = schedule(*world, options.channel_depth);
    if (!order) return std::unexpected(order.error());
    if (plans.front().tile_bytes == one_tile)
        if (const auto ends = check_whole_chunks(*world); !ends) return std::unexpected(ends.error());

    if (const auto exchanged = check_exchanges(*world); !exchanged) return std::unexpected(exchanged.error());

    DataFlowFacts data{};
    if (plans.front().collective == Collective::barrier) {
        if (const auto met = follow_arrivals(*world, *order); !met) return std::unexpected(met.error());
    } else {
        const auto followed = follow_data(*world, *order, options.in_place);
        if (!followed) return std::unexpected(followed.error());
        data = *followed;
    }
    if (const auto aligned = check_alignment(*world, options.in_place); !aligned)
        return std::unexpected(aligned.error());

    VerifiedPlan facts{.steps = order->size(),
                       .message_chain = longest_message_chain(*world, *order),
                       .accesses_ordered = plans.front().rank_count <= options.most_ranks_for_order,
                       .tree = data.tree,
                       .tree_in_one_step = data.tree_in_one_step};
    if (facts.accesses_ordered)
        if (const auto ordered = check_order_of_accesses(*world, *order, options.in_place); !ordered)
            return std::unexpected(ordered.error());
    for (const StepId id : *order) facts.messages += sends(world->step(id).kind) ? 1 : 0;
    return facts;
}

}  // namespace

Result<VerifiedPlan> verify(std::span<const Plan> plans, const VerifyOptions& options) {
    auto facts = prove(plans, options);
    if (!facts && !plans.empty())
        facts.error().message = fmt::format("{} {} of {} ranks{}: {}", plans.front().algorithm,
                                            static_cast<std::size_t>(plans.front().collective) < collective_count
                                                ? name_of(plans.front().collective)
                                                : "plan",
                                            plans.size(), options.in_place ? ", in place" : "", facts.error().message);
    return facts;
}

}  // namespace tenon
