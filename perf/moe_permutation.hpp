// Dispatch and combine as one writes them over plain all-to-all-v, whoever's it is: tokens are copied into the order of
// their experts, once for each; exchanged; and copied into the order in which experts want them; and back, where they
// are added by weight. Experts are dealt to ranks in blocks, as to a MoE group without a placement, and rows lie as in
// one with tenonMoeExpertMajor and no alignment. Counts are known beforehand, as they are to a handle.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "perf/moe_routing.hpp"
#include "reduction/weighted_sum.hpp"

namespace tenon::perf {

class MoePermutation {
public:
    // `choices`: of every rank.
    MoePermutation(const std::vector<MoeChoices>& choices, std::uint32_t rank, std::uint64_t hidden, DataType type);

    // For one way of an exchange: bytes to and from each rank, and where each one's begin.
    struct Blocks {
        std::vector<std::size_t> bytes, offsets;
        std::size_t total() const { return bytes.empty() ? 0 : offsets.back() + bytes.back(); }
    };
    const Blocks& sent() const { return sent_; }          // by a dispatch
    const Blocks& received() const { return received_; }
    std::uint64_t rows() const { return place_of_row_.size(); }
    // Where a row's token comes from.
    std::uint32_t rank_of_row(std::uint64_t row) const { return source_of_row_[row].rank; }
    std::uint64_t token_of_row(std::uint64_t row) const { return source_of_row_[row].token; }
    float sum_of_weights(std::uint64_t token) const;
    // As DeepEP counts them: each token that comes to a rank once, from itself too.
    std::uint64_t received_tokens() const;

    // The copies of a dispatch, before and after its exchange.
    void permute(const std::byte* tokens, std::byte* sent) const;
    void unpermute(const std::byte* received, std::byte* rows) const;
    // Those of a combine, whose exchange goes from what was received to what was sent.
    void permute_back(const std::byte* rows, std::byte* received) const;
    void add_up(const std::byte* sent, std::byte* tokens) const;

private:
    struct Source {
        std::uint32_t rank;
        std::uint64_t token;
    };
    void order_sent(const MoeChoices& own);
    void order_received(const std::vector<MoeChoices>& choices, std::uint32_t rank);

    std::uint64_t row_bytes_, hidden_, top_k_ = 1, tokens_ = 0;
    std::uint32_t ranks_;
    std::vector<std::int64_t> experts_;          // [tokens][top_k]
    Blocks sent_, received_;
    std::vector<std::uint64_t> place_of_slot_;   // [tokens][top_k]: which row of those that are sent
    std::vector<std::uint64_t> place_of_row_;    // which row of those that have come
    std::vector<Source> source_of_row_;
    WeightedSumKernel kernel_;
};

}  // namespace tenon::perf
