#include "exchange/moe_legs.hpp"

#include <algorithm>

namespace tenon {
namespace {

MoeRouting empty_routing(const MoeRouting& flat) {
    MoeRouting made;
    made.rank = flat.rank;
    made.rank_count = flat.rank_count;
    const auto ranks = static_cast<std::size_t>(flat.rank_count);
    made.sent_offsets.assign(ranks + 1, 0);
    made.received_offsets.assign(ranks + 1, 0);
    return made;
}

// Entries by token and slot, whose tokens lie in [first, first + count).
template <class Entry>
std::span<const Entry> of_tokens(std::span<const Entry> entries, std::uint64_t first, std::uint64_t count) {
    const auto begin = std::ranges::lower_bound(entries, first, {}, &Entry::token);
    const auto end = std::ranges::lower_bound(entries, first + count, {}, &Entry::token);
    return {begin, end};
}

// Lists that are filled in any order of peers and then lie by peer: count, begin(), then put.
class ByPeer {
public:
    explicit ByPeer(std::vector<std::uint64_t>& offsets) : offsets_(offsets) {}
    void count(Rank peer) { offsets_[static_cast<std::size_t>(peer) + 1]++; }
    std::uint64_t begin() {
        for (std::size_t p = 1; p < offsets_.size(); p++) offsets_[p] += offsets_[p - 1];
        next_.assign(offsets_.begin(), offsets_.end() - 1);
        return offsets_.back();
    }
    std::uint64_t put(Rank peer) { return next_[static_cast<std::size_t>(peer)]++; }

private:
    std::vector<std::uint64_t>& offsets_;
    std::vector<std::uint64_t> next_;
};

}  // namespace

MoeForwarders::MoeForwarders(std::span<const std::int32_t> node_of, std::span<const std::uint8_t> masked)
    : node_of_(node_of.begin(), node_of.end()) {
    const std::int32_t nodes = node_of.empty() ? 0 : std::ranges::max(node_of) + 1;
    ranks_of_.resize(static_cast<std::size_t>(nodes));
    for (Rank r = 0; r < static_cast<Rank>(node_of.size()); r++) {
        std::vector<Rank>& ranks = ranks_of_[static_cast<std::size_t>(this->node_of(r))];
        index_of_.push_back(ranks.size());
        if (masked.empty() || masked[static_cast<std::size_t>(r)] == 0) ranks.push_back(r);
    }
}

std::uint64_t MoeForwarders::most_origins() const {
    std::vector<std::uint64_t> origins(node_of_.size());
    for (Rank o = 0; o < static_cast<Rank>(node_of_.size()); o++)
        for (std::size_t node = 0; node < ranks_of_.size(); node++)
            if (const Rank forwarder = of(o, static_cast<std::int32_t>(node)); forwarder != no_rank)
                origins[static_cast<std::size_t>(forwarder)]++;
    return std::max<std::uint64_t>(std::ranges::max(origins), 1);
}

std::uint64_t MoeHierarchy::block_of(const MoeShape& shape, const MoeForwarders& forwarders) {
    // So many rounds that what does not overlap, a leg of the first and one of the last, is little; but of so many
    // bytes that a round is not mostly waiting for each other.
    constexpr std::uint64_t wanted_rounds = 8, least_round_bytes = 256 << 10;
    const std::uint64_t of_token = forwarders.most_origins() * window_row_bytes(shape);
    const std::uint64_t wanted = std::max((shape.most_tokens + wanted_rounds - 1) / wanted_rounds,
                                          (least_round_bytes + of_token - 1) / of_token);
    return std::clamp<std::uint64_t>(shape.window_bytes / 2 / of_token, 1, std::min(wanted, shape.most_tokens));
}

std::uint64_t MoeHierarchy::rounds_of(const MoeShape& shape, const MoeForwarders& forwarders) {
    const std::uint64_t block = block_of(shape, forwarders);
    return (shape.most_tokens + block - 1) / block;
}

// By token, which takes as many steps as there are entries, and within a token by slot.
void MoeHierarchy::tell(const MoeShape& shape, const MoeRouting& flat, const MoeForwarders& forwarders) {
    block = block_of(shape, forwarders);
    const auto ranks = static_cast<std::size_t>(flat.rank_count);
    std::vector<std::uint64_t> of_token(flat.tokens + 1);
    for (const MoeEntry& entry : flat.sent) of_token[entry.token + 1]++;
    for (std::size_t t = 0; t < flat.tokens; t++) of_token[t + 1] += of_token[t];
    std::vector<MoeForward> all(flat.sent.size());
    std::vector<std::uint64_t> next(of_token.begin(), of_token.end() - 1);
    tells_offsets.assign(ranks + 1, 0);
    ByPeer lists(tells_offsets);
    for (Rank r = 0; r < flat.rank_count; r++)
        for (const MoeEntry& entry : flat.sent_to(r)) {
            all[next[entry.token]++] = {entry.token, entry.slot, r, entry.weight};
            lists.count(forwarders.of(flat.rank, forwarders.node_of(r)));
        }
    tells.resize(lists.begin());
    for (std::size_t t = 0; t < flat.tokens; t++) {
        const auto slots = std::span(all).subspan(of_token[t], of_token[t + 1] - of_token[t]);
        std::ranges::sort(slots, {}, &MoeForward::slot);
        for (const MoeForward& f : slots) tells[lists.put(forwarders.of(flat.rank, forwarders.node_of(f.rank)))] = f;
    }
}

bool MoeHierarchy::finish(const MoeShape& shape, const MoeRouting& flat, const MoeForwarders& forwarders) {
    const std::int32_t own_node = forwarders.node_of(flat.rank);
    for (const MoeForward& f : told)
        if (f.token >= shape.most_tokens || f.slot >= shape.top_k || f.rank < 0 || f.rank >= flat.rank_count ||
            forwarders.node_of(f.rank) != own_node)
            return false;
    for (std::uint64_t first = 0; first < shape.most_tokens; first += block) {
        MoeRouting outer = across(flat, forwarders, first);
        MoeRouting inner = within(shape, flat, forwarders, first, outer.rows);
        if (first == 0) inner.place_rows = flat.place_rows, inner.place_offsets = flat.place_offsets;
        window_rows = std::max(window_rows, outer.rows);
        rounds.push_back({std::move(outer), std::move(inner)});
    }
    tells = told = {};
    return true;
}

// One row for each token and node; the nodes' sums are added in the order of their lowest slots.
MoeRouting MoeHierarchy::across(const MoeRouting& flat, const MoeForwarders& forwarders, std::uint64_t first) const {
    MoeRouting made = empty_routing(flat);
    const std::uint64_t end = std::min(first + block, flat.tokens);
    made.tokens = end > first ? end - first : 0;
    const auto for_each_node = [&](const auto& use) {
        for (std::uint64_t t = first; t < end; t++) {
            bool begins_group = true;
            for (std::uint64_t c = flat.token_offsets[t]; c < flat.token_offsets[t + 1]; c++) {
                const MoeContribution& part = flat.contributions[c];
                if (begins_group)
                    use(t - first, flat.sent[part.entry].slot,
                        forwarders.of(flat.rank, forwarders.node_of(static_cast<Rank>(part.rank))));
                begins_group = part.ends_group != 0;
            }
            use(t - first, std::uint16_t{0}, no_rank);
        }
    };
    ByPeer lists(made.sent_offsets);
    for_each_node([&](std::uint64_t, std::uint16_t, Rank to) {
        if (to != no_rank) lists.count(to);
    });
    made.sent.resize(lists.begin());
    made.token_offsets.push_back(0);
    for_each_node([&](std::uint64_t token, std::uint16_t slot, Rank to) {
        if (to == no_rank) {
            made.token_offsets.push_back(static_cast<std::uint32_t>(made.contributions.size()));
            return;
        }
        const std::uint64_t entry = lists.put(to);
        made.sent[entry] = {.token = static_cast<std::uint32_t>(token), .slot = slot};
        made.contributions.push_back({.entry = static_cast<std::uint32_t>(entry),
                                      .rank = static_cast<std::uint32_t>(to), .ends_group = 1});
    });
    // What this rank sends itself lies where its window has it.
    made.sent_rows.assign(made.sent.size(), 0);
    for (Rank o = 0; o < flat.rank_count; o++) {
        const auto at = static_cast<std::size_t>(o);
        const std::span<const MoeForward> all(told.data() + told_offsets[at], told_offsets[at + 1] - told_offsets[at]);
        std::uint64_t own = made.sent_offsets[at];
        std::uint64_t last = UINT64_MAX;
        for (const MoeForward& f : of_tokens(all, first, block)) {
            if (f.token == last) continue;
            last = f.token;
            if (o == flat.rank) made.sent_rows[own++] = static_cast<std::uint32_t>(made.rows);
            made.received.push_back({.token = static_cast<std::uint32_t>(f.token - first),
                                     .slot = static_cast<std::uint16_t>(f.slot)});
            made.received_rows.push_back(static_cast<std::uint32_t>(made.rows++));
        }
        made.received_offsets[at + 1] = made.received.size();
    }
    return made;
}

// From the window's rows, as tokens, to the rows of the ranks of the node.
MoeRouting MoeHierarchy::within(const MoeShape& shape, const MoeRouting& flat, const MoeForwarders& forwarders,
                                std::uint64_t first, std::uint64_t windows) const {
    MoeRouting made = empty_routing(flat);
    made.tokens = windows;
    made.rows = flat.rows;
    const auto for_each_forward = [&](const auto& use) {
        std::uint32_t row = UINT32_MAX;  // of the window; counts up with each token
        for (std::size_t o = 0; o + 1 < told_offsets.size(); o++) {
            std::uint64_t last = UINT64_MAX;
            const std::span<const MoeForward> all(told.data() + told_offsets[o], told_offsets[o + 1] - told_offsets[o]);
            for (const MoeForward& f : of_tokens(all, first, block)) {
                if (f.token != last) row++;
                last = f.token;
                use(row, f);
            }
        }
    };
    ByPeer lists(made.sent_offsets);
    for_each_forward([&](std::uint32_t, const MoeForward& f) { lists.count(f.rank); });
    made.sent.resize(lists.begin());
    made.token_offsets.push_back(0);
    for_each_forward([&](std::uint32_t row, const MoeForward& f) {
        while (made.token_offsets.size() <= row)
            made.token_offsets.push_back(static_cast<std::uint32_t>(made.contributions.size()));
        const std::uint64_t entry = lists.put(f.rank);
        made.sent[entry] = {.token = row, .slot = static_cast<std::uint16_t>(f.slot), .weight = f.weight};
        const bool continues =
            entry > made.sent_offsets[static_cast<std::size_t>(f.rank)] && made.sent[entry - 1].token == row;
        if (shape.layout == MoeLayout::expert_major || !continues)
            made.contributions.push_back({.entry = static_cast<std::uint32_t>(entry),
                                          .rank = static_cast<std::uint32_t>(f.rank)});
    });
    while (made.token_offsets.size() <= windows)
        made.token_offsets.push_back(static_cast<std::uint32_t>(made.contributions.size()));
    made.sent_rows.assign(made.sent.size(), 0);
    // By forwarder, the tokens that it hands on to here: numbered, since only which entries are of one token matters.
    for (Rank f = 0; f < flat.rank_count; f++) {
        std::uint32_t number = 0;
        std::uint64_t own = made.sent_offsets[static_cast<std::size_t>(f)];
        for (Rank o = 0; forwarders.node_of(f) == forwarders.node_of(flat.rank) && o < flat.rank_count; o++) {
            if (forwarders.of(o, forwarders.node_of(f)) != f) continue;
            const std::span<const MoeEntry> entries = of_tokens(flat.received_from(o), first, block);
            const std::uint64_t base = static_cast<std::uint64_t>(entries.data() - flat.received.data());
            for (std::size_t i = 0; i < entries.size(); i++) {
                if (i != 0 && entries[i].token != entries[i - 1].token) number++;
                made.received.push_back({.token = number, .slot = entries[i].slot, .place = entries[i].place});
                made.received_rows.push_back(flat.received_rows[base + i]);
                if (f == flat.rank) made.sent_rows[own++] = flat.received_rows[base + i];
            }
            if (!entries.empty()) number++;
        }
        made.received_offsets[static_cast<std::size_t>(f) + 1] = made.received.size();
    }
    return made;
}

}  // namespace tenon
