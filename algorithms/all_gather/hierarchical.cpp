// Hierarchical all-gather: each block crosses the outermost level once to each group, to the rank that carries it
// there, and then spreads within, level by level.
//
// Vocabulary: carriers, circles and levels are those of patterns/hierarchy.hpp; the items are the blocks.
// Cost: as many blocks enter a group as there are ranks outside, which is the least possible.
// Needs: nothing; groups may be of any size, levels of any number. Without levels it is the outermost algorithm alone.
// Source: HCCL's all-gather; Cho, Finkler and Kung, BlueConnect, SysML 2019, for any number of levels.
//
// The rows differ in the outermost algorithm. Bruck's sends runs of blocks in few messages; as the blocks that a rank
// carries are seldom neighbours in the output, they are gathered in the order of places, where they are, and copied.
#include "algorithms/all_gather/algorithms.hpp"
#include "algorithms/patterns/level_phases.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {
namespace {

Result<Plan> compose(const Request& request, const Topology& topology, std::string_view outermost, bool in_one_tile) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    auto hierarchy = Hierarchy::of(topology, request.rank_count);
    if (!hierarchy) return std::unexpected(hierarchy.error());
    auto targets = hierarchy->by_place();
    LevelPhases phases{request, std::move(*hierarchy), std::move(targets), 1, in_one_tile};
    Composition& composition = phases.composition();
    const auto block = [&](Item item) { return composition.chunks().block_of_output(phases.targets()[item]); };
    const Chunk packed = in_one_tile ? composition.scratch(phases.item_count()) : Chunk{};
    const auto cell = [&](Item item) { return Chunk{BufferId::scratch, packed.index + item, 1, 0}; };

    phases.set_sources([&](Item) { return composition.chunks().input(0); });
    if (in_one_tile)
        phases.set_destinations(cell);
    else
        phases.set_destinations(block);
    if (auto done = phases.all_gather(phases.top(), outermost, true); !done) return std::unexpected(done.error());
    for (std::size_t level = phases.top() - 1; level > 0; level--)
        if (auto done = phases.all_gather(level, "direct", true); !done) return std::unexpected(done.error());
    if (!in_one_tile) return phases.finish();

    composition.begin_phase({});
    for (Item item = 0; item < phases.item_count(); item++)
        composition.add(0, {.kind = StepKind::copy, .source = cell(item), .destination = block(item)});
    return phases.finish();
}

}  // namespace

Result<Plan> hierarchical_all_gather(const Request& request, const Topology& topology) {
    return compose(request, topology, "ring", false);
}

Result<Plan> hierarchical_bruck_all_gather(const Request& request, const Topology& topology) {
    return compose(request, topology, "bruck", true);
}

}  // namespace tenon
