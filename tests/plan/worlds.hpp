// Small right worlds for the tests of src/plan to verify, print and break.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tenon/plugin/plan_builder.hpp"

namespace tenon::testing {

// One plan per rank, written by `write(builder, rank)`.
inline std::vector<Plan> make_world(Collective collective, Rank rank_count, std::uint32_t pieces,
                                    const std::function<void(PlanBuilder&, Rank)>& write, Rank root = 0) {
    std::vector<Plan> plans;
    for (Rank rank = 0; rank < rank_count; rank++) {
        PlanBuilder builder{{.collective = collective, .rank = rank, .rank_count = rank_count, .root = root}, pieces};
        write(builder, rank);
        plans.push_back(builder.finish().value());
        plans.back().algorithm = "example";
    }
    return plans;
}

// The ring: a reduce-scatter, then an all-gather, each step one fused pass.
inline std::vector<Plan> ring_all_reduce(Rank ranks) {
    return make_world(
        Collective::all_reduce, ranks, static_cast<std::uint32_t>(ranks), [ranks](PlanBuilder& plan, Rank r) {
            const auto piece = [&](Rank behind) { return static_cast<ChunkIndex>((r - behind + 2 * ranks) % ranks); };
            const Rank next = (r + 1) % ranks, previous = (r + ranks - 1) % ranks;
            auto lane = plan.lane();
            lane.send(plan.input(piece(0)), next).source_stable();
            for (Rank k = 1; k < ranks - 1; k++) lane.receive_reduce_send(plan.input(piece(k)), previous, next);
            const ChunkIndex own = piece(ranks - 1);
            lane.receive_reduce_copy_send(plan.output(own), plan.input(own), previous, next).completes();
            for (Rank k = 0; k < ranks - 2; k++)
                lane.receive_send(plan.output(piece(k)), previous, next).destination_free();
            lane.receive(plan.output(piece(ranks - 2)), previous).destination_free();
        });
}

// Every rank publishes its input, and adds all of them in rank order.
inline std::vector<Plan> one_shot_all_reduce(Rank ranks) {
    return make_world(Collective::all_reduce, ranks, 1, [ranks](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        lane.publish(plan.input(0));
        std::vector<Chunk> operands;
        for (Rank peer = 0; peer < ranks; peer++) {
            operands.push_back(peer == r ? plan.input(0) : plan.scratch(plan.input(0)));
            if (peer != r) lane.receive_published(operands.back(), peer);
        }
        lane.reduce(plan.output(0), operands).completes();
    });
}

// Two lanes per rank: one sends every block to its rank, the other receives.
inline std::vector<Plan> direct_all_to_all(Rank ranks) {
    return make_world(Collective::all_to_all, ranks, 1, [ranks](PlanBuilder& plan, Rank r) {
        auto sender = plan.lane();
        auto receiver = plan.lane();
        sender.copy(plan.block_of_output(r), plan.block_of_input(r));
        for (Rank k = 1; k < ranks; k++) {
            sender.send(plan.block_of_input((r + k) % ranks), (r + k) % ranks).source_stable();
            const Rank from = (r + ranks - k) % ranks;
            receiver.receive(plan.block_of_output(from), from).destination_free();
        }
    });
}

inline std::vector<Plan> dissemination_barrier(Rank ranks) {
    return make_world(Collective::barrier, ranks, 1, [ranks](PlanBuilder& plan, Rank r) {
        auto lane = plan.lane();
        const Chunk token{};
        for (Rank distance = 1; distance < ranks; distance *= 2) {
            lane.send(token, (r + distance) % ranks);
            lane.receive(token, (r + ranks - distance) % ranks);
        }
    });
}

}  // namespace tenon::testing
