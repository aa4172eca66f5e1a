// What the ranks of a MoE group agree on: how many experts, where their copies are, what a row is.
//
// Words: a *slot* is a position in a token's top-k; a *place* is where a rank keeps a copy of an expert; an expert may
// have several copies, a place may be empty. A *row* is `hidden` elements.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "reduction/quantise.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

enum class MoeLayout : std::uint8_t { expert_major, rank_major };
enum class MoePath : std::uint8_t { flat, hierarchical, automatic };

inline constexpr std::uint32_t most_slots_of_token = 64;
inline constexpr std::uint32_t most_experts = 1 << 20;
inline constexpr std::uint32_t most_places_of_rank = UINT16_MAX;
inline constexpr std::uint64_t most_row_bytes = std::uint64_t{1} << 30;
inline constexpr std::uint64_t most_tokens_of_call = INT32_MAX;
inline constexpr std::uint64_t usual_window_bytes = 64 << 20;

struct MoeShape {
    std::uint32_t experts = 0;
    std::uint32_t top_k = 0;
    std::uint64_t hidden = 0;       // elements of a row
    std::uint64_t most_tokens = 0;  // of a rank and call
    DataType token_type = DataType::bfloat16;     // of what is dispatched
    DataType dispatch_type = DataType::bfloat16;  // of the rows that arrive: the same, or quantised from it
    DataType combine_type = DataType::bfloat16;
    DataType partial_type = DataType::bfloat16;  // of a node's sum: the combine type or float32
    MoeLayout layout = MoeLayout::expert_major;
    MoePath path = MoePath::flat;
    std::uint64_t window_bytes = usual_window_bytes;  // hierarchical: of the rows that a rank keeps to hand them on
    std::uint32_t alignment = 1;        // expert-major: an expert's rows begin at a multiple of it, in rows
    std::uint32_t places_per_rank = 0;
    std::vector<std::int32_t> placement{};  // [ranks][places_per_rank]: an expert, or -1 for none
    std::vector<std::uint8_t> masked{};     // [ranks], or none: 1 for a rank that has no part in any routing
    bool drops_missing = false;             // slots whose expert has no place on a rank that is not masked are dropped

    bool is_quantised() const { return tenon::is_quantised(dispatch_type); }
    std::uint64_t token_row_bytes() const { return hidden * element_bytes(token_type); }
    std::uint64_t scale_bytes() const { return scales_of_row(dispatch_type, hidden) * sizeof(float); }
    // As a row travels: its elements, and their scales behind them.
    std::uint64_t dispatch_row_bytes() const { return hidden * element_bytes(dispatch_type) + scale_bytes(); }
    std::uint64_t combine_row_bytes() const { return hidden * element_bytes(combine_type); }
    bool is_masked(Rank rank) const { return !masked.empty() && masked[static_cast<std::size_t>(rank)] != 0; }
    std::int32_t expert_at(Rank rank, std::uint32_t place) const {
        return placement[static_cast<std::size_t>(rank) * places_per_rank + place];
    }
};

// One copy of each expert, dealt out in blocks as even as can be: rank r has experts [r * experts / ranks,
// (r + 1) * experts / ranks).
void place_in_blocks(MoeShape& shape, Rank rank_count);

// What is wrong with a shape by itself.
Result<void> check(const MoeShape& shape, Rank rank, Rank rank_count);

// What a rank allocates beside the slots of its connections, at the most: for a handle whose routing sends every token
// of every rank here, and while a call runs.
struct MoeMemory {
    std::uint64_t routing_sent_bytes = 0;      // of a handle: what this rank sends
    std::uint64_t routing_received_bytes = 0;  // of a handle: what could come, if all came here
    std::uint64_t peers_bytes = 0;             // of the group: for each peer, and rows that the kernel copies
    std::uint64_t legs_bytes = 0;              // hierarchical, of a handle: what is handed on
    std::uint64_t window_bytes = 0;            // hierarchical, of the group
    std::uint64_t quantised_bytes = 0;         // of the group: this rank's tokens, as they travel
    std::uint64_t bytes() const {
        return routing_sent_bytes + routing_received_bytes + peers_bytes + legs_bytes + window_bytes + quantised_bytes;
    }
};
// `node_of`: by rank.
MoeMemory memory_of(const MoeShape& shape, std::span<const std::int32_t> node_of);

}  // namespace tenon
