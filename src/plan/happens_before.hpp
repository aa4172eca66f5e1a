// Whether one step is always done before another begins: by the order of a lane, by dependencies and by messages.
//
// Messages that may be empty order nothing, because an empty message is not sent. Room in a channel orders nothing
// either: a transport may buffer more than a plan counts on. Borrows the world; not thread-safe (queries share a
// stamp).
#pragma once

#include "plan/world.hpp"

namespace tenon {

// The first piece of a block that a chunk holds: 0 where it goes on into the next block. Where it has elements, the
// chunk is not empty.
std::uint32_t first_piece(const Chunk& chunk, std::uint32_t pieces);

class HappensBefore {
public:
    HappensBefore(const World& world, std::span<const StepId> order);

    // Asked for data of `piece` (of a block): where it has elements, so have all pieces before it, and no message that
    // holds one of these is empty.
    bool operator()(StepId earlier, StepId later, std::uint32_t piece);
    // Every receiver of what `send` sends has taken it before `later` begins, or takes it in `later` itself.
    bool taken_before(StepId send, StepId later, std::uint32_t piece);

private:
    bool walked(LaneId lane) const { return stamp_[lane] == query_; }
    void push_successors(StepId id, std::uint32_t piece, StepId later);
    void push(StepId id, StepId later);

    const World& world_;
    std::vector<std::uint32_t> position_;  // of a step in the order
    std::vector<std::uint32_t> first_dependent_;
    std::vector<StepId> dependents_;
    std::vector<StepId> open_;          // of this query: steps still to walk on from
    std::vector<std::uint64_t> stamp_;  // by lane: the last query that walked it,
    std::vector<StepId> walked_from_;   // and from which step on
    std::uint64_t query_ = 0;
};

}  // namespace tenon
