#include "perf/moe_permutation.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>
#include <utility>

#include "perf/moe_values.hpp"

namespace tenon::perf {
namespace {

MoePermutation::Blocks blocks_of(std::vector<std::size_t> rows, std::uint64_t row_bytes) {
    for (std::size_t& bytes : rows) bytes *= row_bytes;
    MoePermutation::Blocks blocks{std::move(rows), {}};
    blocks.offsets.resize(blocks.bytes.size());
    std::exclusive_scan(blocks.bytes.begin(), blocks.bytes.end(), blocks.offsets.begin(), std::size_t{0});
    return blocks;
}

// The slots that have an expert, by expert, then by token and slot.
std::vector<std::uint64_t> by_expert(const MoeChoices& choices) {
    std::vector<std::uint64_t> slots;
    for (std::uint64_t i = 0; i < choices.experts.size(); i++)
        if (choices.experts[i] >= 0) slots.push_back(i);
    std::ranges::sort(slots, {}, [&](std::uint64_t i) { return std::pair(choices.experts[i], i); });
    return slots;
}

}  // namespace

MoePermutation::MoePermutation(const std::vector<MoeChoices>& choices, std::uint32_t rank, std::uint64_t hidden,
                               DataType type)
    : row_bytes_(hidden * element_bytes(type)), hidden_(hidden), ranks_(static_cast<std::uint32_t>(choices.size())),
      kernel_(weighted_sum_kernel({type, type, type})) {
    order_sent(choices[rank]);
    order_received(choices, rank);
}

void MoePermutation::order_sent(const MoeChoices& own) {
    top_k_ = own.model.top_k;
    tokens_ = own.tokens;
    experts_ = own.experts;
    place_of_slot_.resize(experts_.size());
    std::vector<std::size_t> rows(ranks_);
    std::uint64_t place = 0;
    for (const std::uint64_t slot : by_expert(own)) {
        place_of_slot_[slot] = place++;
        rows[block_of_expert(static_cast<std::uint32_t>(experts_[slot]), own.model.experts, ranks_)]++;
    }
    sent_ = blocks_of(std::move(rows), row_bytes_);
}

void MoePermutation::order_received(const std::vector<MoeChoices>& choices, std::uint32_t rank) {
    struct Arrival {
        std::int64_t expert;
        Source source;
    };
    std::vector<Arrival> arrivals;  // in the order in which they come
    std::vector<std::size_t> rows(ranks_);
    for (std::uint32_t r = 0; r < ranks_; r++)
        for (const std::uint64_t slot : by_expert(choices[r])) {
            const std::int64_t expert = choices[r].experts[slot];
            if (block_of_expert(static_cast<std::uint32_t>(expert), choices[r].model.experts, ranks_) != rank) continue;
            arrivals.push_back({expert, {r, slot / top_k_}});
            rows[r]++;
        }
    received_ = blocks_of(std::move(rows), row_bytes_);
    place_of_row_.resize(arrivals.size());
    std::iota(place_of_row_.begin(), place_of_row_.end(), std::uint64_t{0});
    std::ranges::sort(place_of_row_, {}, [&](std::uint64_t i) { return std::pair(arrivals[i].expert, i); });
    for (const std::uint64_t place : place_of_row_) source_of_row_.push_back(arrivals[place].source);
}

float MoePermutation::sum_of_weights(std::uint64_t token) const {
    float sum = 0;
    for (std::uint64_t s = 0; s < top_k_; s++)
        if (experts_[token * top_k_ + s] >= 0) sum += weight_of(token, s);
    return sum;
}

std::uint64_t MoePermutation::received_tokens() const {
    std::vector<std::pair<std::uint32_t, std::uint64_t>> tokens;
    for (const Source& source : source_of_row_) tokens.emplace_back(source.rank, source.token);
    std::ranges::sort(tokens);
    return static_cast<std::uint64_t>(std::ranges::unique(tokens).begin() - tokens.begin());
}

void MoePermutation::permute(const std::byte* tokens, std::byte* sent) const {
    for (std::uint64_t i = 0; i < experts_.size(); i++)
        if (experts_[i] >= 0)
            std::memcpy(sent + place_of_slot_[i] * row_bytes_, tokens + i / top_k_ * row_bytes_, row_bytes_);
}

void MoePermutation::unpermute(const std::byte* received, std::byte* rows) const {
    for (std::uint64_t row = 0; row < place_of_row_.size(); row++)
        std::memcpy(rows + row * row_bytes_, received + place_of_row_[row] * row_bytes_, row_bytes_);
}

void MoePermutation::permute_back(const std::byte* rows, std::byte* received) const {
    for (std::uint64_t row = 0; row < place_of_row_.size(); row++)
        std::memcpy(received + place_of_row_[row] * row_bytes_, rows + row * row_bytes_, row_bytes_);
}

void MoePermutation::add_up(const std::byte* sent, std::byte* tokens) const {
    std::vector<Contribution> parts(top_k_);
    for (std::uint64_t t = 0; t < tokens_; t++) {
        std::uint32_t count = 0;
        for (std::uint64_t i = t * top_k_; i < (t + 1) * top_k_; i++)
            if (experts_[i] >= 0)
                parts[count++] = {sent + place_of_slot_[i] * row_bytes_, weight_of(t, i % top_k_)};
        run_weighted_sum(kernel_, {.destination = tokens + t * row_bytes_, .contributions = parts.data(),
                                   .count = count, .elements = hidden_});
    }
}

}  // namespace tenon::perf
