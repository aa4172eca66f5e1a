// The kernels of float32 and float64.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reduction/floats.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "reduction/loops-inl.hpp"
#include "reduction/type_kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

template <class T>
constexpr TypeKernels kernels_of = {
    .reduce = {&reduce<Float<T>, Sum>, &reduce<Float<T>, Product>, &reduce<Float<T>, Maximum>,
               &reduce<Float<T>, Minimum>, &reduce<Float<T>, Sum>},
    .scale = &scale<Float<T>>,
};

const TypeKernels& float_table(DataType type) {
    return type == DataType::float32 ? kernels_of<float> : kernels_of<double>;
}

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon {

HWY_EXPORT(float_table);
const TypeKernels& float_kernels(DataType type) { return HWY_DYNAMIC_DISPATCH(float_table)(type); }

}  // namespace tenon
#endif
