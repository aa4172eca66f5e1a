// Plans made of plans: an existing algorithm's plan for a few ranks becomes a phase of a larger plan.
//
// Vocabulary: the *inner* plan is the existing algorithm's, for a subgroup's *members*, numbered from 0. What it calls
// a block or a piece is a list of *items* of the outer plan, each one outer piece; lists may differ in length or be
// empty, since every step of the inner plan is written once for each item that it moves, and not at all where there is
// none. What an item looks like, and where it lies, the outer algorithm says (`Placement`).
//
// A *phase* is what embedded plans have in common that do not wait for each other: they share lanes and channels, and
// every rank embeds its circles in one order on which all agree. A step that meets what an earlier phase has read or
// written waits for exactly that, so phases overlap: the first items are on their way between servers while later ones
// are still summed within.
//
// How chunks are cut follows the outer plan:
// - in tiles: the inner plan is repeated for the first item of every list, then for the second, and so on; that is
//   right for the reason for which tiles are (src/plan/schedule.hpp), and needs inner plans that are cut in tiles, too;
// - one_tile: items that follow each other in number travel as one message; so the outer plan must place them
//   contiguously. For inner plans that send sends and receives from lanes of their own.
//
// Boards reach all ranks of the communicator, so what an inner plan publishes is sent to each other member.
#pragma once

#include <functional>

#include "algorithms/patterns/hierarchy.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace tenon {

// By item. An inner plan's input is read at `source`, its output is written and read at `destination`.
struct Placement {
    std::function<Chunk(Item)> source, destination;
};

class Composition {
public:
    // `pieces` of each block are items; where it is 1, blocks are.
    Composition(const Request& request, std::uint32_t pieces, bool in_one_tile);

    const PlanBuilder& chunks() const { return plan_; }
    Chunk scratch(std::uint32_t items);  // one after the other; the first of them is piece 0 of its block

    struct PhaseOptions {
        Channel channel = 0;            // the inner plans' channels follow from here on
        bool completes = false;         // sums that inner plans complete are complete
        bool destinations_free = false;  // what they say of their destinations holds in the outer plan, too
    };
    void begin_phase(const PhaseOptions& options);
    // `items`: by the inner plan's piece (of its one block) or by its block (where blocks are not cut).
    void embed(const Plan& inner, std::span<const Rank> members, std::span<const std::vector<Item>> items,
               const Placement& placement);
    // A step of the outer algorithm's own, in this phase's lane of that number.
    StepHandle add(std::size_t lane, const Step& step, std::span<const Chunk> operands = {});

    Result<Plan> finish() { return plan_.finish(); }

private:
    friend class Embedding;
    // Who last wrote a cell and who has read it since; a step of each lane at most.
    struct Touches {
        std::vector<StepRef> writers, readers;
    };
    struct Access {
        std::size_t cell;
        StepRef step;
        bool writes;
    };
    std::size_t cell_of(BufferId buffer, ChunkIndex index) const;
    void order(StepHandle& step, const Chunk& chunk, bool writes, std::vector<StepRef>& awaited);
    LaneBuilder lane(std::size_t number);

    Request request_;
    std::uint32_t pieces_;
    bool in_one_tile_;
    PlanBuilder plan_;
    PhaseOptions phase_;
    std::vector<LaneBuilder> lanes_;
    std::vector<Touches> earlier_;  // by cell: of earlier phases
    std::vector<Access> current_;   // of this phase
};

}  // namespace tenon
