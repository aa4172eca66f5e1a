#include "perf/moe_calls.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <set>

namespace tenon::perf {
namespace {

// Multiples of a quarter up to 64: exact in all three types, as are their sums.
std::uint32_t bits_of(DataType type, float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (type == DataType::float32) return bits;
    if (type == DataType::bfloat16) return bits >> 16;
    if (value == 0) return 0;
    return (bits >> 16 & 0x8000) | (((bits >> 23 & 255) - 112) << 10) | (bits >> 13 & 0x3ff);
}

float token_value(std::uint64_t rank, std::uint64_t token, std::uint64_t element, std::uint64_t turn) {
    return static_cast<float>((rank * 5 + token * 3 + element + turn * 2) % 7);
}
float weight_of(std::uint64_t token, std::uint64_t slot) { return 0.25F * static_cast<float>(1 + (token + slot) % 4); }

MoeSettings settings(const MoeModel& model, std::uint64_t most_tokens, const MoeOptions& options, DataType type) {
    return {.experts = static_cast<int>(model.experts), .top_k = static_cast<int>(model.top_k), .hidden = model.hidden,
            .max_tokens = most_tokens, .dispatch_type = static_cast<tenonDataType_t>(type),
            .combine_type = static_cast<tenonDataType_t>(type),
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
    : model_(choices.model), type_(type), size_(element_bytes(type)), tokens_(choices.tokens), rank_(comm.rank()),
      rank_count_(comm.rank_count()), rank_major_(options.rank_major), comm_(comm),
      group_(comm, settings(model_, most_tokens, options, type)), indices_(choices.experts), handle_(prepared()),
      counts_(handle_.counts()), in_(memory, tokens_ * row_bytes()), rows_(memory, counts_.rows * row_bytes()),
      out_(memory, tokens_ * row_bytes()), ranks_(counts_.rows), sources_(counts_.rows) {
    check(tenonMoeGetRows(handle_, ranks_.data(), sources_.data(), nullptr, nullptr, nullptr));
}

MoeHandle MoeExchange::prepared() {
    std::vector<float> weights(indices_.size());
    for (std::size_t i = 0; i < weights.size(); i++) weights[i] = weight_of(i / model_.top_k, i % model_.top_k);
    return group_.prepare(indices_, weights);
}

std::uint64_t MoeExchange::received_bytes(bool from_others_alone) const {
    std::uint64_t tokens = 0;
    for (std::size_t r = 0; r < counts_.received_tokens.size(); r++)
        if (!from_others_alone || r != static_cast<std::size_t>(rank_)) tokens += counts_.received_tokens[r];
    return tokens * row_bytes();
}

std::vector<double> MoeExchange::sent_bytes() const {
    std::vector<double> bytes;
    for (const std::size_t tokens : counts_.sent_tokens) bytes.push_back(static_cast<double>(tokens * row_bytes()));
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

template <class Value>
void MoeExchange::fill(MoeBuffer& buffer, std::uint64_t rows, const Value& value) const {
    std::byte* at = buffer.data();
    for (std::uint64_t r = 0; r < rows; r++)
        for (std::uint64_t e = 0; e < model_.hidden; e++, at += size_) {
            const std::uint32_t bits = bits_of(type_, value(r, e));
            std::memcpy(at, &bits, size_);
        }
}

template <class Value>
std::uint64_t MoeExchange::count_wrong(MoeBuffer& buffer, std::uint64_t rows, const Value& value) const {
    std::uint64_t wrong = 0;
    const std::byte* at = buffer.data();
    for (std::uint64_t r = 0; r < rows; r++)
        for (std::uint64_t e = 0; e < model_.hidden; e++, at += size_) {
            const std::uint32_t bits = bits_of(type_, value(r, e));
            wrong += std::memcmp(at, &bits, size_) != 0 ? 1 : 0;
        }
    return wrong;
}

void MoeExchange::fill_tokens() {
    turn_++;
    fill(in_, tokens_, [&](std::uint64_t t, std::uint64_t e) {
        return token_value(static_cast<std::uint64_t>(rank_), t, e, turn_);
    });
}

void MoeExchange::fill_rows() {
    turn_++;
    fill(rows_, counts_.rows, [&](std::uint64_t i, std::uint64_t e) { return source_value(i, e); });
}

void MoeExchange::clear_rows() { std::fill_n(rows_.data(), rows_.bytes(), std::byte{0xa5}); }
void MoeExchange::clear_result() { std::fill_n(out_.data(), out_.bytes(), std::byte{0xa5}); }

std::uint64_t MoeExchange::wrong_rows() {
    return count_wrong(rows_, counts_.rows, [&](std::uint64_t i, std::uint64_t e) { return source_value(i, e); });
}

std::uint64_t MoeExchange::wrong_results() {
    return count_wrong(out_, tokens_, [&](std::uint64_t t, std::uint64_t e) {
        const float sum = sum_of_weights(t);
        return sum == 0 ? 0 : sum * token_value(static_cast<std::uint64_t>(rank_), t, e, turn_);
    });
}

// ---- the same over all-to-all-v -----------------------------------------------------------------------------------

namespace {

std::vector<std::size_t> times(std::span<const std::size_t> entries, std::uint64_t row_bytes) {
    std::vector<std::size_t> bytes(entries.begin(), entries.end());
    for (std::size_t& b : bytes) b *= row_bytes;
    return bytes;
}

std::vector<std::size_t> offsets_of(const std::vector<std::size_t>& bytes) {
    std::vector<std::size_t> offsets(bytes.size());
    std::exclusive_scan(bytes.begin(), bytes.end(), offsets.begin(), std::size_t{0});
    return offsets;
}

std::size_t sum_of(const std::vector<std::size_t>& bytes) {
    return std::accumulate(bytes.begin(), bytes.end(), std::size_t{0});
}

}  // namespace

MoeOverAllToAllV::MoeOverAllToAllV(MoeExchange& exchange, MemoryKind memory)
    : of_(exchange), sent_bytes_(times(exchange.counts_.sent_entries, exchange.row_bytes())),
      received_bytes_(times(exchange.counts_.received_entries, exchange.row_bytes())),
      place_of_slot_(exchange.indices_.size()), place_of_row_(exchange.counts_.rows),
      sent_(memory, sum_of(sent_bytes_)), received_(memory, sum_of(received_bytes_)),
      kernel_(weighted_sum_kernel({exchange.type_, exchange.type_, exchange.type_})) {
    // Sent by expert, so by rank and place, then by token and slot.
    std::vector<std::uint64_t> slots;
    for (std::uint64_t i = 0; i < of_.indices_.size(); i++)
        if (of_.indices_[i] >= 0) slots.push_back(i);
    std::ranges::sort(slots, {}, [&](std::uint64_t i) { return std::pair{of_.indices_[i], i}; });
    for (std::uint64_t place = 0; place < slots.size(); place++) place_of_slot_[slots[place]] = place;
    // Those of one rank come in the order in which they lie among this rank's rows.
    std::vector<std::size_t> next = offsets_of(times(of_.counts_.received_entries, 1));
    for (std::uint64_t row = 0; row < of_.counts_.rows; row++)
        if (of_.ranks_[row] >= 0) place_of_row_[row] = next[static_cast<std::size_t>(of_.ranks_[row])]++;
}

void MoeOverAllToAllV::exchange(std::byte* out, const std::vector<std::size_t>& out_bytes, std::byte* in,
                                const std::vector<std::size_t>& in_bytes) {
    const std::vector<std::size_t> out_offsets = offsets_of(out_bytes), in_offsets = offsets_of(in_bytes);
    check(tenonAlltoAllv(out, out_bytes.data(), out_offsets.data(), in, in_bytes.data(), in_offsets.data(), tenonUint8,
                         of_.comm_, nullptr));
}

void MoeOverAllToAllV::dispatch() {
    const std::uint64_t row_bytes = of_.row_bytes(), top_k = of_.model_.top_k;
    for (std::uint64_t i = 0; i < of_.indices_.size(); i++)
        if (of_.indices_[i] >= 0)
            std::memcpy(sent_.data() + place_of_slot_[i] * row_bytes, of_.in_.data() + i / top_k * row_bytes,
                        row_bytes);
    exchange(sent_.data(), sent_bytes_, received_.data(), received_bytes_);
    for (std::uint64_t row = 0; row < of_.counts_.rows; row++)
        if (of_.ranks_[row] >= 0)
            std::memcpy(of_.rows_.data() + row * row_bytes, received_.data() + place_of_row_[row] * row_bytes,
                        row_bytes);
}

void MoeOverAllToAllV::combine() {
    const std::uint64_t row_bytes = of_.row_bytes(), top_k = of_.model_.top_k;
    for (std::uint64_t row = 0; row < of_.counts_.rows; row++)
        if (of_.ranks_[row] >= 0)
            std::memcpy(received_.data() + place_of_row_[row] * row_bytes, of_.rows_.data() + row * row_bytes,
                        row_bytes);
    exchange(received_.data(), received_bytes_, sent_.data(), sent_bytes_);
    std::vector<Contribution> parts(top_k);
    for (std::uint64_t t = 0; t < of_.tokens_; t++) {
        std::uint32_t count = 0;
        for (std::uint64_t i = t * top_k; i < (t + 1) * top_k; i++)
            if (of_.indices_[i] >= 0)
                parts[count++] = {sent_.data() + place_of_slot_[i] * row_bytes, weight_of(t, i % top_k)};
        run_weighted_sum(kernel_, {.destination = of_.out_.data() + t * row_bytes, .contributions = parts.data(),
                                   .count = count, .elements = of_.model_.hidden});
    }
}

}  // namespace tenon::perf
