// Hierarchical broadcast: the root spreads slices over its group, each crosses the outermost level from there, and all
// groups gather theirs within, level by level.
//
// Vocabulary: carriers, circles and levels are those of patterns/hierarchy.hpp; a slice is what one rank of the root's
// group carries out of it, so that all ways out are used side by side.
// Cost: the buffer enters each other group once; a chain sends it out of each group once as well.
// Needs: nothing; groups may be of any size, levels of any number. Without levels it is the outermost algorithm alone.
// Source: Barnett et al., Interprocessor Collective Communication Library (InterCom), SHPCC 1994, over levels.
//
// The rows differ in the outermost algorithm and in the slices: hierarchical_binomial, for small messages, has but one,
// which the root carries itself.
#include "algorithms/broadcast/algorithms.hpp"
#include "algorithms/patterns/level_phases.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {
namespace {

// The root gives each rank of its group the slices that it carries.
void scatter_within_group_of_root(LevelPhases& phases, const Request& request) {
    Composition& composition = phases.composition();
    const Hierarchy& hierarchy = phases.hierarchy();
    const std::size_t level = phases.top() - 1;
    if (hierarchy.group_of(level, request.rank) != hierarchy.group_of(level, request.root)) return;
    composition.begin_phase({});
    for (Item item = 0; item < phases.item_count(); item++) {
        const Rank carrier = phases.carrier(level, request.root, item);
        if (carrier == request.root) continue;
        const Chunk received = composition.chunks().output(item);
        if (request.rank == request.root) {
            composition.add(0, {.kind = StepKind::send, .source_stable = true, .send_channel = upward,
                                .send_to = carrier, .source = phases.place(item)});
        } else if (request.rank == carrier) {
            composition.add(0, {.kind = StepKind::receive, .destination_free = true, .receive_channel = upward,
                                .receive_from = request.root, .destination = received});
            phases.put(item, received);
        }
    }
}

Result<Plan> compose(const Request& request, const Topology& topology, std::string_view outermost,
                     std::string_view within, bool has_slices) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    auto hierarchy = Hierarchy::of(topology, request.rank_count);
    if (!hierarchy) return std::unexpected(hierarchy.error());
    auto targets = has_slices ? hierarchy->of_largest_part() : std::vector{request.root};
    const auto pieces = static_cast<std::uint32_t>(targets.size());
    LevelPhases phases{request, std::move(*hierarchy), std::move(targets), pieces, false};
    const PlanBuilder& chunks = phases.composition().chunks();
    if (request.rank == request.root) phases.set_sources([&](Item item) { return chunks.input(item); });
    phases.set_destinations([&](Item item) { return chunks.output(item); });

    scatter_within_group_of_root(phases, request);
    if (auto done = phases.broadcast(phases.top(), outermost, request.root); !done)
        return std::unexpected(done.error());
    for (std::size_t level = phases.top() - 1; level > 0; level--) {
        auto done = has_slices ? phases.all_gather(level, within, false)
                               : phases.broadcast(level, within, phases.carrier(level, request.rank, 0));
        if (!done) return std::unexpected(done.error());
    }
    return phases.finish();
}

}  // namespace

Result<Plan> hierarchical_broadcast(const Request& request, const Topology& topology) {
    return compose(request, topology, "chain", "direct", true);
}

Result<Plan> hierarchical_binomial_broadcast(const Request& request, const Topology& topology) {
    return compose(request, topology, "binomial", "binomial", false);
}

}  // namespace tenon
