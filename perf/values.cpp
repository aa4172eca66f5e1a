#include "perf/values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/assert.hpp"

namespace tenon::perf {
namespace {

constexpr std::uint64_t elements_per_block = 1024;  // produced and compared at a time, in the first-level cache
constexpr std::int64_t product_factors = 6;         // of two, at most, so that a product is at most 64

struct FloatFormat {
    int exponent_bits = 0, mantissa_bits = 0;  // 0: not a float
};

FloatFormat float_format(DataType type) {
    switch (type) {
        case DataType::float16:
            return {5, 10};
        case DataType::bfloat16:
            return {8, 7};
        case DataType::float32:
            return {8, 23};
        case DataType::float64:
            return {11, 52};
        case DataType::float8_e4m3:
            return {4, 3};
        case DataType::float8_e5m2:
            return {5, 2};
        default:
            return {};
    }
}

bool is_float(DataType type) { return float_format(type).exponent_bits != 0; }

bool is_signed(DataType type) {
    return is_float(type) || type == DataType::int8 || type == DataType::int16 || type == DataType::int32 ||
           type == DataType::int64;
}

// All integers up to this one are numbers of the type.
std::int64_t exact_integers(DataType type) {
    constexpr int enough_bits = 24;
    const int bits = is_float(type) ? float_format(type).mantissa_bits + 1
                                    : static_cast<int>(8 * element_bytes(type)) - (is_signed(type) ? 1 : 0);
    return (std::int64_t{1} << std::min(bits, enough_bits)) - (is_float(type) ? 0 : 1);
}

std::uint64_t encode_float(FloatFormat format, double value) {
    const int bias = (1 << (format.exponent_bits - 1)) - 1;
    const std::uint64_t sign =
        std::signbit(value) ? std::uint64_t{1} << (format.exponent_bits + format.mantissa_bits) : 0;
    if (value == 0) return sign;
    int exponent = 0;
    std::frexp(value, &exponent);
    const int lowest = 2 - bias;  // of frexp's exponents, for normal numbers
    const int quantum = std::max(exponent, lowest) - 1 - format.mantissa_bits;
    const auto units = static_cast<std::uint64_t>(std::nearbyint(std::ldexp(std::fabs(value), -quantum)));
    // A normal number's leading one adds one to the exponent field; rounding up to the next power carries into it too.
    const auto field = static_cast<std::uint64_t>(std::max(exponent, lowest) - lowest);
    return sign | ((field << format.mantissa_bits) + units);
}

void store(std::byte* to, std::uint64_t index, std::uint64_t bits, std::size_t bytes) {
    std::memcpy(to + index * bytes, &bits, bytes);  // little-endian: the low bytes
}

std::uint64_t load(const std::byte* from, std::uint64_t index, std::size_t bytes) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, from + index * bytes, bytes);
    return bits;
}

static_assert(std::endian::native == std::endian::little);

}  // namespace

std::uint64_t encode(DataType type, double value) {
    if (is_float(type)) return encode_float(float_format(type), value);
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
}

Values::Values(DataType type, Operation operation, Rank rank_count, std::uint64_t turn)
    : type_(type), operation_(operation), rank_count_(rank_count), turn_(turn), exact_(exact_integers(type)) {
    std::int64_t largest_result = 0;
    switch (operation) {
        case Operation::prod:
            largest_result = std::int64_t{1} << product_factors;
            break;
        case Operation::max:
        case Operation::min:
            largest_result = largest_ = 8;
            break;  // float8_e5m2 has no 9
        case Operation::mulsum:
            exact_ /= 2;
            [[fallthrough]];  // factors are 1 and 2
        case Operation::sum:
        case Operation::avg:
            largest_ = std::min<std::int64_t>(exact_ / rank_count, 28);
            largest_result = std::max(largest_ * rank_count, std::min<std::int64_t>(exact_, rank_count));
            if (operation == Operation::mulsum) largest_result *= 2;
    }
    table_origin_ = is_signed(type) ? largest_result : 0;
    for (std::int64_t value = -table_origin_; value <= largest_result; value++)
        table_.push_back(encode(type, static_cast<double>(value)));
}

std::uint64_t Values::hash(std::uint64_t salt, std::uint64_t index) const {
    std::uint64_t x = (index + 1) * 0x9e3779b97f4a7c15 + (salt + (turn_ << 32)) * 0xd1b54a32d192ed03;
    x = (x ^ (x >> 32)) * 0xbf58476d1ce4e5b9;
    return x ^ (x >> 29);
}

