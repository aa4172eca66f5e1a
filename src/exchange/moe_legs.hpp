// A hierarchical exchange as two flat ones after the other, which the same code runs:
//   across   each token's row goes once to every node that needs it, to the rank that hands it on there (its
//   forwarder),
//            into that rank's window; a combine brings back one sum for each node, and adds them
//   within   the rows of a window go to the node's ranks that have experts for them; a combine adds their rows, in the
//            order of the slots, into the window
// Tokens go in rounds of `block` of each rank, and a round's leg between nodes goes on beside the leg within nodes of
// the round before it (a combine: after it): no pair of ranks has a part in both. So there are two windows, by turns,
// which together are bounded. With one node there is nothing to win.
//
// What both legs move follows from the flat routing, and from what each rank tells its forwarders (MoeForward). A
// forwarder takes its window's rows by source rank and token, the order in which their receivers have them too.
#pragma once

#include <algorithm>

#include "exchange/moe_routing.hpp"

namespace tenon {

// The forwarder of a rank's tokens on a node: the rank with the same index there, counted around where the node has
// fewer; on its own node itself. Ranks that are masked count for nothing.
class MoeForwarders {
public:
    MoeForwarders() = default;
    explicit MoeForwarders(std::span<const std::int32_t> node_of, std::span<const std::uint8_t> masked = {});
    Rank of(Rank origin, std::int32_t node) const {  // no_rank, where there is none
        const std::vector<Rank>& ranks = ranks_of_[static_cast<std::size_t>(node)];
        if (ranks.empty()) return no_rank;
        return ranks[index_of_[static_cast<std::size_t>(origin)] % ranks.size()];
    }
    std::int32_t node_of(Rank rank) const { return node_of_[static_cast<std::size_t>(rank)]; }
    std::size_t nodes() const { return ranks_of_.size(); }
    // For how many ranks the busiest forwarder hands tokens on.
    std::uint64_t most_origins() const;

private:
    std::vector<std::int32_t> node_of_;
    std::vector<std::size_t> index_of_;        // by rank, within its node
    std::vector<std::vector<Rank>> ranks_of_;  // by node
};

// One slot of a token, as its rank tells it to its forwarder.
struct MoeForward {
    std::uint32_t token = 0;
    std::uint32_t slot = 0;
    Rank rank = 0;  // which has the expert
    float weight = 1;
};

struct MoeLegs {
    MoeRouting across, within;
};

struct MoeHierarchy {
    // Of a row in a window, of whichever types: an element takes at most 4 bytes, and the scales of one a float32 more.
    static std::uint64_t window_row_bytes(const MoeShape& shape) {
        return std::max(shape.hidden * sizeof(float), shape.dispatch_row_bytes());
    }
    static std::uint64_t block_of(const MoeShape& shape, const MoeForwarders& forwarders);
    static std::uint64_t rounds_of(const MoeShape& shape, const MoeForwarders& forwarders);
    static std::uint64_t windows_of(std::uint64_t rounds) { return rounds > 1 ? 2 : 1; }

    // From the flat routing, when it is finished: what this rank tells its forwarders.
    void tell(const MoeShape& shape, const MoeRouting& flat, const MoeForwarders& forwarders);
    // With `told` and `told_offsets` of all ranks: the legs of each round. False where an entry fits no configuration.
    bool finish(const MoeShape& shape, const MoeRouting& flat, const MoeForwarders& forwarders);

    std::vector<MoeForward> tells{}, told{};
    std::vector<std::uint64_t> tells_offsets{}, told_offsets{};  // [ranks + 1]
    std::uint64_t block = 1;
    std::vector<MoeLegs> rounds{};
    std::uint64_t window_rows = 0;  // of the largest round

private:
    MoeRouting across(const MoeRouting& flat, const MoeForwarders& forwarders, std::uint64_t first) const;
    MoeRouting within(const MoeShape& shape, const MoeRouting& flat, const MoeForwarders& forwarders,
                      std::uint64_t first, std::uint64_t windows) const;
};

}  // namespace tenon
