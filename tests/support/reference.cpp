#include "tests/support/reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/unit/reduction_reference.hpp"

namespace tenon::support {
namespace {

bool is_rounded(const Shape& shape) {
    return reference::is_float(shape.type) && shape.op != ReduceOp::min && shape.op != ReduceOp::max;
}

double eps_of(DataType type) {
    const std::uint64_t one = reference::nearest(type, 1);
    return reference::value_of(type, one + 1) - 1;
}

std::string describe(DataType type, std::uint64_t bits) {
    std::string words = fmt::format("0x{:0{}x}", bits, 2 * element_bytes(type));
    if (reference::is_float(type)) words += fmt::format(" ({})", reference::value_of(type, bits));
    return words;
}

}  // namespace

std::string in_words(const Shape& s) {
    return fmt::format("{} of {} {}{}{}, {} ranks", name_of(s.collective), s.count, name_of(s.type),
                       reduces(s.collective) ? fmt::format(", {}", name_of(s.op)) : "",
                       is_rooted(s.collective) ? fmt::format(", root {}", s.root) : "", s.rank_count);
}

std::size_t input_elements(const Shape& s, Rank rank) {
    const auto ranks = static_cast<std::size_t>(s.rank_count);
    switch (s.collective) {
        case Collective::reduce_scatter:
        case Collective::all_to_all: return ranks * s.count;
        case Collective::scatter: return rank == s.root ? ranks * s.count : 0;
        case Collective::broadcast: return rank == s.root ? s.count : 0;
        case Collective::barrier: return 0;
        default: return s.count;
    }
}

std::size_t output_elements(const Shape& s, Rank rank) {
    const auto ranks = static_cast<std::size_t>(s.rank_count);
    switch (s.collective) {
        case Collective::all_gather:
        case Collective::all_to_all: return ranks * s.count;
        case Collective::gather: return rank == s.root ? ranks * s.count : 0;
        case Collective::reduce: return rank == s.root ? s.count : 0;
        case Collective::barrier: return 0;
        default: return s.count;
    }
}

std::size_t in_place_offset(const Shape& s, Rank rank) {
    const bool own_block =
        s.collective == Collective::reduce_scatter || s.collective == Collective::all_gather ||
        ((s.collective == Collective::gather || s.collective == Collective::scatter) && rank == s.root);
    return own_block ? static_cast<std::size_t>(rank) * s.count : 0;
}

std::uint64_t reduced(DataType type, ReduceOp op, std::span<const std::uint64_t> elements) {
    if (elements.size() == 1) return elements[0];
    return reference::reduce(type, op, elements, op == ReduceOp::avg ? static_cast<double>(elements.size()) : 1);
}

Reference::Reference(const Shape& shape, Values values, bool tree, std::uint64_t seed)
    : Reference(shape, values, tree, seed, {}) {}

Reference::Reference(const Shape& shape, Values values, bool tree, std::uint64_t seed,
                     std::span<const std::uint64_t> factors)
    : shape_(shape) {
    std::mt19937_64 random(seed);
    for (Rank r = 0; r < shape.rank_count; r++)
        inputs_.push_back(Pattern::random(shape.type, input_elements(shape, r), values,
                                          reduces(shape.collective) ? &shape.op : nullptr, random));
    if (reduces(shape.collective)) reduce_inputs(factors, tree || values == Values::exact || !is_rounded(shape));
}

void Reference::reduce_inputs(std::span<const std::uint64_t> factors, bool bitwise) {
    std::vector<std::uint64_t> results(inputs_.front().period());
    std::vector<std::uint64_t> contributions(inputs_.size());
    for (std::size_t i = 0; i < results.size(); i++) {
        for (std::size_t r = 0; r < contributions.size(); r++) {
            contributions[r] = inputs_[r][i];
            if (!factors.empty()) contributions[r] = reference::scale(shape_.type, contributions[r], factors[r]);
        }
        results[i] = reduced(shape_.type, shape_.op, contributions);
        if (!bitwise) slack_.push_back(slack_of(contributions, results[i]));
    }
    reduced_ = Pattern(shape_.type, results);
}

double Reference::slack_of(std::span<const std::uint64_t> contributions, std::uint64_t result) const {
    const auto n = static_cast<double>(contributions.size());
    double magnitude = std::fabs(reference::value_of(shape_.type, result));
    if (shape_.op != ReduceOp::prod) {
        double sum = 0;
        for (const std::uint64_t bits : contributions) sum += std::fabs(reference::value_of(shape_.type, bits));
        magnitude = shape_.op == ReduceOp::avg ? sum / n : sum;
    }
    return n * (eps_of(shape_.type) * magnitude + reference::value_of(shape_.type, 1));
}

std::vector<std::byte> Reference::input(Rank rank) const {
    const std::size_t elements = input_elements(shape_, rank);
    std::vector<std::byte> bytes(elements * element_bytes(shape_.type));
    if (elements != 0) inputs_[static_cast<std::size_t>(rank)].write(bytes.data(), 0, elements);
    return bytes;
}

std::vector<std::byte> Reference::output(Rank rank) const {
    const Shape& s = shape_;
    const std::size_t elements = output_elements(s, rank), size = element_bytes(s.type);
    std::vector<std::byte> bytes(elements * size);
    if (elements == 0) return bytes;
    const std::size_t own_block = static_cast<std::size_t>(rank) * s.count;
    const Pattern& roots = inputs_[static_cast<std::size_t>(s.root)];
    switch (s.collective) {
        case Collective::all_reduce:
        case Collective::reduce: reduced_.write(bytes.data(), 0, s.count); break;
        case Collective::reduce_scatter: reduced_.write(bytes.data(), own_block, s.count); break;
        case Collective::broadcast: roots.write(bytes.data(), 0, s.count); break;
        case Collective::scatter: roots.write(bytes.data(), own_block, s.count); break;
        default:
            for (std::size_t r = 0; r < inputs_.size(); r++)
                inputs_[r].write(bytes.data() + r * s.count * size,
                                 s.collective == Collective::all_to_all ? own_block : 0, s.count);
    }
    return bytes;
}

std::optional<std::string> Reference::difference(Rank rank, std::span<const std::byte> got) const {
    const std::vector<std::byte> expected = output(rank);
    if (same_bytes(got, expected)) return std::nullopt;
    if (slack_.empty()) return first_difference(shape_.type, got, expected);
    const std::size_t size = element_bytes(shape_.type);
    const std::size_t first =
        shape_.collective == Collective::reduce_scatter ? static_cast<std::size_t>(rank) * shape_.count : 0;
    for (std::size_t i = 0; i < expected.size() / size; i++) {
        const std::uint64_t has = load_element(got.data() + i * size, size),
                            wants = load_element(expected.data() + i * size, size);
        if (has == wants) continue;
        const double off = std::fabs(reference::value_of(shape_.type, has) - reference::value_of(shape_.type, wants));
        if (off <= slack_[(first + i) % slack_.size()]) continue;
        return fmt::format("element {} is {} instead of {}, off by {}; allowed is {}", i, describe(shape_.type, has),
                           describe(shape_.type, wants), off, slack_[(first + i) % slack_.size()]);
    }
    return std::nullopt;
}

std::optional<std::string> first_difference(DataType type, std::span<const std::byte> got,
                                            std::span<const std::byte> expected) {
    if (got.size() != expected.size())
        return fmt::format("there are {} bytes instead of {}", got.size(), expected.size());
    const std::size_t size = element_bytes(type);
    std::size_t wrong = 0, first = 0;
    for (std::size_t i = 0; i < expected.size() / size; i++)
        if (std::memcmp(got.data() + i * size, expected.data() + i * size, size) != 0 && wrong++ == 0) first = i;
    if (wrong == 0) return std::nullopt;
    return fmt::format("element {} is {} instead of {}; {} of {} elements are wrong", first,
                       describe(type, load_element(got.data() + first * size, size)),
                       describe(type, load_element(expected.data() + first * size, size)), wrong,
                       expected.size() / size);
}

}  // namespace tenon::support
