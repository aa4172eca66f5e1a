#include "tests/unit/reduction_reference.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace tenon::reference {
namespace {

struct FloatFormat {
    int exponent_bits;
    int mantissa_bits;
    bool has_infinity;

    int bias() const { return (1 << (exponent_bits - 1)) - 1; }
    std::uint64_t sign_bit() const { return std::uint64_t{1} << (exponent_bits + mantissa_bits); }
    std::uint64_t exponent_mask() const { return (std::uint64_t{1} << exponent_bits) - 1; }
    std::uint64_t mantissa_mask() const { return (std::uint64_t{1} << mantissa_bits) - 1; }
    std::uint64_t infinity() const { return exponent_mask() << mantissa_bits; }
    std::uint64_t largest() const { return has_infinity ? infinity() - 1 : sign_bit() - 2; }
    std::uint64_t nan() const {
        return has_infinity ? infinity() | (std::uint64_t{1} << (mantissa_bits - 1)) : sign_bit() - 1;
    }
};

FloatFormat format_of(DataType type) {
    switch (type) {
        case DataType::float8_e4m3:
            return {4, 3, false};
        case DataType::float8_e5m2:
            return {5, 2, true};
        case DataType::float16:
            return {5, 10, true};
        case DataType::bfloat16:
            return {8, 7, true};
        case DataType::float32:
            return {8, 23, true};
        default:
            return {11, 52, true};
    }
}

double decode(const FloatFormat& format, std::uint64_t bits) {
    const std::uint64_t magnitude = bits & (format.sign_bit() - 1);
    const auto exponent = static_cast<int>(magnitude >> format.mantissa_bits);
    const auto mantissa = static_cast<double>(magnitude & format.mantissa_mask());
    double value = 0;
    if (magnitude > (format.has_infinity ? format.infinity() : format.largest())) {
        value = std::numeric_limits<double>::quiet_NaN();
    } else if (format.has_infinity && magnitude == format.infinity()) {
        value = std::numeric_limits<double>::infinity();
    } else if (exponent == 0) {
        value = std::ldexp(mantissa, 1 - format.bias() - format.mantissa_bits);
    } else {
        value = std::ldexp(mantissa + std::ldexp(1.0, format.mantissa_bits),
                           exponent - format.bias() - format.mantissa_bits);
    }
    return (bits & format.sign_bit()) != 0 ? -value : value;
}

std::uint64_t encode(const FloatFormat& format, double value) {
    if (std::isnan(value)) {
        return format.nan();
    }
    const std::uint64_t sign = std::signbit(value) ? format.sign_bit() : 0;
    const std::uint64_t overflow = format.has_infinity ? sign | format.infinity() : format.nan();
    if (std::isinf(value)) {
        return overflow;
    }
    const int smallest_exponent = 1 - format.bias();
    const int exponent = value == 0 ? smallest_exponent : std::max(std::ilogb(value), smallest_exponent);
    const double places = std::nearbyint(std::ldexp(std::fabs(value), format.mantissa_bits - exponent));
    // Where rounding carried to the next power of two, the mantissa's overflow adds one to the exponent, as it should.
    const auto implicit_one = std::uint64_t{1} << format.mantissa_bits;
    const auto places_bits = static_cast<std::uint64_t>(places);
    const auto biased = static_cast<std::uint64_t>(exponent - smallest_exponent);
    const std::uint64_t magnitude = places_bits < implicit_one
                                        ? places_bits
                                        : ((biased + 1) << format.mantissa_bits) + (places_bits - implicit_one);
    return magnitude > format.largest() ? overflow : sign | magnitude;
}

template <class T>
T combine_floats(ReduceOp op, T a, T b) {
    if (op == ReduceOp::prod) {
        return a * b;
    }
    if (op == ReduceOp::sum || op == ReduceOp::avg) {
        return a + b;
    }
    if (std::isnan(a) || std::isnan(b)) {
        return std::numeric_limits<T>::quiet_NaN();
    }
    const bool a_is_less = a < b || (a == b && std::signbit(a) && !std::signbit(b));
    return a_is_less == (op == ReduceOp::min) ? a : b;
}

template <class T>
T combine_integers(ReduceOp op, T a, T b) {
    switch (op) {
        case ReduceOp::prod:
            return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
        case ReduceOp::max:
            return a > b ? a : b;
        case ReduceOp::min:
            return a < b ? a : b;
        default:
            return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    }
}

// The definition: [0, n) splits at the largest power of two below n.
template <class T, class Combine>
T tree(std::span<const T> values, const Combine& combine) {
    if (values.size() == 1) {
        return values[0];
    }
    const std::size_t split = std::bit_floor(values.size() - 1);
    return combine(tree(values.first(split), combine), tree(values.subspan(split), combine));
}

template <class T>
std::uint64_t reduce_floats(DataType type, ReduceOp op, std::span<const std::uint64_t> elements, double divisor) {
    const FloatFormat format = format_of(type);
    std::vector<T> values;
    for (const std::uint64_t element : elements) {
        values.push_back(static_cast<T>(decode(format, element)));
    }
    T result = tree(std::span<const T>{values}, [op](T a, T b) { return combine_floats(op, a, b); });
    if (divisor != 1) {
        result /= static_cast<T>(divisor);
    }
    return encode(format, static_cast<double>(result));
}

template <class T>
std::uint64_t reduce_integers(ReduceOp op, std::span<const std::uint64_t> elements, double divisor) {
    std::vector<T> values;
    for (const std::uint64_t element : elements) {
        values.push_back(static_cast<T>(element));
    }
    T result = tree(std::span<const T>{values}, [op](T a, T b) { return combine_integers(op, a, b); });
    if constexpr (std::is_signed_v<T>) {
        result = static_cast<T>(result / static_cast<std::int64_t>(divisor));
    } else {
        result = static_cast<T>(result / static_cast<std::uint64_t>(divisor));
    }
    return static_cast<std::make_unsigned_t<T>>(result);
}

}  // namespace

