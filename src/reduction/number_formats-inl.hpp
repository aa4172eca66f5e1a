// How the elements of a buffer become the lanes that are computed with, and back.
//
// Included once per instruction set. A number format names the type in memory (Stored, unsigned bits for the narrow
// floats) and the type of the lanes (Computed), and has:
//   load(d, p)    the lanes of tag d, from memory of any alignment
//   encode(d, v)  the stored form of the lanes: rounded to nearest even, NaNs canonical
// Highway's own DemoteTo is used only where it is one instruction that rounds rightly (F16C); otherwise it truncates.
#if defined(TENON_REDUCTION_NUMBER_FORMATS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TENON_REDUCTION_NUMBER_FORMATS_INL
#undef TENON_REDUCTION_NUMBER_FORMATS_INL
#else
#define TENON_REDUCTION_NUMBER_FORMATS_INL
#endif

#include <cstdint>
#include <cstring>
#include <limits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Buffers are bytes here, because they need not be aligned for their elements.
template <class D>
HWY_INLINE hn::Vec<D> load_unaligned(D d, const std::uint8_t* source) {
    if constexpr (hn::MaxLanes(d) == 1) {
        hn::TFromD<D> value;
        std::memcpy(&value, source, sizeof(value));
        return hn::Set(d, value);
    } else {
        return hn::BitCast(d, hn::LoadU(hn::Repartition<std::uint8_t, D>{}, source));
    }
}

template <class D>
HWY_INLINE void store_unaligned(D d, hn::Vec<D> lanes, std::uint8_t* destination) {
    if constexpr (hn::MaxLanes(d) == 1) {
        const hn::TFromD<D> value = hn::GetLane(lanes);
        std::memcpy(destination, &value, sizeof(value));
    } else {
        const hn::Repartition<std::uint8_t, D> bytes;
        hn::StoreU(hn::BitCast(bytes, lanes), bytes, destination);
    }
}

// What is computed as it is stored.
template <class T>
struct Native {
    using Stored = T;
    using Computed = T;

    template <class D>
    static HWY_INLINE hn::Vec<D> load(D d, const std::uint8_t* source) {
        return load_unaligned(d, source);
    }
};

template <class T>
struct Integer : Native<T> {
    template <class D>
    static HWY_INLINE hn::Vec<D> encode(D, hn::Vec<D> lanes) {
        return lanes;
    }
};

// Bytes as 16-bit lanes: for products, which no instruction set has for bytes.
struct WidenedByte {
    using Stored = std::uint8_t;
    using Computed = std::uint16_t;

    template <class D>
    static HWY_INLINE hn::Vec<D> load(D d, const std::uint8_t* source) {
        return hn::PromoteTo(d, load_unaligned(hn::Rebind<Stored, D>{}, source));
    }

    template <class D>
    static HWY_INLINE hn::Vec<hn::Rebind<Stored, D>> encode(D, hn::Vec<D> lanes) {
        return hn::TruncateTo(hn::Rebind<Stored, D>{}, lanes);
    }
};

template <class D>
HWY_INLINE hn::Vec<D> canonical_nan(D d, hn::Vec<D> lanes) {
    return hn::IfThenElse(hn::IsNaN(lanes), hn::Set(d, std::numeric_limits<hn::TFromD<D>>::quiet_NaN()), lanes);
}

template <class T>
struct Float : Native<T> {
    template <class D>
    static HWY_INLINE hn::Vec<D> encode(D d, hn::Vec<D> lanes) {
        return canonical_nan(d, lanes);
    }
};

// The upper half of a float32.
struct BFloat16 {
    using Stored = std::uint16_t;
    using Computed = float;

    template <class D>
    static HWY_INLINE hn::Vec<D> load(D d, const std::uint8_t* source) {
        const hn::RebindToUnsigned<D> bits_of;
        const auto bits = hn::PromoteTo(bits_of, load_unaligned(hn::Rebind<Stored, D>{}, source));
        return hn::BitCast(d, hn::ShiftLeft<16>(bits));
    }

    template <class D>
    static HWY_INLINE hn::Vec<hn::Rebind<Stored, D>> encode(D d, hn::Vec<D> lanes) {
        const hn::RebindToUnsigned<D> bits_of;
        const auto bits = hn::BitCast(bits_of, lanes);
        const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(bits_of, 1u));
        const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(bits_of, 0x7fffu))));
        const auto nan = hn::RebindMask(bits_of, hn::IsNaN(lanes));
        static_cast<void>(d);
        return hn::TruncateTo(hn::Rebind<Stored, D>{}, hn::IfThenElse(nan, hn::Set(bits_of, 0x7fc0u), rounded));
    }
};

// An IEEE-like float of 8 or 16 bits. With infinities, overflow gives one; without (e4m3 of the OCP specification,
// whose only special value is NaN) it gives NaN, as OCP's non-saturating mode and PyTorch's conversion do.
template <class Bits, int exponent_bits, int mantissa_bits, bool has_infinity>
struct NarrowFloat {
    using Stored = Bits;
    using Computed = float;