std::int64_t Values::contribution_at(Rank rank, std::uint64_t index) const {
    const std::uint64_t own = hash(static_cast<std::uint64_t>(rank), index);
    std::int64_t magnitude = 0;
    if (operation_ == Operation::prod || largest_ == 0) {
        // The ranks take different places in a row, of which only the first ones are special.
        const auto places = static_cast<std::uint64_t>(std::max<std::int64_t>(rank_count_, product_factors + 2));
        const auto place =
            static_cast<std::int64_t>((hash(~std::uint64_t{0}, index) + static_cast<std::uint64_t>(rank)) % places);
        if (operation_ == Operation::prod)
            magnitude = place < product_factors ? 2 : 1;
        else
            magnitude = place < exact_ ? 1 : 0;
    } else {
        magnitude = static_cast<std::int64_t>(((own >> 32) * static_cast<std::uint64_t>(largest_ + 1)) >> 32);
    }
    return is_signed(type_) && (own & 1) ? -magnitude : magnitude;
}

std::int64_t Values::reduction_at(std::uint64_t index) const {
    std::int64_t result = contribution_at(0, index);  // whose factor in a pre-multiplied sum is 1
    for (Rank rank = 1; rank < rank_count_; rank++) {
        const std::int64_t value = contribution_at(rank, index);
        switch (operation_) {
            case Operation::sum:
            case Operation::avg:
                result += value;
                break;
            case Operation::mulsum:
                result += rank % 2 == 0 ? value : 2 * value;
                break;
            case Operation::prod:
                result *= value;
                break;
            case Operation::max:
                result = std::max(result, value);
                break;
            case Operation::min:
                result = std::min(result, value);
                break;
        }
    }
    return result;
}

std::uint64_t Values::factor_bits(DataType type, Rank rank) { return encode(type, rank % 2 == 0 ? 1 : 2); }

void Values::copied(void* to, Rank rank, std::uint64_t first, std::uint64_t count) const {
    const std::size_t width = element_bytes(type_);
    std::uint64_t at = first * width;
    const std::uint64_t end = at + count * width;
    auto* bytes = static_cast<std::byte*>(to);
    while (at < end) {
        const std::uint64_t word = hash(static_cast<std::uint64_t>(rank), at / 8), skipped = at % 8;
        const std::size_t taken = std::min<std::uint64_t>(8 - skipped, end - at);
        std::memcpy(bytes, reinterpret_cast<const std::byte*>(&word) + skipped, taken);
        bytes += taken;
        at += taken;
    }
}

void Values::contribution(void* to, Rank rank, std::uint64_t first, std::uint64_t count) const {
    const std::size_t width = element_bytes(type_);
    for (std::uint64_t i = 0; i < count; i++)
        store(static_cast<std::byte*>(to), i,
              table_[static_cast<std::size_t>(contribution_at(rank, first + i) + table_origin_)], width);
}

void Values::reduction(void* to, std::uint64_t first, std::uint64_t count) const {
    const std::size_t width = element_bytes(type_);
    for (std::uint64_t i = 0; i < count; i++) {
        const std::int64_t whole = reduction_at(first + i);
        std::uint64_t bits = 0;
        if (operation_ != Operation::avg)
            bits = table_[static_cast<std::size_t>(whole + table_origin_)];
        else if (is_float(type_))
            bits = encode(type_, static_cast<double>(whole) / rank_count_);
        else
            bits = encode(type_, static_cast<double>(whole / rank_count_));
        store(static_cast<std::byte*>(to), i, bits, width);
    }
}

template <class Make>
std::uint64_t Values::count_wrong(const void* found, std::uint64_t first, std::uint64_t count, std::uint64_t tolerance,
                                  const Make& make) const {
    const std::size_t width = element_bytes(type_);
    const auto* bytes = static_cast<const std::byte*>(found);
    std::byte expected[elements_per_block * sizeof(std::uint64_t)];
    std::uint64_t wrong = 0;
    for (std::uint64_t done = 0; done < count; done += elements_per_block) {
        const std::uint64_t now = std::min(elements_per_block, count - done);
        make(expected, first + done, now);
        const std::byte* here = bytes + done * width;
        if (std::memcmp(here, expected, now * width) == 0) continue;
        for (std::uint64_t i = 0; i < now; i++) {
            const std::uint64_t is = load(here, i, width), must_be = load(expected, i, width);
            // Neighbouring floats of one sign are neighbouring integers.
            wrong += std::max(is, must_be) - std::min(is, must_be) > tolerance;
        }
    }
    return wrong;
}

std::uint64_t Values::wrong_copied(const void* found, Rank rank, std::uint64_t first, std::uint64_t count) const {
    return count_wrong(found, first, count, 0,
                       [&](void* to, std::uint64_t at, std::uint64_t n) { copied(to, rank, at, n); });
}

std::uint64_t Values::wrong_contribution(const void* found, Rank rank, std::uint64_t first, std::uint64_t count) const {
    return count_wrong(found, first, count, 0,
                       [&](void* to, std::uint64_t at, std::uint64_t n) { contribution(to, rank, at, n); });
}

std::uint64_t Values::wrong_reduction(const void* found, std::uint64_t first, std::uint64_t count) const {
    const std::uint64_t tolerance = operation_ == Operation::avg && is_float(type_) ? 1 : 0;
    return count_wrong(found, first, count, tolerance,
                       [&](void* to, std::uint64_t at, std::uint64_t n) { reduction(to, at, n); });
}

}  // namespace tenon::perf
