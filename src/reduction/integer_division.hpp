// avg's finish for integers, which no instruction set divides in vectors: a second pass over the result.
//
// The first pass writes only `destination`, so that a second destination may still be one of the sources.
#pragma once

#include "reduction/kernels.hpp"

namespace tenon {

// Runs `kernel`, then divides what it wrote, as elements of type T, by the divisor's integer part, towards zero.
template <class T>
void reduce_and_divide(ReduceKernel kernel, const ReduceArguments& arguments);

}  // namespace tenon
