// The kernels of quantise.hpp: one pass for the largest magnitude, one for the codes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reduction/quantise.cpp"
#include <algorithm>
#include <bit>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "reduction/floating_point_mode.hpp"
#include "reduction/number_formats-inl.hpp"
#include "reduction/quantise.hpp"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

// Magnitudes as the bits of float32, which are ordered as they are.
constexpr std::int32_t infinity_bits = 0x7f800000;
struct Magnitudes {
    std::int32_t largest_finite = 0;
    bool all_finite = true;
};

template <class Source, class D>
HWY_INLINE std::uint64_t find_largest(D d, const std::uint8_t* row, std::uint64_t i, std::uint64_t end,
                                      Magnitudes& found) {
    const hn::RebindToSigned<D> bits_of;
    const std::size_t lanes = hn::Lanes(d);
    auto largest = hn::Zero(bits_of), largest_finite = hn::Zero(bits_of);
    for (; end - i >= lanes; i += lanes) {
        const auto value = Source::load(d, row + i * sizeof(typename Source::Stored));
        const auto bits = hn::And(hn::BitCast(bits_of, value), hn::Set(bits_of, 0x7fffffff));
        largest = hn::Max(largest, bits);
        const auto is_finite = hn::Lt(bits, hn::Set(bits_of, infinity_bits));
        largest_finite = hn::Max(largest_finite, hn::IfThenElseZero(is_finite, bits));
    }
    alignas(64) std::int32_t all[hn::MaxLanes(D{})], finite[hn::MaxLanes(D{})];
    hn::Store(largest, bits_of, all);
    hn::Store(largest_finite, bits_of, finite);
    for (std::size_t lane = 0; lane < lanes; lane++) {
        found.largest_finite = std::max(found.largest_finite, finite[lane]);
        found.all_finite &= all[lane] < infinity_bits;
    }
    return i;
}

struct ToFloat8 {
    static constexpr float top = 448;
    template <class D>
    static HWY_INLINE hn::Vec<hn::Rebind<std::uint8_t, D>> encode(D d, hn::Vec<D> scaled) {
        return Float8E4M3::encode(d, scaled);
    }
};

// Adding 1.5 * 2^23 rounds to an integer, in the low bits of the sum.
struct ToInt8 {
    static constexpr float top = 127;
    template <class D>
    static HWY_INLINE hn::Vec<hn::Rebind<std::uint8_t, D>> encode(D d, hn::Vec<D> scaled) {
        const hn::RebindToUnsigned<D> bits_of;
        const auto rounded = hn::BitCast(bits_of, hn::Add(scaled, hn::Set(d, 12582912.0F)));
        return hn::TruncateTo(hn::Rebind<std::uint8_t, D>{}, hn::And(rounded, hn::Set(bits_of, 0xffu)));
    }
};

template <class Source, class Code, class D>
HWY_INLINE std::uint64_t encode_range(D d, const std::uint8_t* row, std::uint64_t i, std::uint64_t end, float factor,
                                      std::uint8_t* codes) {
    const std::size_t lanes = hn::Lanes(d);
    for (; end - i >= lanes; i += lanes) {
        const auto value = Source::load(d, row + i * sizeof(typename Source::Stored));
        store_unaligned(hn::Rebind<std::uint8_t, D>{}, Code::encode(d, hn::Mul(value, hn::Set(d, factor))), codes + i);
    }
    return i;
}

// The elements [first, end), which share a scale.
template <class Source, class Code>
HWY_INLINE void quantise_block(const std::uint8_t* row, std::uint64_t first, std::uint64_t end, std::uint8_t* codes,
                               std::uint8_t* scale_at) {
    const hn::ScalableTag<float> d;
    const hn::CappedTag<float, 1> one;
    Magnitudes found;
    find_largest<Source>(one, row, find_largest<Source>(d, row, first, end, found), end, found);
    const float largest = std::bit_cast<float>(found.largest_finite);
    float scale = std::max(largest / Code::top, std::numeric_limits<float>::min());
    const float factor = 1 / scale;
    if (std::is_same_v<Code, ToInt8> && !found.all_finite) {
        scale = std::numeric_limits<float>::quiet_NaN();
        std::fill(codes + first, codes + end, std::uint8_t{0});
    } else {
        encode_range<Source, Code>(one, row, encode_range<Source, Code>(d, row, first, end, factor, codes), end, factor,
                                   codes);
    }
    std::memcpy(scale_at, &scale, sizeof scale);
}

template <class Source, class Code>
void quantise(const void* row, std::uint64_t elements, void* codes, void* scales) {
    const std::uint64_t block = std::is_same_v<Code, ToInt8> ? elements : elements_of_float8_scale;
    auto* scale = static_cast<std::uint8_t*>(scales);
    for (std::uint64_t first = 0; first < elements; first += block, scale += sizeof(float))
        quantise_block<Source, Code>(static_cast<const std::uint8_t*>(row), first, std::min(first + block, elements),
                                     static_cast<std::uint8_t*>(codes), scale);
}

template <class Source>
QuantiseKernel quantise_kernel_of(DataType codes) {
    return codes == DataType::int8 ? &quantise<Source, ToInt8> : &quantise<Source, ToFloat8>;
}

QuantiseKernel quantise_kernel_here(DataType source, DataType codes) {
    switch (source) {
        case DataType::float16:
            return quantise_kernel_of<Float16>(codes);
        case DataType::bfloat16:
            return quantise_kernel_of<BFloat16>(codes);
        default:
            return quantise_kernel_of<Float<float>>(codes);
    }
}

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/assert.hpp"
#include "reduction/weighted_sum.hpp"

namespace tenon {

HWY_EXPORT(quantise_kernel_here);

QuantiseKernel quantise_kernel(DataType source, DataType codes) {
    TENON_ASSERT(has_weighted_sum(source) && is_quantised(codes), "rows that cannot be quantised reached the kernels");
    return HWY_DYNAMIC_DISPATCH(quantise_kernel_here)(source, codes);
}

namespace {

void quantise_all(QuantiseKernel kernel, const QuantisedRows& rows) {
    for (std::uint64_t i = 0; i < rows.rows; i++) {
        std::byte* const codes = rows.codes + i * rows.stride;
        kernel(static_cast<const std::byte*>(rows.source) + i * rows.source_row_bytes, rows.elements, codes,
               codes + rows.elements);
    }
}

}  // namespace

void run_quantise(QuantiseKernel kernel, const QuantisedRows& rows) {
    if (floating_point_is_standard()) [[likely]] return quantise_all(kernel, rows);
    const StandardFloatingPoint standard;
    quantise_all(kernel, rows);
}

}  // namespace tenon
#endif
