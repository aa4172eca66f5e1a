// The kernels of float16, bfloat16 and both float8, which compute in float32.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reduction/narrow_floats.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "reduction/loops-inl.hpp"
#include "reduction/type_kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

template <class Number>
constexpr TypeKernels narrow_kernels_of = {
    .reduce = {&reduce<Number, Sum>, &reduce<Number, Product>, &reduce<Number, Maximum>, &reduce<Number, Minimum>,
               &reduce<Number, Sum>},
    .scale = &scale<Number>,
};

const TypeKernels& narrow_float_table(DataType type) {
    switch (type) {
        case DataType::float16:
            return narrow_kernels_of<Float16>;
        case DataType::bfloat16:
            return narrow_kernels_of<BFloat16>;
        case DataType::float8_e4m3:
            return narrow_kernels_of<Float8E4M3>;
        default:
            return narrow_kernels_of<Float8E5M2>;
    }
}

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon {

HWY_EXPORT(narrow_float_table);
const TypeKernels& narrow_float_kernels(DataType type) { return HWY_DYNAMIC_DISPATCH(narrow_float_table)(type); }

}  // namespace tenon
#endif
