#include "perf/moe_calls.hpp"

#include <algorithm>
#include <set>

#include "perf/moe_values.hpp"

namespace tenon::perf {
namespace {

DataType type_of_tokens(DataType dispatched) { return is_quantised(dispatched) ? DataType::bfloat16 : dispatched; }

MoeSettings settings(const MoeModel& model, std::uint64_t most_tokens, const MoeOptions& options, DataType type) {
    return {.experts = static_cast<int>(model.experts), .top_k = static_cast<int>(model.top_k), .hidden = model.hidden,
            .max_tokens = most_tokens, .dispatch_type = static_cast<tenonDataType_t>(type),
            .token_type = static_cast<tenonDataType_t>(type_of_tokens(type)),
            .combine_type = static_cast<tenonDataType_t>(type_of_tokens(type)),
            .layout = options.rank_major ? tenonMoeRankMajor : tenonMoeExpertMajor,
            .path = options.path == "auto"           ? tenonMoeAuto
                    : options.path == "hierarchical" ? tenonMoeHierarchical
                                                     : tenonMoeFlat};
}

}  // namespace

// Where there is nothing, there is an address all the same.
MoeBuffer::MoeBuffer(MemoryKind memory, std::uint64_t bytes) : bytes_(bytes) {
    const std::uint64_t room = std::max<std::uint64_t>(bytes, 1);
    if (memory == MemoryKind::tenon) shared_.emplace(room);
    else ordinary_.resize(room);
}

// ---- the library's calls ------------------------------------------------------------------------------------------

MoeExchange::MoeExchange(const MoeChoices& choices, std::uint64_t most_tokens, const MoeOptions& options, DataType type,
                         MemoryKind memory, Communicator& comm)
    : model_(choices.model), dispatch_type_(type), type_(type_of_tokens(type)), tokens_(choices.tokens),
      rank_(comm.rank()), rank_count_(comm.rank_count()), rank_major_(options.rank_major), comm_(comm),
      group_(comm, settings(model_, most_tokens, options, type)), indices_(choices.experts), handle_(prepared()),
      counts_(handle_.counts()), in_(memory, tokens_ * row_bytes()), rows_(memory, counts_.rows * row_bytes()),
      out_(memory, tokens_ * row_bytes()),
      codes_(memory, is_quantised(type) ? counts_.rows * model_.hidden : 0),
      scales_(memory, counts_.rows * scales_of_row(type, model_.hidden) * sizeof(float)), ranks_(counts_.rows),
      sources_(counts_.rows) {
    check(tenonMoeGetRows(handle_, ranks_.data(), sources_.data(), nullptr, nullptr, nullptr));
}

MoeHandle MoeExchange::prepared() {
    std::vector<float> weights(indices_.size());
    for (std::size_t i = 0; i < weights.size(); i++) weights[i] = weight_of(i / model_.top_k, i % model_.top_k);
    return group_.prepare(indices_, weights);
}

std::uint64_t MoeExchange::received_tokens(bool from_others_alone) const {
    std::uint64_t tokens = 0;
    for (std::size_t r = 0; r < counts_.received_tokens.size(); r++)
        if (!from_others_alone || r != static_cast<std::size_t>(rank_)) tokens += counts_.received_tokens[r];
    return tokens;
}

std::vector<double> MoeExchange::sent_bytes() const {
    std::vector<double> bytes;
    for (const std::size_t tokens : counts_.sent_tokens)
        bytes.push_back(static_cast<double>(tokens * dispatched_row_bytes()));
    return bytes;
}

Rank MoeExchange::rank_of(std::int64_t expert) const {
    return static_cast<Rank>(block_of_expert(static_cast<std::uint32_t>(expert), model_.experts,
                                             static_cast<std::uint32_t>(rank_count_)));
}

// What each of a token's rows counts, in all; rank-major, one for each rank that has one of its experts.
float MoeExchange::sum_of_weights(std::uint64_t token) const {
    float sum = 0;
    std::set<Rank> ranks;
    for (std::uint64_t s = 0; s < model_.top_k; s++) {
        const std::int64_t expert = indices_[token * model_.top_k + s];
        if (expert < 0) continue;
        ranks.insert(rank_of(expert));
        sum += weight_of(token, s);
    }
    return rank_major_ ? static_cast<float>(ranks.size()) : sum;
}

float MoeExchange::source_value(std::uint64_t row, std::uint64_t element) const {
    return token_value(static_cast<std::uint64_t>(ranks_[row]), static_cast<std::uint64_t>(sources_[row]), element,
                       turn_);
}

void MoeExchange::fill_tokens() {
    turn_++;
    rows_of(tokens_).fill(in_.data(), [&](std::uint64_t t, std::uint64_t e) {
        return token_value(static_cast<std::uint64_t>(rank_), t, e, turn_);
    });
}

void MoeExchange::fill_rows() {
    turn_++;
    rows_of(counts_.rows).fill(rows_.data(),
                               [&](std::uint64_t i, std::uint64_t e) { return source_value(i, e); });
}

void MoeExchange::dispatch() {
    if (is_quantised(dispatch_type_)) {
        check(tenonMoeDispatchQuantised(handle_, in_.data(), nullptr, codes_.data(),
                                        reinterpret_cast<float*>(scales_.data()), counts_.rows, nullptr));
    } else {
        check(tenonMoeDispatch(handle_, in_.data(), rows_.data(), counts_.rows, nullptr));
    }
}

void MoeExchange::clear_rows() {
    for (MoeBuffer* buffer : {&rows_, &codes_, &scales_}) std::fill_n(buffer->data(), buffer->bytes(), std::byte{0xa5});
}
void MoeExchange::clear_result() { std::fill_n(out_.data(), out_.bytes(), std::byte{0xa5}); }

// Against each row's token, quantised here.
std::uint64_t MoeExchange::wrong_codes() {
    const std::uint64_t hidden = model_.hidden, scale_bytes = scales_of_row(dispatch_type_, hidden) * sizeof(float);
    std::vector<std::byte> token(row_bytes()), expected(hidden + scale_bytes);
    const QuantiseKernel kernel = quantise_kernel(type_, dispatch_type_);
    std::uint64_t wrong = 0;
    for (std::uint64_t r = 0; r < counts_.rows; r++) {
        rows_of(1).fill(token.data(), [&](std::uint64_t, std::uint64_t e) { return source_value(r, e); });
        run_quantise(kernel, {.source = token.data(), .source_row_bytes = row_bytes(), .rows = 1, .elements = hidden,
                              .codes = expected.data(), .stride = expected.size()});
        const std::span codes(codes_.data() + r * hidden, hidden);
        const std::span scales(scales_.data() + r * scale_bytes, scale_bytes);
        for (std::uint64_t e = 0; e < hidden; e++) wrong += codes[e] != expected[e] ? 1 : 0;
        wrong += std::ranges::equal(scales, std::span(expected).subspan(hidden)) ? 0 : 1;
    }
    return wrong;
}

std::uint64_t MoeExchange::wrong_rows() {
    if (is_quantised(dispatch_type_)) return wrong_codes();
    return rows_of(counts_.rows).count_wrong(
        rows_.data(), [&](std::uint64_t i, std::uint64_t e) { return source_value(i, e); });
}

std::uint64_t MoeExchange::wrong_results() {
    return rows_of(tokens_).count_wrong(out_.data(), [&](std::uint64_t t, std::uint64_t e) {
        const float sum = sum_of_weights(t);
        return sum == 0 ? 0 : sum * token_value(static_cast<std::uint64_t>(rank_), t, e, turn_);
    });
}

// ---- the same over all-to-all-v -----------------------------------------------------------------------------------

MoeOverAllToAllV::MoeOverAllToAllV(MoeExchange& exchange, const std::vector<MoeChoices>& choices, MemoryKind memory)
    : of_(exchange),
      permutation_(choices, static_cast<std::uint32_t>(exchange.rank_), exchange.model_.hidden, exchange.type_),
      sent_(memory, permutation_.sent().total()), received_(memory, permutation_.received().total()) {}

void MoeOverAllToAllV::exchange(MoeBuffer& out, const MoePermutation::Blocks& out_blocks, MoeBuffer& in,
                                const MoePermutation::Blocks& in_blocks) {
    check(tenonAlltoAllv(out.data(), out_blocks.bytes.data(), out_blocks.offsets.data(), in.data(),
                         in_blocks.bytes.data(), in_blocks.offsets.data(), tenonUint8, of_.comm_, nullptr));
}

void MoeOverAllToAllV::dispatch() {
    permutation_.permute(of_.in_.data(), sent_.data());
    exchange(sent_, permutation_.sent(), received_, permutation_.received());
    permutation_.unpermute(received_.data(), of_.rows_.data());
}

void MoeOverAllToAllV::combine() {
    permutation_.permute_back(of_.rows_.data(), received_.data());
    exchange(received_, permutation_.received(), sent_, permutation_.sent());
    permutation_.add_up(sent_.data(), of_.out_.data());
}

}  // namespace tenon::perf