bool is_float(DataType type) {
    switch (type) {
        case DataType::float8_e4m3:
        case DataType::float8_e5m2:
        case DataType::float16:
        case DataType::bfloat16:
        case DataType::float32:
        case DataType::float64:
            return true;
        default:
            return false;
    }
}

bool is_nan(DataType type, std::uint64_t bits) { return is_float(type) && std::isnan(decode(format_of(type), bits)); }

bool is_finite(DataType type, std::uint64_t bits) {
    return !is_float(type) || std::isfinite(decode(format_of(type), bits));
}

std::uint64_t nearest(DataType type, double value) { return encode(format_of(type), value); }

double value_of(DataType type, std::uint64_t bits) { return decode(format_of(type), bits); }

std::uint64_t canonical_nan(DataType type) { return format_of(type).nan(); }

std::uint64_t reduce(DataType type, ReduceOp op, std::span<const std::uint64_t> elements, double divisor) {
    switch (type) {
        case DataType::int8:
            return reduce_integers<std::int8_t>(op, elements, divisor);
        case DataType::uint8:
            return reduce_integers<std::uint8_t>(op, elements, divisor);
        case DataType::int16:
            return reduce_integers<std::int16_t>(op, elements, divisor);
        case DataType::uint16:
            return reduce_integers<std::uint16_t>(op, elements, divisor);
        case DataType::int32:
            return reduce_integers<std::int32_t>(op, elements, divisor);
        case DataType::uint32:
            return reduce_integers<std::uint32_t>(op, elements, divisor);
        case DataType::int64:
            return reduce_integers<std::int64_t>(op, elements, divisor);
        case DataType::uint64:
            return reduce_integers<std::uint64_t>(op, elements, divisor);
        case DataType::float64:
            return reduce_floats<double>(type, op, elements, divisor);
        default:
            return reduce_floats<float>(type, op, elements, divisor);
    }
}

std::uint64_t scale(DataType type, std::uint64_t element, std::uint64_t factor) {
    const std::uint64_t both[] = {element, factor};
    return reduce(type, ReduceOp::prod, both, 1);
}

std::vector<std::uint64_t> special_elements(DataType type) {
    const int bits = static_cast<int>(8 * element_bytes(type));
    const std::uint64_t all = ~std::uint64_t{0} >> (64 - bits);
    const std::uint64_t top = std::uint64_t{1} << (bits - 1);
    std::vector<std::uint64_t> elements = {0, 1, 2, 3, top, top | 1, all, all - 1, top - 1, top - 2, all / 3};
    if (is_float(type)) {
        const FloatFormat format = format_of(type);
        const std::uint64_t one = static_cast<std::uint64_t>(format.bias()) << format.mantissa_bits;
        const std::uint64_t smallest_normal = std::uint64_t{1} << format.mantissa_bits;
        const std::uint64_t half_of_last_place = encode(format, std::ldexp(1.0, -format.mantissa_bits - 1));
        for (const std::uint64_t magnitude :
             {format.infinity(), format.infinity() + 1, format.nan(), format.nan() - 1, format.largest(), one, one + 1,
              smallest_normal, smallest_normal - 1, smallest_normal / 2, half_of_last_place}) {
            elements.insert(elements.end(), {magnitude, magnitude | format.sign_bit(), magnitude ^ 1});
        }
    }
    return elements;
}

}  // namespace tenon::reference
