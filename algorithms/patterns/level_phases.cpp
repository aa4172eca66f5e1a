#include "algorithms/patterns/level_phases.hpp"

#include <algorithm>

#include "algorithms/patterns/manifest.hpp"
#include "base/assert.hpp"

namespace tenon {
namespace {

std::span<const Algorithm> rows_of(Collective collective) {
    switch (collective) {
        case Collective::all_reduce: return all_reduce_algorithms();
        case Collective::all_gather: return all_gather_algorithms();
        case Collective::reduce_scatter: return reduce_scatter_algorithms();
        case Collective::broadcast: return broadcast_algorithms();
        default: return reduce_algorithms();
    }
}

std::size_t at(Rank rank) { return static_cast<std::size_t>(rank); }

Result<Plan> flat_plan(std::string_view algorithm, const Request& request) {
    const auto rows = rows_of(request.collective);
    const auto row = std::ranges::find(rows, algorithm, &Algorithm::name);
    TENON_ASSERT(row != rows.end(), "a level's algorithm is a row of its collective's manifest");
    return row->build(request, {.rank_count = request.rank_count});
}

// The lists as the inner plan counts: by its blocks, or by the pieces of its one block, spread as evenly as they go.
std::vector<std::vector<Item>> spread(const Circle& circle, std::uint32_t pieces) {
    std::vector<Item> all;
    for (const auto& list : circle.items) all.insert(all.end(), list.begin(), list.end());
    std::ranges::sort(all);
    std::vector<std::vector<Item>> lists(pieces);
    for (std::size_t i = 0; i < all.size(); i++)
        lists[i * pieces / std::max<std::size_t>(all.size(), pieces)].push_back(all[i]);
    return lists;
}

}  // namespace

LevelPhases::LevelPhases(const Request& request, Hierarchy hierarchy, std::vector<Rank> targets, std::uint32_t pieces,
                         bool in_one_tile)
    : request_(request),
      hierarchy_(std::move(hierarchy)),
      targets_(std::move(targets)),
      composition_(request, pieces, in_one_tile),
      at_(targets_.size()) {}

void LevelPhases::set_sources(const std::function<Chunk(Item)>& sources) {
    for (Item item = 0; item < item_count(); item++) at_[item] = sources(item);
}

Result<void> LevelPhases::phase(std::size_t level, Collective collective, std::string_view algorithm, Lists lists,
                                Rank root, const Composition::PhaseOptions& options) {
    composition_.begin_phase(options);
    for (const Circle& circle : hierarchy_.circles(level, request_.rank, targets_)) {
        Request inner = request_;
        inner.collective = collective;
        inner.rank = circle.me;
        inner.rank_count = static_cast<Rank>(circle.members.size());
        inner.root = is_rooted(collective) ? static_cast<Rank>(hierarchy_.part_index(level, root)) : 0;
        const auto plan = flat_plan(algorithm, inner);
        if (!plan) return std::unexpected(plan.error());
        const auto items = lists == Lists::by_part ? circle.items : spread(circle, plan->pieces);
        composition_.embed(*plan, circle.members, items,
                           {.source = [&](Item item) { return at_[item]; }, .destination = destination_});
        const bool all_get_all = collective != Collective::reduce_scatter && collective != Collective::reduce;
        const bool is_root = collective == Collective::reduce && circle.me == inner.root;
        for (std::size_t part = 0; part < circle.items.size(); part++)
            if (all_get_all || is_root || (collective == Collective::reduce_scatter && part == at(circle.me)))
                for (const Item item : circle.items[part]) at_[item] = destination_(item);
    }
    return {};
}

Result<void> LevelPhases::reduce_scatter(std::size_t level, std::string_view algorithm, bool completes) {
    return phase(level, Collective::reduce_scatter, algorithm, Lists::by_part, 0,
                 {.channel = upward, .completes = completes});
}

Result<void> LevelPhases::all_gather(std::size_t level, std::string_view algorithm, bool destinations_free) {
    return phase(level, Collective::all_gather, algorithm, Lists::by_part, 0,
                 {.channel = downward, .destinations_free = destinations_free});
}

Result<void> LevelPhases::all_reduce(std::size_t level, std::string_view algorithm) {
    return phase(level, Collective::all_reduce, algorithm, Lists::together, 0,
                 {.channel = upward, .completes = true});
}

Result<void> LevelPhases::broadcast(std::size_t level, std::string_view algorithm, Rank root) {
    return phase(level, Collective::broadcast, algorithm, Lists::together, root,
                 {.channel = downward, .destinations_free = true});
}

Result<void> LevelPhases::reduce(std::size_t level, std::string_view algorithm, Rank root, bool completes) {
    return phase(level, Collective::reduce, algorithm, Lists::together, root,
                 {.channel = upward, .completes = completes});
}

}  // namespace tenon
