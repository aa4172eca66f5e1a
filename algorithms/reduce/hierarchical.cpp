// Hierarchical reduce: within each level, from the inside out, partial sums go to the rank that carries their slice
// across the next; a reduce across the outermost one to the root's group, which the root gathers from.
//
// Vocabulary: carriers, circles and levels are those of patterns/hierarchy.hpp; a slice is what one rank of a group
// carries out of it, so that all ways out are used side by side.
// Cost: the buffer leaves each other group once, as its sum; a chain sends it into each group once as well.
// Needs: scratch for a block; groups may be of any size, levels of any number. Without levels it is the outermost
// algorithm alone.
// Source: Barnett et al., Interprocessor Collective Communication Library (InterCom), SHPCC 1994, over levels.
//
// The rows differ in the outermost algorithm and in the slices: hierarchical_binomial, for small messages, has but one,
// which the root carries itself.
#include "algorithms/patterns/level_phases.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/reduce/algorithms.hpp"

namespace tenon {
namespace {

// The ranks of the root's group give it the slices that they carry.
void gather_within_group_of_root(LevelPhases& phases, const Request& request) {
    Composition& composition = phases.composition();
    const Hierarchy& hierarchy = phases.hierarchy();
    const std::size_t level = phases.top() - 1;
    if (hierarchy.group_of(level, request.rank) != hierarchy.group_of(level, request.root)) return;
    composition.begin_phase({});
    for (Item item = 0; item < phases.item_count(); item++) {
        const Rank carrier = phases.carrier(level, request.root, item);
        if (carrier == request.root) continue;
        if (request.rank == request.root)
            composition.add(0, {.kind = StepKind::receive, .receive_channel = downward, .receive_from = carrier,
                                .destination = composition.chunks().output(item)});
        else if (request.rank == carrier)
            composition.add(0, {.kind = StepKind::send, .source_stable = true, .send_channel = downward,
                                .send_to = request.root, .source = phases.place(item)});
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
    const bool is_root = request.rank == request.root;
    std::vector<Chunk> cells(pieces);
    phases.set_sources([&](Item item) { return chunks.input(item); });
    phases.set_destinations([&](Item item) {
        if (is_root) return chunks.output(item);
        if (cells[item].count == 0) {
            cells[item] = phases.composition().scratch(1);
            cells[item].shape = item;
        }
        return cells[item];
    });

    for (std::size_t level = 1; level <= phases.top(); level++) {
        const bool last = level == phases.top();
        auto done = has_slices && !last
                        ? phases.reduce_scatter(level, within, false)
                        : phases.reduce(level, last ? outermost : within,
                                        last ? request.root : phases.carrier(level, request.rank, 0), last);
        if (!done) return std::unexpected(done.error());
    }
    if (has_slices) gather_within_group_of_root(phases, request);
    return phases.finish();
}

}  // namespace

Result<Plan> hierarchical_reduce(const Request& request, const Topology& topology) {
    return compose(request, topology, "chain", "direct", true);
}

Result<Plan> hierarchical_binomial_reduce(const Request& request, const Topology& topology) {
    return compose(request, topology, "binomial", "binomial", false);
}

}  // namespace tenon
