// Broadcast by scatter and all-gather: the root gives every rank one piece, then all pieces go around a ring.
//
// Vocabulary: there are as many pieces as ranks; a *position* is a rank counted from the root, and piece p is scattered
// to position p.
// Cost: ranks steps; the root sends 2 (ranks - 1) / ranks of the buffer, every other rank less. Best for large messages
// where the root's link is the limit.
// Needs: nothing.
// Source: Barnett, Gupta, Payne, Shuler, van de Geijn and Watts, Interprocessor Collective Communication Library
// (InterCom), SHPCC 1994.
//
// The scatter is direct: the root sends no more than in a tree, and nothing is forwarded. It has its own channel,
// because the position next to the root gets both scattered and travelling pieces from it. The ring ends at the root,
// which has all pieces.
#include "algorithms/broadcast/algorithms.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {
namespace {

constexpr Channel travelling = 0;
constexpr Channel scattered = 1;

void add_root(PlanBuilder& plan, const Ring& ring) {
    const auto piece = [&](Rank position) { return plan.input(static_cast<ChunkIndex>(position)); };
    const auto keep = [&](LaneBuilder& lane, Rank position) {
        lane.copy(plan.output(static_cast<ChunkIndex>(position)), piece(position));
    };
    auto scatter = plan.lane();
    for (Rank position = 1; position < ring.rank_count; position++) {
        scatter.send(piece(position), ring.ahead(position), scattered).source_stable();
        keep(scatter, position);
    }

    // What position 1 would get from its predecessor in a whole ring, in that order.
    auto around = plan.lane();
    around.send(piece(0), ring.next(), travelling).source_stable();
    keep(around, 0);
    for (Rank position = ring.rank_count - 1; position > 1; position--)
        around.send(piece(position), ring.next(), travelling).source_stable();
}

void add_other(PlanBuilder& plan, const Ring& ring, Rank root) {
    const Rank position = (ring.rank - root + ring.rank_count) % ring.rank_count;
    const bool is_last = ring.next() == root;
    const auto piece_behind = [&](Rank steps) {
        return plan.output(static_cast<ChunkIndex>((position - steps + ring.rank_count) % ring.rank_count));
    };
    auto lane = plan.lane();
    lane.receive(piece_behind(0), root, scattered).destination_free();
    if (!is_last) lane.send(piece_behind(0), ring.next(), travelling).source_stable();
    for (Rank steps = 1; steps < ring.rank_count; steps++) {
        // The next position got its own piece from the root.
        if (is_last || steps == ring.rank_count - 1)
            lane.receive(piece_behind(steps), ring.previous(), travelling).destination_free();
        else
            lane.receive_send(piece_behind(steps), ring.previous(), ring.next(), travelling)
                .destination_free()
                .source_stable();
    }
}

}  // namespace

Result<Plan> scatter_all_gather_broadcast(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request, static_cast<std::uint32_t>(request.rank_count)};
    if (request.rank == request.root)
        add_root(plan, ring);
    else
        add_other(plan, ring, request.root);
    return plan.finish();
}

}  // namespace tenon