    static constexpr int bias = (1 << (exponent_bits - 1)) - 1;
    static constexpr int dropped_bits = 23 - mantissa_bits;
    static constexpr int sign_shift = 31 - exponent_bits - mantissa_bits;
    static constexpr std::uint32_t magnitude_mask = (1u << (exponent_bits + mantissa_bits)) - 1;
    static constexpr std::uint32_t largest_exponent = ((1u << exponent_bits) - 1) << mantissa_bits;
    // The first code that is not finite: infinity, or the one NaN.
    static constexpr std::uint32_t overflow_code = has_infinity ? largest_exponent : magnitude_mask;
    static constexpr std::uint32_t nan_code = overflow_code | (has_infinity ? 1u << (mantissa_bits - 1) : 0u);
    static constexpr std::uint32_t rebias = static_cast<std::uint32_t>(127 - bias) << 23;
    // The float32 bits of the smallest normal value, and of the power of two whose last bit is worth what the
    // denormals' last bit is: adding it lets the processor round a denormal.
    static constexpr std::uint32_t smallest_normal = static_cast<std::uint32_t>(128 - bias) << 23;
    static constexpr std::uint32_t denormal_rounder = static_cast<std::uint32_t>(128 - bias + dropped_bits) << 23;

    template <class D>
    static HWY_INLINE hn::Vec<D> load(D d, const std::uint8_t* source) {
        const hn::RebindToUnsigned<D> bits_of;
        const hn::RebindToSigned<D> order_of;  // all magnitudes are positive, and signed compares are cheaper
        const auto code = hn::PromoteTo(bits_of, load_unaligned(hn::Rebind<Stored, D>{}, source));
        const auto magnitude = hn::And(code, hn::Set(bits_of, magnitude_mask));
        const auto sign = hn::ShiftLeft<sign_shift>(hn::Xor(code, magnitude));
        const auto shifted = hn::ShiftLeft<dropped_bits>(magnitude);
        const auto at_least = [&](std::uint32_t first_code) HWY_ATTR {
            const auto below = hn::Set(order_of, static_cast<std::int32_t>(first_code) - 1);
            return hn::RebindMask(bits_of, hn::Gt(hn::BitCast(order_of, magnitude), below));
        };
        const auto one = hn::Set(bits_of, smallest_normal);  // denormal = smallest_normal * (1.fraction - 1)
        const auto denormal = hn::Sub(hn::BitCast(d, hn::Add(shifted, one)), hn::BitCast(d, one));
        const auto special = has_infinity ? hn::Add(shifted, hn::Set(bits_of, (256u - (1u << exponent_bits)) << 23))
                                          : hn::Set(bits_of, 0x7fc00000u);
        auto value = hn::Add(shifted, hn::Set(bits_of, rebias));
        value = hn::IfThenElse(at_least(1u << mantissa_bits), value, hn::BitCast(bits_of, denormal));
        value = hn::IfThenElse(at_least(overflow_code), special, value);
        return hn::BitCast(d, hn::Or(value, sign));
    }

    template <class D>
    static HWY_INLINE hn::Vec<hn::Rebind<Stored, D>> encode(D d, hn::Vec<D> lanes) {
        const hn::RebindToUnsigned<D> bits_of;
        const auto bits = hn::BitCast(bits_of, lanes);
        const auto magnitude = hn::And(bits, hn::Set(bits_of, 0x7fffffffu));
        const auto sign = hn::ShiftRight<sign_shift>(hn::Xor(bits, magnitude));
        const auto rebiased = hn::Sub(magnitude, hn::Set(bits_of, rebias));
        const auto odd = hn::And(hn::ShiftRight<dropped_bits>(rebiased), hn::Set(bits_of, 1u));
        const auto half = hn::Add(odd, hn::Set(bits_of, (1u << (dropped_bits - 1)) - 1));
        const auto normal = hn::ShiftRight<dropped_bits>(hn::Add(rebiased, half));
        const auto rounder = hn::Set(bits_of, denormal_rounder);
        const auto rounded = hn::Add(hn::BitCast(d, magnitude), hn::BitCast(d, rounder));
        const auto denormal = hn::Sub(hn::BitCast(bits_of, rounded), rounder);
        const auto is_denormal = hn::Lt(hn::BitCast(d, magnitude), hn::BitCast(d, hn::Set(bits_of, smallest_normal)));
        auto code = hn::IfThenElse(hn::RebindMask(bits_of, is_denormal), denormal, normal);
        code = hn::Min(code, hn::Set(bits_of, overflow_code));
        const auto is_nan =
            has_infinity ? hn::RebindMask(bits_of, hn::IsNaN(lanes)) : hn::Eq(code, hn::Set(bits_of, overflow_code));
        code = hn::IfThenElse(is_nan, hn::Set(bits_of, nan_code), hn::Or(code, sign));
        return hn::TruncateTo(hn::Rebind<Stored, D>{}, code);
    }
};

using Float8E4M3 = NarrowFloat<std::uint8_t, 4, 3, false>;
using Float8E5M2 = NarrowFloat<std::uint8_t, 5, 2, true>;

#if (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3) && !defined(HWY_DISABLE_F16C)
struct Float16 {
    using Stored = std::uint16_t;
    using Computed = float;

    template <class D>
    static HWY_INLINE hn::Vec<D> load(D d, const std::uint8_t* source) {
        const auto bits = load_unaligned(hn::Rebind<Stored, D>{}, source);
        return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>{}, bits));
    }

    template <class D>
    static HWY_INLINE hn::Vec<hn::Rebind<Stored, D>> encode(D d, hn::Vec<D> lanes) {
        const auto halves = hn::DemoteTo(hn::Rebind<hwy::float16_t, D>{}, canonical_nan(d, lanes));
        return hn::BitCast(hn::Rebind<Stored, D>{}, halves);
    }
};
#else
using Float16 = NarrowFloat<std::uint16_t, 5, 10, true>;
#endif

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
