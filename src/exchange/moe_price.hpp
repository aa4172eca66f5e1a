// What a dispatch and a combine of MoE would take on each way, before any routing is known: with tokens that choose
// their experts alike (uniformly, each token different ones), from the topology's links as the prices of plans take
// them (plan/cost.hpp).
//
// Expected bytes: a token of rank o needs a set of ranks that holds n of the E experts (its nearest copies counted)
// with probability 1 - C(E - n, k) / C(E, k). Flat, it goes to each rank that it needs; hierarchical, to each node, and
// on from there. An exchange takes what its busiest link, rank or part takes, or what its busiest rank's core takes to
// move messages, whichever is longer, and a latency; the legs and rounds of a hierarchical one follow each other.
//
// Everything that goes in is agreed between the ranks, so all of them get the same, bit for bit. Pure; any thread.
#pragma once

#include "exchange/moe_legs.hpp"
#include "plan/cost.hpp"

namespace tenon {

// Bytes of rows that one exchange sends over a level, all ranks together.
struct MoeLevelBytes {
    std::string level;
    double dispatch = 0, combine = 0;
};

struct MoeWayPrice {
    double dispatch_ns = 0, combine_ns = 0;
    std::string dispatch_limit{}, combine_limit{};  // "cores", or "links of a server"
    std::vector<MoeLevelBytes> levels{};            // from the innermost
    double leaving_bytes = 0;                       // of a dispatch: to other nodes
    double total_ns() const { return dispatch_ns + combine_ns; }
};

struct MoePathChoice {
    MoePath path = MoePath::flat;
    std::string reason{};
    MoeWayPrice flat{}, hierarchical{};
    double per_expert_leaving_bytes = 0;  // of a dispatch that sends a row for each expert
    std::uint64_t rounds = 1;             // of a hierarchical one
};

// `node_of`: by rank. With shape.most_tokens on each rank.
MoePathChoice choose_moe_path(const MoeShape& shape, std::span<const std::int32_t> node_of, const Topology& topology,
                              const CostParameters& parameters = {});

}  // namespace tenon
