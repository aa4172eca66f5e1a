#include "exchange/moe_routing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace tenon {
namespace {

constexpr Rank nowhere = no_rank;  // of a slot without an expert, or whose expert is nowhere

// Rows up to the next multiple.
std::uint64_t aligned(std::uint64_t rows, std::uint64_t alignment) {
    return (rows + alignment - 1) / alignment * alignment;
}

}  // namespace

MoeCopies::MoeCopies(const MoeShape& shape, Rank rank, std::span<const std::int32_t> node_of)
    : rank_(static_cast<std::uint64_t>(rank)), first_(shape.experts + 1) {
    const auto rank_count = static_cast<Rank>(node_of.size());
    const auto distance = [&](Rank other) {
        if (other == rank) return 0;
        return node_of[static_cast<std::size_t>(other)] == node_of[static_cast<std::size_t>(rank)] ? 1 : 2;
    };
    const auto for_each_copy = [&](const auto& use) {
        for (Rank r = 0; r < rank_count; r++)
            for (std::uint32_t place = 0; place < shape.places_per_rank && !shape.is_masked(r); place++)
                if (const std::int32_t expert = shape.expert_at(r, place); expert >= 0)
                    use(static_cast<std::size_t>(expert), Copy{r, place});
    };
    std::vector<int> nearest(shape.experts, 2);
    for_each_copy([&](std::size_t expert, const Copy& copy) {
        nearest[expert] = std::min(nearest[expert], distance(copy.rank));
    });
    for_each_copy([&](std::size_t expert, const Copy& copy) {
        if (distance(copy.rank) == nearest[expert]) first_[expert + 1]++;
    });
    for (std::size_t e = 0; e < shape.experts; e++) first_[e + 1] += first_[e];
    copies_.resize(first_.back());
    std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
    for_each_copy([&](std::size_t expert, const Copy& copy) {
        if (distance(copy.rank) == nearest[expert]) copies_[next[expert]++] = copy;
    });
}

Result<MoeRouting> MoeRouting::route(const MoeShape& shape, const MoeCopies& copies, Rank rank,
                                     std::span<const std::int32_t> node_of, const std::int64_t* indices,
                                     const float* weights, std::uint64_t tokens) {
    const std::uint64_t slots = tokens * shape.top_k;
    const std::size_t ranks = node_of.size(), block = shape.places_per_rank + 1;
    MoeRouting made;
    made.rank = rank;
    made.rank_count = static_cast<Rank>(ranks);
    made.tokens = tokens;
    made.counts_out.resize(ranks * block);
    made.sent_offsets.resize(ranks + 1);
    std::vector<MoeCopies::Copy> chosen(slots, {nowhere, 0});
    std::vector<std::uint64_t> last_token(ranks, UINT64_MAX);
    for (std::uint64_t i = 0; i < slots; i++) {
        const std::int64_t expert = indices[i];
        if (expert == -1) continue;
        if (expert < 0 || expert >= static_cast<std::int64_t>(shape.experts))
            return fail(Status::invalid_argument,
                        fmt::format("rank {}: MoE prepare: token {} has expert {} in slot {}; it must be -1 (none) or "
                                    "in [0, {})",
                                    rank, i / shape.top_k, expert, i % shape.top_k, shape.experts));
        const std::uint64_t token = i / shape.top_k;
        chosen[i] = copies.of(static_cast<std::uint32_t>(expert), token);
        if (chosen[i].rank == nowhere) continue;
        const auto to = static_cast<std::size_t>(chosen[i].rank);
        made.counts_out[to * block + chosen[i].place]++;
        if (std::exchange(last_token[to], token) != token) made.counts_out[to * block + block - 1]++;
        made.sent_offsets[to + 1]++;
    }
    for (std::size_t r = 0; r < ranks; r++) made.sent_offsets[r + 1] += made.sent_offsets[r];
    made.sent.resize(made.sent_offsets.back());
    std::vector<std::uint64_t> next(made.sent_offsets.begin(), made.sent_offsets.end() - 1);
    for (std::uint64_t i = 0; i < slots; i++) {
        if (chosen[i].rank == nowhere) continue;
        made.sent[next[static_cast<std::size_t>(chosen[i].rank)]++] = {
            .token = static_cast<std::uint32_t>(i / shape.top_k), .slot = static_cast<std::uint16_t>(i % shape.top_k),
            .place = static_cast<std::uint16_t>(chosen[i].place), .weight = weights != nullptr ? weights[i] : 1};
    }
    made.order_contributions(shape, node_of, chosen);
    made.count_dropped(shape, indices, chosen);
    return made;
}

void MoeRouting::count_dropped(const MoeShape& shape, const std::int64_t* indices,
                               std::span<const MoeCopies::Copy> chosen) {
    if (!shape.drops_missing) return;
    for (std::uint64_t t = 0; t < tokens; t++) {
        std::uint64_t asked = 0, dropped = 0;
        for (std::uint64_t i = t * shape.top_k; i < (t + 1) * shape.top_k; i++) {
            asked += indices[i] >= 0 ? 1 : 0;
            dropped += indices[i] >= 0 && chosen[i].rank == nowhere ? 1 : 0;
        }
        dropped_slots += dropped;
        dropped_tokens += asked != 0 && dropped == asked ? 1 : 0;
    }
}

