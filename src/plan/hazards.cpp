#include "plan/hazards.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "plan/happens_before.hpp"
#include "plan/memory_map.hpp"
#include "plan/names.hpp"

namespace tenon {
namespace {

struct Access {
    Cell first = 0, end = 0;
    StepId step = 0;
    bool writes = false;
    Chunk chunk{};
};

bool meet(const Access& a, const Access& b) { return a.first < b.end && b.first < a.end; }
bool conflict(const Access& a, const Access& b) { return meet(a, b) && (a.writes || b.writes); }

// The first piece of a block among those that both touch. Whatever has elements there has them in all earlier pieces.
std::uint32_t piece_of_meeting(const Access& a, const Access& b, std::uint32_t pieces) {
    const Access& later = a.first < b.first ? b : a;
    const Cell shared = std::min(a.end, b.end) - later.first;
    return std::uint64_t{later.chunk.shape} + shared > pieces ? 0 : later.chunk.shape;
}

std::vector<Access> accesses_of(const World& world, const Plan& plan, bool in_place) {
    const MemoryMap map{plan, in_place};
    std::vector<Access> all;
    const auto add = [&](const Chunk& chunk, StepId step, bool writes) {
        const Cell first = map.first_cell(chunk);
        all.push_back({first, first + chunk.count, step, writes, chunk});
    };
    for (std::uint32_t lane = 0; lane < plan.lanes.size(); lane++)
        for (std::uint32_t s = 0; s < plan.lanes[lane].steps.size(); s++) {
            const Step& step = plan.lanes[lane].steps[s];
            const StepId id = world.id(plan.rank, {lane, s});
            // In place, a copy onto itself touches nothing.
            if (step.kind == StepKind::copy && map.first_cell(step.source) == map.first_cell(step.destination))
                continue;
            if (reads_source(step.kind)) add(step.source, id, false);
            if (writes_destination(step.kind)) add(step.destination, id, true);
            for (const Chunk& operand : plan.operands_of(step)) add(operand, id, false);
        }
    return all;
}

std::unexpected<Error> wrong(const World& world, StepId id, const std::string& what) {
    return fail(Status::invalid_argument, world.name(id) + " " + what);
}

// What the accesses to one cell agree on, and one of them to name where another does not.
struct CellUse {
    const Access* write = nullptr;
    const Access* packed = nullptr;
};

Result<void> check_alignment_of(const World& world, const Plan& plan, bool in_place) {
    const std::vector<Access> all = accesses_of(world, plan, in_place);
    std::vector<CellUse> uses(MemoryMap{plan, in_place}.cell_count());
    for (const Access& a : all) {
        const bool packed = a.chunk.buffer == BufferId::scratch && plan.pieces > 1 &&
                            std::uint64_t{a.chunk.shape} + a.chunk.count > plan.pieces;
        for (Cell cell = a.first; cell < a.end; cell++) {
            if (a.writes && uses[cell].write == nullptr) uses[cell].write = &a;
            if (packed) uses[cell].packed = &a;
        }
    }
    for (const Access& a : all)
        for (Cell cell = a.first; cell < a.end; cell++) {
            const auto [write, packed] = uses[cell];
            if (write != nullptr && write->first != a.first && plan.tile_bytes != one_tile)
                return wrong(
                    world, a.step,
                    fmt::format("touches {} and {} writes {}: they meet but start apart, so their tiles differ; "
                                "use equal chunks, or tile_bytes = one_tile",
                                name_of(a.chunk), world.name(write->step), name_of(write->chunk)));
            if (packed != nullptr && (packed->first != a.first || packed->chunk.shape != a.chunk.shape))
                return wrong(
                    world, a.step,
                    fmt::format("touches {} inside {} of {}, which crosses a block's end: its pieces are packed "
                                "and do not lie in cells of their own",
                                name_of(a.chunk), name_of(packed->chunk), world.name(packed->step)));
        }
    return {};
}

// Races and claims of one rank.
class OrderCheck {
public:
    OrderCheck(const World& world, HappensBefore& before, const Plan& plan, bool in_place)
        : world_(world), before_(before), plan_(plan), map_(plan, in_place), all_(accesses_of(world, plan, in_place)) {
        std::ranges::sort(all_, {}, [](const Access& a) { return std::pair{a.first, a.step}; });
    }

    Result<void> run() {
        if (plan_.lanes.size() > 1)
            if (auto ordered = check_races(); !ordered) return ordered;
        for (std::uint32_t lane = 0; lane < plan_.lanes.size(); lane++)
            for (std::uint32_t s = 0; s < plan_.lanes[lane].steps.size(); s++) {
                const StepId id = world_.id(plan_.rank, {lane, s});
                if (world_.step(id).source_stable)
                    if (auto stable = check_stable(id); !stable) return stable;
                if (world_.step(id).destination_free)
                    if (auto free = check_free(id); !free) return free;
                if (world_.step(id).answered)
                    if (auto answered = check_answered(id); !answered) return answered;
            }
        return {};
    }

private:
    bool ordered(const Access& a, const Access& b) {
        const std::uint32_t piece = piece_of_meeting(a, b, plan_.pieces);
        return before_(a.step, b.step, piece) || before_(b.step, a.step, piece);
    }

