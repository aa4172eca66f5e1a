// Bruck's all-to-all: blocks hop by powers of two, many in one message, so that few messages are sent.
//
// Vocabulary: the *way* of a block is the number of ranks it has to go ahead, 0 .. ranks - 1. In the round of distance
// d (1, 2, 4, ...) all blocks whose way has the bit d hop d ranks ahead. At every moment a rank holds one block of each
// way: the one it sends out itself until that way's first hop, then one that is passing through.
// Cost: ceil(log2(ranks)) rounds; each rank sends about ranks / 2 blocks in each. Best for tiny blocks among many
// ranks.
// Needs: scratch for about ranks / 2 * (log2(ranks) + 1) blocks, hence a limit on the block.
// Source: Bruck, Ho, Kipnis, Upfal and Weathersby, Efficient Algorithms for All-to-All Communications in Multiport
// Message-Passing Systems, IEEE TPDS 1997.
//
// Blocks are packed into runs, so chunks are not cut in tiles. Sends and receives have a lane each, so that a round
// never waits for room to send before it receives.
#include "algorithms/all_to_all/algorithms.hpp"
#include "algorithms/patterns/distances.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "algorithms/patterns/ring.hpp"

namespace tenon {

Result<Plan> bruck_all_to_all(const Request& request, const Topology&) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const Ring ring{request.rank, request.rank_count};
    PlanBuilder plan{request};
    plan.tile_bytes(one_tile);

    std::vector<Chunk> held;  // by way
    for (Rank way = 0; way < request.rank_count; way++) held.push_back(plan.block_of_input(ring.ahead(way)));
    const Chunk parcel = plan.scratch({.count = static_cast<std::uint32_t>(request.rank_count / 2)});
    const auto cell = [](const Chunk& cells, std::uint32_t at) {
        return Chunk{BufferId::scratch, cells.index + at, 1, 0};
    };

    auto sends = plan.lane();
    auto receives = plan.lane();
    std::optional<StepRef> received;
    for (const Rank distance : doubling_distances(request.rank_count)) {
        std::vector<Chunk*> hopping;
        for (Rank way = distance; way < request.rank_count; way++)
            if (way & distance) hopping.push_back(&held[static_cast<std::size_t>(way)]);
        const auto count = static_cast<std::uint32_t>(hopping.size());

        for (std::uint32_t i = 0; i < count; i++) {
            auto packed = sends.copy(cell(parcel, i), *hopping[i]);
            if (i == 0 && received) packed.after(*received);
        }
        sends.send({BufferId::scratch, parcel.index, count, 0}, ring.ahead(distance));

        const Chunk arrived = plan.scratch({.count = count});
        received = receives.receive(arrived, ring.behind(distance)).destination_free().ref();
        for (std::uint32_t i = 0; i < count; i++) *hopping[i] = cell(arrived, i);
    }
    for (Rank way = 0; way < request.rank_count; way++)
        receives.copy(plan.block_of_output(ring.behind(way)), held[static_cast<std::size_t>(way)]);
    return plan.finish();
}

}  // namespace tenon
