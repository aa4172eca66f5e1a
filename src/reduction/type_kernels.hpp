// The kernels of one data type for one instruction set, and the families that provide them.
//
// Each family is one source file that Highway compiles once per instruction set. The functions here answer for the set
// that is in use now, so asking costs a call; the kernels they name are plain function pointers.
#pragma once

#include <array>

#include "reduction/kernels.hpp"

namespace tenon {

using ScaleKernel = void (*)(void* destination, const void* source, const void* factor, std::uint64_t elements);

struct TypeKernels {
    std::array<ReduceKernel, reduce_op_count> reduce{};  // by ReduceOp
    ScaleKernel scale = nullptr;
};

const TypeKernels& integer_kernels(DataType type);
const TypeKernels& float_kernels(DataType type);         // float32, float64
const TypeKernels& narrow_float_kernels(DataType type);  // float16, bfloat16, float8

}  // namespace tenon
