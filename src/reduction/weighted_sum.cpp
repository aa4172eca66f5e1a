// The kernels of weighted_sum.hpp: one pass over the sources, everything between loads and the store in registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reduction/weighted_sum.cpp"
#include <type_traits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "reduction/floating_point_mode.hpp"
#include "reduction/number_formats-inl.hpp"
#include "reduction/weighted_sum.hpp"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

// What the lanes are after a trip through memory in that format.
template <class Number, class D>
HWY_INLINE hn::Vec<D> rounded_to(D d, hn::Vec<D> lanes) {
    if constexpr (hwy::IsFloat<typename Number::Stored>()) return Number::encode(d, lanes);
    alignas(64) std::uint8_t stored[hn::MaxLanes(D{}) * sizeof(typename Number::Stored)];
    store_unaligned(hn::Rebind<typename Number::Stored, D>{}, Number::encode(d, lanes), stored);
    return Number::load(d, stored);
}

// Of so many vectors from element i on, 1 or 4. With four, a contribution's weight and place are looked up once for
// what is a line of most rows. (Not an array of them: where vectors have no fixed size, there is none.)
template <std::size_t vectors, class Input, class Partial, class Output, class D>
HWY_INLINE void store_sum(D d, const WeightedSum& sum, std::uint64_t i) {
    using Stored = typename Output::Stored;
    constexpr std::size_t bytes = sizeof(typename Input::Stored);
    const std::size_t lanes = hn::Lanes(d);
    const auto product = [&](const Contribution& c, std::size_t v) HWY_ATTR {
        const auto* const at = static_cast<const std::uint8_t*>(c.source) + (i + v % vectors * lanes) * bytes;
        return hn::Mul(hn::Set(d, c.weight), Input::load(d, at));
    };
    const auto store = [&](std::size_t v, hn::Vec<D> lanes_of_sum) HWY_ATTR {
        if (v >= vectors) return;
        store_unaligned(hn::Rebind<Stored, D>{}, Output::encode(d, lanes_of_sum),
                        static_cast<std::uint8_t*>(sum.destination) + (i + v * lanes) * sizeof(Stored));
    };
    const auto store_all = [&](hn::Vec<D> v0, hn::Vec<D> v1, hn::Vec<D> v2, hn::Vec<D> v3) HWY_ATTR {
        store(0, v0), store(1, v1), store(2, v2), store(3, v3);
    };
    auto t0 = hn::Zero(d), t1 = t0, t2 = t0, t3 = t0;
    bool is_first_group = true;
    const Contribution* const end = sum.contributions + sum.count;
    for (const Contribution* c = sum.contributions; c != end; c++) {
        auto g0 = product(*c, 0), g1 = product(*c, 1), g2 = product(*c, 2), g3 = product(*c, 3);
        for (; !c->ends_group && c + 1 != end; c++) {
            g0 = hn::Add(g0, product(c[1], 0)), g1 = hn::Add(g1, product(c[1], 1));
            g2 = hn::Add(g2, product(c[1], 2)), g3 = hn::Add(g3, product(c[1], 3));
        }
        // The only group is rounded when it is stored, to the same type.
        if constexpr (std::is_same_v<Partial, Output>)
            if (is_first_group && c + 1 == end) return store_all(g0, g1, g2, g3);
        g0 = rounded_to<Partial>(d, g0), g1 = rounded_to<Partial>(d, g1);
        g2 = rounded_to<Partial>(d, g2), g3 = rounded_to<Partial>(d, g3);
        t0 = is_first_group ? g0 : hn::Add(t0, g0), t1 = is_first_group ? g1 : hn::Add(t1, g1);
        t2 = is_first_group ? g2 : hn::Add(t2, g2), t3 = is_first_group ? g3 : hn::Add(t3, g3);
        is_first_group = false;
    }
    store_all(t0, t1, t2, t3);
}

template <class Input, class Partial, class Output, class D>
HWY_INLINE std::uint64_t sum_range(D d, const WeightedSum& sum, std::uint64_t i) {
    const std::size_t lanes = hn::Lanes(d);
    if constexpr (hn::MaxLanes(d) > 1)
        for (; sum.elements - i >= 4 * lanes; i += 4 * lanes) store_sum<4, Input, Partial, Output>(d, sum, i);
    for (; sum.elements - i >= lanes; i += lanes) store_sum<1, Input, Partial, Output>(d, sum, i);
    return i;
}

template <class Input, class Partial, class Output>
void weighted_sum(const WeightedSum& sum) {
    const std::uint64_t left = sum_range<Input, Partial, Output>(hn::ScalableTag<float>{}, sum, 0);
    sum_range<Input, Partial, Output>(hn::CappedTag<float, 1>{}, sum, left);
}

template <class Narrow>
WeightedSumKernel kernel_of(const WeightedSumTypes& types) {
    using Wide = Float<float>;
    const bool wide_input = types.input == DataType::float32, wide_partial = types.partial == DataType::float32,
               wide_output = types.output == DataType::float32;
    if (wide_partial) {
        if (wide_input) return wide_output ? &weighted_sum<Wide, Wide, Wide> : &weighted_sum<Wide, Wide, Narrow>;
        return wide_output ? &weighted_sum<Narrow, Wide, Wide> : &weighted_sum<Narrow, Wide, Narrow>;
    }
    if (wide_input) return wide_output ? &weighted_sum<Wide, Narrow, Wide> : &weighted_sum<Wide, Narrow, Narrow>;
    return wide_output ? &weighted_sum<Narrow, Narrow, Wide> : &weighted_sum<Narrow, Narrow, Narrow>;
}

WeightedSumKernel kernel_here(const WeightedSumTypes& types) {
    for (const DataType type : {types.input, types.partial, types.output}) {
        if (type == DataType::float16) return kernel_of<Float16>(types);
        if (type == DataType::bfloat16) return kernel_of<BFloat16>(types);
    }
    return &weighted_sum<Float<float>, Float<float>, Float<float>>;
}

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/assert.hpp"

namespace tenon {

HWY_EXPORT(kernel_here);

WeightedSumKernel weighted_sum_kernel(const WeightedSumTypes& types) {
    bool has_bfloat16 = false, has_float16 = false;
    for (const DataType type : {types.input, types.partial, types.output}) {
        TENON_ASSERT(has_weighted_sum(type), "a type without a weighted sum reached the kernels");
        has_bfloat16 |= type == DataType::bfloat16;
        has_float16 |= type == DataType::float16;
    }
    TENON_ASSERT(!has_bfloat16 || !has_float16, "a weighted sum of two narrow types");
    return HWY_DYNAMIC_DISPATCH(kernel_here)(types);
}

void run_weighted_sum(WeightedSumKernel kernel, const WeightedSum& sum) {
    if (floating_point_is_standard()) [[likely]] return kernel(sum);
    const StandardFloatingPoint standard;
    kernel(sum);
}

}  // namespace tenon
#endif
