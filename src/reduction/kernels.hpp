// Element-wise reductions: one kernel per data type and operation, chosen for the machine when the program starts.
//
// 16- and 8-bit floats are computed in float32 and rounded once, to nearest even, when stored. NaNs come out as the one
// canonical NaN of the type, -0 < +0 for min and max, nothing is fused: the same bits on every machine.
// Pointers need no alignment. A destination may be the same memory as a source, element for element; no other overlap.
// Thread-safe; no state.
#pragma once

#include <cstring>

#include "tenon/plugin/types.hpp"

namespace tenon {

struct ReduceArguments {
    void* destination = nullptr;
    void* second_destination = nullptr;  // may be null; gets the same values
    const void* const* sources = nullptr;
    std::uint32_t source_count = 0;      // at least 1
    std::uint64_t elements = 0;
    double divisor = 1;                  // the result is divided by it (avg's finish); 1: not
    bool stream_destination = false;     // non-temporal stores to `destination`
    bool stream_second = false;  // and to the second; to both only where they are equally far from a line's start
};

// destination[i] = the tree over sources[0 .. source_count) at i: [0, n) splits at the largest power of two below n.
// avg adds; the division is `divisor`'s. Integers divide towards zero.
using ReduceKernel = void (*)(const ReduceArguments&);

ReduceKernel reduce_kernel(DataType type, ReduceOp op);
// destination[i] = destination[i] op source[i]: what a device's reduction does.
void reduce_into(void* destination, const void* source, ElementCount elements, DataType type, ReduceOp op);

// destination = source * factor, in float32 for 16- and 8-bit floats; integers are multiplied in their own type
// (modulo 2^bits) by the factor cast to it. The factor is a value of the type itself, as the C API gives it.
void scale_elements(DataType type, void* destination, const void* source, const void* factor, std::uint64_t elements);

// memcpy by vectors.
void copy_vectors(void* destination, const void* source, std::size_t bytes);

// memcpy, for what users' buffers hold. The C library's copies from 2 KiB on by one string instruction, which AMD's
// Zen 3 runs 20 to 30 times slower where the destination lies 1 to 31 bytes behind the source modulo 4096 (perf's
// reduction_benchmark): as from a slot at the start of a page into a large buffer of malloc's, 16 bytes behind one.
inline void copy_bytes(void* destination, const void* source, std::size_t bytes) {
    constexpr std::size_t page = 4096, near = 32, least_by_string = 2 << 10;
    const std::size_t behind =
        (reinterpret_cast<std::uintptr_t>(destination) - reinterpret_cast<std::uintptr_t>(source)) % page;
    if (behind == 0 || behind >= near || bytes < least_by_string)
        std::memcpy(destination, source, bytes);
    else
        copy_vectors(destination, source, bytes);
}

// memcpy with non-temporal stores where the machine has them; a store fence is included.
void copy_streaming(void* destination, const void* source, std::size_t bytes);

// The instruction set that was chosen ("AVX3_ZEN4", "AVX2", ...), for `tenon info`.
const char* reduction_target();

}  // namespace tenon
