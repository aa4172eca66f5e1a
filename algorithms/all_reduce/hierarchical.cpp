// Hierarchical all-reduce: a reduce-scatter within each level, from the inside out; an all-reduce of what each rank
// carries across the outermost level; and all-gathers back in.
//
// Vocabulary: carriers, circles and levels are those of patterns/hierarchy.hpp; a slice is what one rank carries out of
// its group. Every rank carries one, so all ways out of a server are used side by side.
// Cost: with h equal groups at the outermost level, 2 (h - 1) / h of the buffer crosses each group's border each way,
// which is the least possible; within, twice what a two-shot all-reduce moves.
// Needs: nothing; groups may be of any size, levels of any number. Without levels it is the outermost algorithm alone.
// Source: the composition is that of NCCL's and HCCL's hierarchical all-reduce (HCCL: reduce-scatter within servers,
// all-reduce between, all-gather within); Cho, Finkler and Kung, BlueConnect, SysML 2019, for any number of levels.
//
// The rows differ in the outermost algorithm. A ring there needs a piece for each rank, so that slices are cut in
// parts; doubling sends whole slices; circulant sends runs of pieces in few messages, so its chunks are not cut in
// tiles.
#include "algorithms/all_reduce/algorithms.hpp"
#include "algorithms/patterns/level_phases.hpp"
#include "algorithms/patterns/one_rank.hpp"

namespace tenon {
namespace {

struct Way {
    std::string_view outermost;
    bool has_slices_in_parts, is_in_one_tile;
};

Result<Plan> compose(const Request& request, const Topology& topology, const Way& way) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    auto hierarchy = Hierarchy::of(topology, request.rank_count);
    if (!hierarchy) return std::unexpected(hierarchy.error());
    auto targets = way.has_slices_in_parts ? hierarchy->by_place() : hierarchy->of_largest_part();
    const auto pieces = static_cast<std::uint32_t>(targets.size());
    LevelPhases phases{request, std::move(*hierarchy), std::move(targets), pieces, way.is_in_one_tile};
    const PlanBuilder& chunks = phases.composition().chunks();
    phases.set_sources([&](Item item) { return chunks.input(item); });
    phases.set_destinations([&](Item item) { return chunks.output(item); });

    for (std::size_t level = 1; level < phases.top(); level++)
        if (auto done = phases.reduce_scatter(level, "direct", false); !done) return std::unexpected(done.error());
    if (auto done = phases.all_reduce(phases.top(), way.outermost); !done) return std::unexpected(done.error());
    // What comes back at level 1 was never touched; further out, partial sums lie where results come.
    for (std::size_t level = phases.top() - 1; level > 0; level--)
        if (auto done = phases.all_gather(level, "direct", level == 1); !done) return std::unexpected(done.error());
    return phases.finish();
}

}  // namespace

Result<Plan> hierarchical_all_reduce(const Request& request, const Topology& topology) {
    return compose(request, topology, {"ring", true, false});
}

Result<Plan> hierarchical_doubling_all_reduce(const Request& request, const Topology& topology) {
    return compose(request, topology, {"recursive_doubling", false, false});
}

Result<Plan> hierarchical_circulant_all_reduce(const Request& request, const Topology& topology) {
    return compose(request, topology, {"circulant", true, true});
}

}  // namespace tenon