    Result<void> check_races() {
        for (std::size_t i = 0; i < all_.size(); i++)
            for (std::size_t k = i + 1; k < all_.size() && all_[k].first < all_[i].end; k++) {
                const Access &a = all_[i], &b = all_[k];
                if (world_.lane_of(a.step) == world_.lane_of(b.step) || !conflict(a, b) || ordered(a, b)) continue;
                return wrong(world_, a.step,
                             fmt::format("races with {}: one {} {}, the other {} {}, in no order; add a dependency",
                                         world_.name(b.step), a.writes ? "writes" : "reads", name_of(a.chunk),
                                         b.writes ? "writes" : "reads", name_of(b.chunk)));
            }
        return {};
    }

    Access access_to(const Chunk& chunk, StepId id) const {
        const Cell first = map_.first_cell(chunk);
        return {first, first + chunk.count, id, false, chunk};
    }

    Result<void> check_stable(StepId id) {
        const Access sent = access_to(sent_chunk(world_.step(id)), id);
        for (const Access& other : all_) {
            if (other.first >= sent.end) break;
            if (other.step == id || !other.writes || !meet(sent, other)) continue;
            const std::uint32_t piece = piece_of_meeting(sent, other, plan_.pieces);
            if (before_(other.step, id, piece) || before_.taken_before(id, other.step, piece)) continue;
            return wrong(world_, id,
                         fmt::format("claims a stable source, but {} may overwrite {} before a receiver has taken it",
                                     world_.name(other.step), name_of(sent.chunk)));
        }
        return {};
    }

    Result<void> check_free(StepId id) {
        const Access target = access_to(world_.step(id).destination, id);
        for (const Access& other : all_) {
            if (other.first >= target.end) break;
            if (other.step == id || !meet(target, other)) continue;
            const std::uint32_t piece = piece_of_meeting(target, other, plan_.pieces);
            if (before_(id, other.step, piece) || is_taken_first(other, target, piece)) continue;
            return wrong(world_, id,
                         fmt::format("claims a free destination, but {} may still {} {} when the message comes",
                                     world_.name(other.step), other.writes ? "write" : "read", name_of(other.chunk)));
        }
        return {};
    }

    // Most likely by the rank that it was sent to.
    Result<void> check_answered(StepId id) {
        for (const bool by_receiver : {true, false})
            for (std::uint32_t lane = 0; lane < plan_.lanes.size(); lane++)
                for (std::uint32_t s = 0; s < plan_.lanes[lane].steps.size(); s++) {
                    const Step& step = plan_.lanes[lane].steps[s];
                    if (receives(step.kind) && (step.receive_from == world_.step(id).send_to) == by_receiver &&
                        answers(world_.sender_of(world_.id(plan_.rank, {lane, s})), id))
                        return {};
                }
        return wrong(world_, id, "claims to be answered, but no message comes that is sent after it has been taken");
    }

    // An answer must not be empty, nor have fewer tiles, where the message has some.
    bool answers(StepId answer, StepId id) {
        const Chunk &message = sent_chunk(world_.step(id)), &back = sent_chunk(world_.step(answer));
        const std::uint32_t piece = first_piece(message, plan_.pieces);
        return first_piece(back, plan_.pieces) <= piece && back.count >= message.count &&
               before_.taken_before(id, answer, piece);
    }

    // The exception of destination_free: a send of this memory that is taken before the message is sent. Where one step
    // takes the one and sends the other, it does so element by element, so both must start at the same one.
    bool is_taken_first(const Access& other, const Access& target, std::uint32_t piece) {
        if (other.writes || !sends(world_.step(other.step).kind)) return false;
        const StepId sender = world_.sender_of(target.step);
        if (receives(world_.step(sender).kind) && other.first != target.first) return false;
        return before_.taken_before(other.step, sender, piece);
    }

    const World& world_;
    HappensBefore& before_;
    const Plan& plan_;
    MemoryMap map_;
    std::vector<Access> all_;  // by first cell
};

}  // namespace

Result<void> check_alignment(const World& world, bool in_place) {
    for (const Plan& plan : world.plans())
        if (auto aligned = check_alignment_of(world, plan, in_place); !aligned) return aligned;
    return {};
}

Result<void> check_order_of_accesses(const World& world, std::span<const StepId> order, bool in_place) {
    HappensBefore before{world, order};
    for (const Plan& plan : world.plans())
        if (auto ordered = OrderCheck{world, before, plan, in_place}.run(); !ordered) return ordered;
    return {};
}

}  // namespace tenon