// Nodes in the order of their lowest slot, and within a node the slots in order. Where rows are rank-major, what a rank
// returns for a token stands for all its slots there, at the lowest.
void MoeRouting::order_contributions(const MoeShape& shape, std::span<const std::int32_t> node_of,
                                     std::span<const MoeCopies::Copy> chosen) {
    contributions.reserve(sent.size());
    token_offsets.reserve(tokens + 1);
    token_offsets.push_back(0);
    std::vector<std::uint64_t> next(sent_offsets.begin(), sent_offsets.end() - 1);
    std::uint32_t entry_of[most_slots_of_token];
    for (std::uint64_t t = 0; t < tokens; t++) {
        const auto slots = chosen.subspan(t * shape.top_k, shape.top_k);
        std::uint64_t left = 0;  // the slots not yet added, a bit each
        for (std::uint32_t s = 0; s < shape.top_k; s++) {
            const Rank to = slots[s].rank;
            if (to == nowhere) continue;
            const auto entry = static_cast<std::uint32_t>(next[static_cast<std::size_t>(to)]++);
            entry_of[s] = entry;
            const auto first = sent_offsets[static_cast<std::size_t>(to)];
            const bool continues = entry > first && sent[entry - 1].token == t;
            if (shape.layout == MoeLayout::expert_major || !continues) left |= std::uint64_t{1} << s;
        }
        while (left != 0) {
            const auto lowest = static_cast<std::uint32_t>(std::countr_zero(left));
            const std::int32_t node = node_of[static_cast<std::size_t>(slots[lowest].rank)];
            for (std::uint32_t s = lowest; s < shape.top_k; s++) {
                const std::uint64_t bit = std::uint64_t{1} << s;
                if ((left & bit) == 0 || node_of[static_cast<std::size_t>(slots[s].rank)] != node) continue;
                left &= ~bit;
                contributions.push_back({.entry = entry_of[s], .rank = static_cast<std::uint32_t>(slots[s].rank)});
            }
            contributions.back().ends_group = 1;
        }
        token_offsets.push_back(static_cast<std::uint32_t>(contributions.size()));
    }
}

bool MoeRouting::lay_out(const MoeShape& shape) {
    const auto ranks = static_cast<std::size_t>(rank_count);
    const std::size_t places = shape.places_per_rank, block = places + 1;
    received_offsets.assign(ranks + 1, 0);
    bases_out.assign(ranks * block, 0);
    place_rows.assign(places, 0);
    place_offsets.assign(places, 0);
    std::uint64_t tokens_in = 0;
    std::vector<std::uint64_t> in_place(ranks * places);
    for (std::size_t r = 0; r < ranks; r++) {
        received_offsets[r + 1] = received_offsets[r];
        for (std::size_t q = 0; q < places; q++) {
            in_place[r * places + q] = place_rows[q];
            place_rows[q] += counts_in[r * block + q];
            received_offsets[r + 1] += counts_in[r * block + q];
        }
        bases_out[r * block + places] = static_cast<std::uint32_t>(tokens_in);
        tokens_in += counts_in[r * block + places];
    }
    rows = 0;
    for (std::size_t q = 0; q < places; q++) {
        place_offsets[q] = rows;
        rows += aligned(place_rows[q], shape.alignment);
    }
    if (rows > UINT32_MAX || tokens_in > UINT32_MAX) return false;
    for (std::size_t r = 0; r < ranks; r++)
        for (std::size_t q = 0; q < places; q++)
            bases_out[r * block + q] = static_cast<std::uint32_t>(place_offsets[q] + in_place[r * places + q]);
    if (shape.layout == MoeLayout::rank_major) rows = tokens_in;
    received.resize(received_offsets.back());
    bases_in.resize(ranks * block);
    return true;
}

namespace {

// The rows of a pair's entries, from the bases at each place, which are counted up.
bool number_rows(std::span<const MoeEntry> entries, std::span<std::uint32_t> bases, const MoeShape& shape,
                 std::uint32_t* rows) {
    const std::uint32_t places = shape.places_per_rank;
    for (std::size_t at = 0; at < entries.size();) {
        const std::size_t run = run_length(entries, at);
        for (std::size_t i = at; i < at + run; i++) {
            if (entries[i].token >= shape.most_tokens || entries[i].slot >= shape.top_k || entries[i].place >= places)
                return false;
            rows[i] = shape.layout == MoeLayout::expert_major ? bases[entries[i].place]++ : bases[places];
        }
        bases[places]++;
        at += run;
    }
    return true;
}

}  // namespace

bool MoeRouting::finish(const MoeShape& shape) {
    const std::size_t block = shape.places_per_rank + 1;
    sent_rows.resize(sent.size());
    received_rows.resize(received.size());
    for (Rank r = 0; r < rank_count; r++) {
        const auto at = static_cast<std::size_t>(r);
        const auto of_peer = [&](std::vector<std::uint32_t>& bases) {
            return std::span(bases).subspan(at * block, block);
        };
        if (!number_rows(sent_to(r), of_peer(bases_in), shape, sent_rows.data() + sent_offsets[at]) ||
            !number_rows(received_from(r), of_peer(bases_out), shape, received_rows.data() + received_offsets[at]))
            return false;
    }
    bases_in = bases_out = {};
    return true;
}

}  // namespace tenon
