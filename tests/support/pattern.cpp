#include "tests/support/pattern.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "tests/unit/reduction_reference.hpp"

namespace tenon::support {
namespace {

bool is_product(const ReduceOp* op) { return op != nullptr && *op == ReduceOp::prod; }
bool is_sum(const ReduceOp* op) { return op != nullptr && (*op == ReduceOp::sum || *op == ReduceOp::avg); }

// Sums of 8 integers up to here are exact.
double exact_limit(DataType type) {
    switch (type) {
        case DataType::float8_e5m2: return 1;
        case DataType::float8_e4m3: return 2;
        case DataType::bfloat16: return 32;
        case DataType::float16: return 256;
        default: return 1 << 20;
    }
}

std::uint64_t any_bits(DataType type, std::mt19937_64& random) { return random() >> (64 - 8 * element_bytes(type)); }

double between(double low, double high, std::mt19937_64& random) {
    return std::uniform_real_distribution<double>(low, high)(random);
}

std::uint64_t exact_value(DataType type, const ReduceOp* op, std::mt19937_64& random) {
    static constexpr std::array<double, 6> powers = {0.5, 1, 2, -0.5, -1, -2};
    if (is_product(op)) return reference::nearest(type, powers[random() % powers.size()]);
    const double whole = std::round(between(-exact_limit(type), exact_limit(type), random));
    return reference::nearest(type, whole == 0 ? 0.0 : whole);
}

std::uint64_t ordinary_value(DataType type, const ReduceOp* op, std::mt19937_64& random) {
    if (!is_product(op)) return reference::nearest(type, between(-1, 1, random));
    return reference::nearest(type, between(0.75, 1.5, random) * (random() % 2 == 0 ? 1 : -1));
}

}  // namespace

std::uint64_t load_element(const std::byte* from, std::size_t element_bytes) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, from, element_bytes);
    return bits;
}

void store_element(std::byte* to, std::size_t element_bytes, std::uint64_t bits) {
    std::memcpy(to, &bits, element_bytes);
}

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

Pattern::Pattern(DataType type, const std::vector<std::uint64_t>& elements)
    : element_bytes_(element_bytes(type)), elements_(elements), bytes_(elements.size() * element_bytes_) {
    for (std::size_t i = 0; i < elements_.size(); i++)
        store_element(bytes_.data() + i * element_bytes_, element_bytes_, elements_[i]);
}

Pattern Pattern::random(DataType type, std::size_t length, Values values, const ReduceOp* op, std::mt19937_64& random) {
    const std::vector<std::uint64_t> specials = reference::special_elements(type);
    const bool rounds = reference::is_float(type) && (is_sum(op) || is_product(op));
    std::vector<std::uint64_t> elements(std::min(length, pattern_period));
    for (std::uint64_t& element : elements) {
        if (rounds && values == Values::exact) {
            element = exact_value(type, op, random);
        } else if (rounds && (values == Values::ordinary || random() % 16 != 0)) {
            element = ordinary_value(type, op, random);
        } else {
            element = random() % 2 == 0 ? specials[random() % specials.size()] : any_bits(type, random);
        }
    }
    return {type, elements};
}

void Pattern::write(std::byte* to, std::size_t first, std::size_t count) const {
    while (count != 0) {
        const std::size_t at = first % elements_.size();
        const std::size_t run = std::min(count, elements_.size() - at);
        std::memcpy(to, bytes_.data() + at * element_bytes_, run * element_bytes_);
        to += run * element_bytes_;
        first += run;
        count -= run;
    }
}

}  // namespace tenon::support
