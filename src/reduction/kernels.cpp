#include "reduction/kernels.hpp"

#include "base/assert.hpp"
#include "reduction/floating_point_mode.hpp"
#include "reduction/type_kernels.hpp"

namespace tenon {
namespace {

const TypeKernels& kernels_for(DataType type) {
    switch (type) {
        case DataType::float32:
        case DataType::float64:
            return float_kernels(type);
        case DataType::float16:
        case DataType::bfloat16:
        case DataType::float8_e4m3:
        case DataType::float8_e5m2:
            return narrow_float_kernels(type);
        case DataType::int8:
        case DataType::uint8:
        case DataType::int16:
        case DataType::uint16:
        case DataType::int32:
        case DataType::uint32:
        case DataType::int64:
        case DataType::uint64:
            return integer_kernels(type);
    }
    assertion_failed("type < data_type_count", "an unknown data type reached the kernels", __FILE__, __LINE__);
}

}  // namespace

ReduceKernel reduce_kernel(DataType type, ReduceOp op) {
    TENON_ASSERT(static_cast<std::size_t>(op) < reduce_op_count, "an unknown operation reached the kernels");
    return kernels_for(type).reduce[static_cast<std::size_t>(op)];
}

void reduce_into(void* destination, const void* source, ElementCount elements, DataType type, ReduceOp op) {
    const void* const sources[] = {destination, source};
    const ReduceKernel reduce = reduce_kernel(type, op);
    reduce({.destination = destination, .sources = sources, .source_count = 2, .elements = elements.value});
}

void scale_elements(DataType type, void* destination, const void* source, const void* factor, std::uint64_t elements) {
    const StandardFloatingPoint standard;
    kernels_for(type).scale(destination, source, factor, elements);
}

}  // namespace tenon
