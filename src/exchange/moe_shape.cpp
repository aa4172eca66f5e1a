#include "exchange/moe_shape.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "exchange/moe_legs.hpp"
#include "exchange/row_stream.hpp"
#include "reduction/weighted_sum.hpp"

namespace tenon {
namespace {

Result<void> check_types(const MoeShape& shape, const auto& wrong) {
    if (!has_weighted_sum(shape.combine_type))
        return wrong(fmt::format("the combine type is {}; it can be float32, bfloat16 or float16",
                                 name_of(shape.combine_type)));
    if (!has_weighted_sum(shape.dispatch_type) && !shape.is_quantised())
        return wrong(fmt::format("the dispatch type is {}; it can be float32, bfloat16 or float16, or, quantised, "
                                 "float8_e4m3 or int8",
                                 name_of(shape.dispatch_type)));
    if (shape.token_type != shape.dispatch_type && !(shape.is_quantised() && has_weighted_sum(shape.token_type)))
        return wrong(fmt::format("the token type is {}; it can be the dispatch type, {}{}", name_of(shape.token_type),
                                 name_of(shape.dispatch_type),
                                 shape.is_quantised() ? ", or float32, bfloat16 or float16, which is quantised" : ""));
    if (shape.partial_type != shape.combine_type && shape.partial_type != DataType::float32)
        return wrong(fmt::format("the partial type is {}; it can be the combine type, {}, or float32",
                                 name_of(shape.partial_type), name_of(shape.combine_type)));
    return {};
}

Result<void> check_placement(const MoeShape& shape, Rank rank_count, const auto& wrong) {
    std::vector<bool> placed(shape.experts);
    for (Rank r = 0; r < rank_count; r++)
        for (std::uint32_t place = 0; place < shape.places_per_rank; place++) {
            const std::int32_t expert = shape.expert_at(r, place);
            if (expert < -1 || expert >= static_cast<std::int64_t>(shape.experts))
                return wrong(fmt::format("the placement has expert {} at place {} of rank {}; it must be -1 (none) or "
                                         "in [0, {})",
                                         expert, place, r, shape.experts));
            if (expert >= 0 && !shape.is_masked(r)) placed[static_cast<std::size_t>(expert)] = true;
        }
    const auto missing = std::ranges::find(placed, false);
    if (missing == placed.end() || shape.drops_missing) return {};
    return wrong(
        fmt::format("the placement leaves expert {} nowhere{}; each of the {} experts needs a place on some "
                    "rank{}, or set dropMissing",
                    missing - placed.begin(), shape.masked.empty() ? "" : " but on masked ranks", shape.experts,
                    shape.masked.empty() ? "" : " that is not masked"));
}

}  // namespace

void place_in_blocks(MoeShape& shape, Rank rank_count) {
    const auto ranks = static_cast<std::uint64_t>(rank_count);
    shape.places_per_rank = static_cast<std::uint32_t>((shape.experts + ranks - 1) / ranks);
    shape.placement.assign(ranks * shape.places_per_rank, -1);
    for (std::uint64_t r = 0; r < ranks; r++) {
        const std::uint64_t first = r * shape.experts / ranks, last = (r + 1) * shape.experts / ranks;
        for (std::uint64_t e = first; e < last; e++)
            shape.placement[r * shape.places_per_rank + (e - first)] = static_cast<std::int32_t>(e);
    }
}

Result<void> check(const MoeShape& shape, Rank rank, Rank rank_count) {
    const auto wrong = [rank](const std::string& what) {
        return fail(Status::invalid_argument, fmt::format("rank {}: MoE group: {}", rank, what));
    };
    const auto within = [&](const char* what, std::uint64_t value, std::uint64_t most) -> Result<void> {
        if (value >= 1 && value <= most) return {};
        return wrong(fmt::format("{} is {}; it must be in [1, {}]", what, value, most));
    };
    if (auto ok = within("experts", shape.experts, most_experts); !ok) return ok;
    if (auto ok = within("topK", shape.top_k, most_slots_of_token); !ok) return ok;
    if (auto ok = within("hidden", shape.hidden, most_row_bytes / sizeof(float)); !ok) return ok;
    if (auto ok = within("maxTokens", shape.most_tokens, most_tokens_of_call / shape.top_k); !ok) return ok;
    if (auto ok = within("alignment", shape.alignment, 1 << 20); !ok) return ok;
    if (shape.layout == MoeLayout::rank_major && shape.alignment != 1)
        return wrong("rank-major rows are packed; alignment must be 1");
    if (auto ok = within("placesPerRank", shape.places_per_rank, most_places_of_rank); !ok) return ok;
    if (auto ok = check_types(shape, wrong); !ok) return ok;
    return check_placement(shape, rank_count, wrong);
}

MoeMemory memory_of(const MoeShape& shape, std::span<const std::int32_t> node_of) {
    const std::uint64_t own = shape.most_tokens * shape.top_k, ranks = node_of.size();
    const std::uint64_t counts = ranks * (shape.places_per_rank + 1) * sizeof(std::uint32_t);
    const std::uint64_t copies = (ranks * shape.places_per_rank + shape.experts) * sizeof(std::uint64_t);
    constexpr std::uint64_t exchanges = 4;  // of dispatch and combine, and of both their legs
    MoeMemory memory{
        .routing_sent_bytes = own * MoeRouting::bytes_of_sent_entry + (shape.most_tokens + ranks) * 8 + counts,
        .routing_received_bytes = ranks * own * MoeRouting::bytes_of_received_entry + ranks * 8 + counts,
        .peers_bytes = ranks * (sizeof(RowSender) + sizeof(RowReader)) + copies +
                       exchanges * std::max(copied_at_once_bytes,
                                            shape.top_k * MoeHierarchy::window_row_bytes(shape)),
        .quantised_bytes = shape.is_quantised() ? shape.most_tokens * shape.dispatch_row_bytes() : 0};
    const MoeForwarders forwarders(node_of, shape.masked);
    if (shape.path == MoePath::flat || forwarders.nodes() < 2) return memory;
    // What this rank tells and is told; and, of both legs, what goes and what comes.
    const std::uint64_t handed_on = forwarders.most_origins() * own, block = MoeHierarchy::block_of(shape, forwarders);
    const std::uint64_t rounds = MoeHierarchy::rounds_of(shape, forwarders);
    memory.legs_bytes = (own + handed_on) * (sizeof(MoeForward) + MoeRouting::bytes_of_sent_entry) +
                        (handed_on + ranks * own) * MoeRouting::bytes_of_received_entry +
                        rounds * (sizeof(MoeLegs) + ranks * 4 * 8);
    memory.window_bytes = MoeHierarchy::windows_of(rounds) * forwarders.most_origins() * block *
                          MoeHierarchy::window_row_bytes(shape);
    return memory;
}

}  // namespace tenon
