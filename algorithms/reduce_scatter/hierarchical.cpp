// Hierarchical reduce-scatter: within each level, from the inside out, partial sums go to the rank that carries their
// block across the next.
//
// Vocabulary: carriers, circles and levels are those of patterns/hierarchy.hpp; the items are the blocks.
// Cost: each block crosses the border of every group but its owner's once, as a sum of that group: ranks - group blocks
// leave each group, which is the least possible.
// Needs: scratch for the blocks that a rank carries; groups may be of any size, levels of any number. Without levels it
// is the outermost algorithm alone.
// Source: HCCL's reduce-scatter; Cho, Finkler and Kung, BlueConnect, SysML 2019, for any number of levels.
//
// The rows differ in the outermost algorithm. Circulant sends runs of blocks in few messages; as the blocks that a rank
// carries are seldom neighbours in the input, all are first brought in the order of places, where they are.
#include "algorithms/patterns/level_phases.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/reduce_scatter/algorithms.hpp"

namespace tenon {
namespace {

Result<Plan> compose(const Request& request, const Topology& topology, std::string_view outermost, bool in_one_tile) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    auto hierarchy = Hierarchy::of(topology, request.rank_count);
    if (!hierarchy) return std::unexpected(hierarchy.error());
    auto targets = hierarchy->by_place();
    LevelPhases phases{request, std::move(*hierarchy), std::move(targets), 1, in_one_tile};
    const auto block = [&](Item item) {
        return phases.composition().chunks().block_of_input(phases.targets()[item]);
    };

    if (in_one_tile) {
        const Chunk packed = phases.composition().scratch(phases.item_count());
        phases.composition().begin_phase({});
        for (Item item = 0; item < phases.item_count(); item++) {
            const Chunk cell{BufferId::scratch, packed.index + item, 1, 0};
            phases.composition().add(0, {.kind = StepKind::copy, .source = block(item), .destination = cell});
            phases.put(item, cell);
        }
    } else {
        phases.set_sources(block);
    }
    std::vector<Chunk> cells(phases.item_count());
    for (std::size_t level = 1; level < phases.top(); level++) {
        phases.set_destinations([&](Item item) {
            if (phases.place(item).buffer == BufferId::scratch) return phases.place(item);
            if (cells[item].count == 0) cells[item] = phases.composition().scratch(1);
            return cells[item];
        });
        if (auto done = phases.reduce_scatter(level, "direct", false); !done) return std::unexpected(done.error());
    }
    phases.set_destinations([&](Item) { return phases.composition().chunks().output(0); });
    if (auto done = phases.reduce_scatter(phases.top(), outermost, true); !done) return std::unexpected(done.error());
    return phases.finish();
}

}  // namespace

Result<Plan> hierarchical_reduce_scatter(const Request& request, const Topology& topology) {
    return compose(request, topology, "ring", false);
}

Result<Plan> hierarchical_circulant_reduce_scatter(const Request& request, const Topology& topology) {
    return compose(request, topology, "circulant", true);
}

}  // namespace tenon
