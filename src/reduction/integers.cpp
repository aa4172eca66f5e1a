// The kernels of the integers. Sums and products are those of the unsigned type of the same width: they wrap.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reduction/integers.cpp"
#include <type_traits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "reduction/integer_division.hpp"
#include "reduction/loops-inl.hpp"
#include "reduction/type_kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

template <class T, class Number, class Operation>
void reduce_integers(const ReduceArguments& a) {
    constexpr ReduceKernel kernel = &reduce<Number, Operation>;
    return a.divisor == 1 ? kernel(a) : reduce_and_divide<T>(kernel, a);
}

template <class T, class Unsigned = Integer<std::make_unsigned_t<T>>,
          class Factor = std::conditional_t<sizeof(T) == 1, WidenedByte, Unsigned>>
constexpr TypeKernels integer_kernels_of = {
    .reduce = {&reduce_integers<T, Unsigned, Sum>, &reduce_integers<T, Factor, Product>,
               &reduce_integers<T, Integer<T>, Maximum>, &reduce_integers<T, Integer<T>, Minimum>,
               &reduce_integers<T, Unsigned, Sum>},
    .scale = &scale<Factor>,
};

const TypeKernels& integer_table(DataType type) {
    switch (type) {
        case DataType::int8:
            return integer_kernels_of<std::int8_t>;
        case DataType::uint8:
            return integer_kernels_of<std::uint8_t>;
        case DataType::int16:
            return integer_kernels_of<std::int16_t>;
        case DataType::uint16:
            return integer_kernels_of<std::uint16_t>;
        case DataType::int32:
            return integer_kernels_of<std::int32_t>;
        case DataType::uint32:
            return integer_kernels_of<std::uint32_t>;
        case DataType::int64:
            return integer_kernels_of<std::int64_t>;
        default:
            return integer_kernels_of<std::uint64_t>;
    }
}

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon {

HWY_EXPORT(integer_table);
const TypeKernels& integer_kernels(DataType type) { return HWY_DYNAMIC_DISPATCH(integer_table)(type); }

}  // namespace tenon
#endif
