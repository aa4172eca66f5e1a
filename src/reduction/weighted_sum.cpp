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

template <class Input, class Partial, class Output, class D>
HWY_INLINE hn::Vec<D> sum_at(D d, const WeightedSum& sum, std::uint64_t i) {
    const std::uint64_t offset = i * sizeof(typename Input::Stored);
    const auto product = [&](const Contribution& c) HWY_ATTR {
        return hn::Mul(hn::Set(d, c.weight), Input::load(d, static_cast<const std::uint8_t*>(c.source) + offset));
    };
    auto total = hn::Zero(d);
    bool is_first_group = true;
    const Contribution* const end = sum.contributions + sum.count;
    for (const Contribution* c = sum.contributions; c != end; c++) {
        auto group = product(*c);
        for (; !c->ends_group && c + 1 != end; c++) group = hn::Add(group, product(c[1]));
        // The only group is rounded when it is stored, to the same type.
        if constexpr (std::is_same_v<Partial, Output>)
            if (is_first_group && c + 1 == end) return group;
        group = rounded_to<Partial>(d, group);
        total = is_first_group ? group : hn::Add(total, group);
        is_first_group = false;
    }
    return total;
}

template <class Input, class Partial, class Output, class D>
HWY_INLINE std::uint64_t sum_range(D d, const WeightedSum& sum, std::uint64_t i) {
    using Stored = typename Output::Stored;
    const std::size_t lanes = hn::Lanes(d);
    auto* const destination = static_cast<std::uint8_t*>(sum.destination);
    for (; sum.elements - i >= lanes; i += lanes)
        store_unaligned(hn::Rebind<Stored, D>{}, Output::encode(d, sum_at<Input, Partial, Output>(d, sum, i)),
                        destination + i * sizeof(Stored));
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
