// Where each token of a call goes, and where it lies when it has come: what `prepare` makes and a handle keeps.
//
// Made in steps, between which the caller carries what ranks tell each other:
//   1. route()           from this rank's top-k: which copy of each expert, and the entries for each peer
//   2. counts out        how many entries for each place of the peer, and how many tokens   (all-to-all)
//   3. lay_out()         where the rows of each peer's tokens begin in this rank's buffer
//   4. bases out, and entries out                                                           (all-to-all, all-to-all-v)
//   5. finish()          the rows of what came here, and of what this rank has sent, in its peers' buffers
// Entries of a pair are ordered by token and slot on both sides, so that rows travel without any mark.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "exchange/moe_shape.hpp"

namespace tenon {

// Where the copies of each expert are on ranks that are not masked, and which of them this rank's tokens use: the
// nearest, as known from `node_of` (by rank); on this rank, else on its node, else anywhere; of several equally near
// ones, number (token + rank) modulo how many there are, in the order of ranks and places.
class MoeCopies {
public:
    struct Copy {
        Rank rank = 0;
        std::uint32_t place = 0;
    };
    MoeCopies(const MoeShape& shape, Rank rank, std::span<const std::int32_t> node_of);
    Copy of(std::uint32_t expert, std::uint64_t token) const {  // of rank no_rank, where there is none
        const std::uint64_t first = first_[expert], count = first_[expert + 1] - first;
        if (count == 0) return {no_rank, 0};
        return copies_[first + (count == 1 ? 0 : (token + rank_) % count)];
    }

    // How many equally near copies of the expert there are.
    std::uint64_t count(std::uint32_t expert) const { return first_[expert + 1] - first_[expert]; }

private:
    std::uint64_t rank_;
    std::vector<std::uint32_t> first_;  // by expert, of its nearest copies
    std::vector<Copy> copies_;
};

// One slot of a token, as it travels.
struct MoeEntry {
    std::uint32_t token = 0;
    std::uint16_t slot = 0;
    std::uint16_t place = 0;
    float weight = 1;
};

// A row that a combine adds, in the order of the recipe.
struct MoeContribution {
    std::uint32_t entry = 0;           // among all that this rank has sent
    std::uint32_t rank : 31 = 0;       // which has the expert
    std::uint32_t ends_group : 1 = 0;  // the last of its node
};

struct MoeRouting {
    static constexpr std::uint64_t bytes_of_sent_entry =
        sizeof(MoeEntry) + sizeof(MoeContribution) + sizeof(std::uint32_t) + sizeof(MoeCopies::Copy);
    static constexpr std::uint64_t bytes_of_received_entry = sizeof(MoeEntry) + sizeof(std::uint32_t);

    // `indices` [tokens][top_k]: an expert, or -1; `weights` the same, or null for ones. Refuses what is out of range.
    static Result<MoeRouting> route(const MoeShape& shape, const MoeCopies& copies, Rank rank,
                                    std::span<const std::int32_t> node_of, const std::int64_t* indices,
                                    const float* weights, std::uint64_t tokens);
    // With `counts_in` of all peers; false where there would be more rows than can be numbered.
    bool lay_out(const MoeShape& shape);
    // With `bases_in` and `received`. False where an entry of a peer is none of this shape.
    bool finish(const MoeShape& shape);

    Rank rank = 0, rank_count = 1;
    std::uint64_t tokens = 0;
    std::uint64_t dropped_slots = 0;   // that have an expert, but no rank for it
    std::uint64_t dropped_tokens = 0;  // of which so all slots with an expert are

    // [ranks][places_per_rank + 1], one block for each peer: entries for each of its places, and tokens.
    std::vector<std::uint32_t> counts_out{}, counts_in{};
    // The same shape: the first row of the peer's tokens at each place, and of its tokens where rows are rank-major.
    std::vector<std::uint32_t> bases_out{}, bases_in{};

    std::vector<std::uint64_t> sent_offsets{}, received_offsets{};  // [ranks + 1], of the entries below
    std::vector<MoeEntry> sent{}, received{};
    std::vector<std::uint32_t> sent_rows{};      // of each entry, in the peer's buffer
    std::vector<std::uint32_t> received_rows{};  // of each entry, in this rank's
    std::vector<std::uint32_t> token_offsets{};  // [tokens + 1], of the contributions
    std::vector<MoeContribution> contributions{};

    std::uint64_t rows = 0;  // of this rank's buffer, with padding
    std::vector<std::uint64_t> place_rows{}, place_offsets{};  // [places]; expert-major: without padding

    std::span<const MoeEntry> sent_to(Rank peer) const { return part(sent, sent_offsets, peer); }
    std::span<const MoeEntry> received_from(Rank peer) const { return part(received, received_offsets, peer); }

private:
    static std::span<const MoeEntry> part(const std::vector<MoeEntry>& all, const std::vector<std::uint64_t>& offsets,
                                          Rank peer) {
        const auto at = static_cast<std::size_t>(peer);
        return {all.data() + offsets[at], offsets[at + 1] - offsets[at]};
    }
    void count_dropped(const MoeShape& shape, const std::int64_t* indices, std::span<const MoeCopies::Copy> chosen);
    void order_contributions(const MoeShape& shape, std::span<const std::int32_t> node_of,
                             std::span<const MoeCopies::Copy> chosen);
};

// How many entries from `at` on are of one token.
inline std::size_t run_length(std::span<const MoeEntry> entries, std::size_t at) {
    std::size_t end = at + 1;
    while (end < entries.size() && entries[end].token == entries[at].token) end++;
    return end - at;
}

}  // namespace tenon
