// The phases of hierarchical algorithms: one collective at one level, by an existing algorithm, in every circle that
// this rank is in (patterns/hierarchy.hpp), embedded in one plan (patterns/composition.hpp).
//
// A reduction goes up: a reduce-scatter within each level leaves each rank with the group's sum of the items that it
// carries; what goes down again is an all-gather of the same circles. So only what a rank carries crosses a level.
#pragma once

#include <string_view>

#include "algorithms/patterns/composition.hpp"

namespace tenon {

// Two channels between two ranks are enough: which level joins them decides who uses them.
inline constexpr Channel upward = 0;
inline constexpr Channel downward = 1;

class LevelPhases {
public:
    // The items are named after `targets`. `pieces`: as Composition's.
    LevelPhases(const Request& request, Hierarchy hierarchy, std::vector<Rank> targets, std::uint32_t pieces,
                bool in_one_tile);

    const Hierarchy& hierarchy() const { return hierarchy_; }
    std::size_t top() const { return hierarchy_.depth(); }
    Composition& composition() { return composition_; }
    std::span<const Rank> targets() const { return targets_; }
    Item item_count() const { return static_cast<Item>(targets_.size()); }
    Rank carrier(std::size_t level, Rank rank, Item item) const {
        return hierarchy_.carrier(level, hierarchy_.group_of(level, rank), targets_[item]);
    }

    // Where this rank has an item, at first and after each phase; and where it is to get it next.
    void set_sources(const std::function<Chunk(Item)>& sources);
    void set_destinations(std::function<Chunk(Item)> destinations) { destination_ = std::move(destinations); }
    const Chunk& place(Item item) const { return at_[item]; }
    void put(Item item, const Chunk& at) { at_[item] = at; }

    // What a sum needs at the last level is `completes`. Phases of a level whose groups have one part do nothing.
    Result<void> reduce_scatter(std::size_t level, std::string_view algorithm, bool completes);
    Result<void> all_gather(std::size_t level, std::string_view algorithm, bool destinations_free);
    Result<void> all_reduce(std::size_t level, std::string_view algorithm);
    Result<void> broadcast(std::size_t level, std::string_view algorithm, Rank root);
    Result<void> reduce(std::size_t level, std::string_view algorithm, Rank root, bool completes);

    Result<Plan> finish() { return composition_.finish(); }

private:
    enum class Lists { by_part, together };
    Result<void> phase(std::size_t level, Collective collective, std::string_view algorithm, Lists lists, Rank root,
                       const Composition::PhaseOptions& options);

    Request request_;
    Hierarchy hierarchy_;
    std::vector<Rank> targets_;
    Composition composition_;
    std::vector<Chunk> at_;
    std::function<Chunk(Item)> destination_;
};

}  // namespace tenon
