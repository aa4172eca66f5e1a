// Rows of floats as codes of 8 bits with float32 scales: what a dispatch of MoE sends where rows are quantised.
//
//   float8_e4m3  a scale for each block of 128 elements (the last may be shorter)
//   int8         a scale for each row
// Of a block or row, `largest` is the largest magnitude of its finite elements, scale = max(largest / top, 2^-126) with
// top = 448 (e4m3) or 127 (int8), and code = nearest(element * (1 / scale)), ties to even; each division and product is
// rounded to float32 by itself. So an element is about code * scale, and zeros stay zeros (whose scale is 2^-126).
// What is not finite: e4m3 has a NaN, which NaNs and infinities become (0x7f), and the block's other elements do not
// suffer; int8 has none, so that the row's scale becomes NaN (0x7fc00000) and its codes zeros. The same bits on every
// machine. Thread-safe; no state.
#pragma once

#include "tenon/plugin/types.hpp"

namespace tenon {

inline constexpr std::uint64_t elements_of_float8_scale = 128;

constexpr bool is_quantised(DataType type) { return type == DataType::float8_e4m3 || type == DataType::int8; }

constexpr std::uint64_t scales_of_row(DataType codes, std::uint64_t elements) {
    if (!is_quantised(codes)) return 0;
    return codes == DataType::int8 ? 1 : (elements + elements_of_float8_scale - 1) / elements_of_float8_scale;
}

// A row's `elements`, one or more, of the source's type -> as many codes, and its scales; any alignment, nothing
// overlaps.
using QuantiseKernel = void (*)(const void* row, std::uint64_t elements, void* codes, void* scales);

// source: float32, bfloat16 or float16; codes: see is_quantised().
QuantiseKernel quantise_kernel(DataType source, DataType codes);

// Runs it for `rows` rows that follow each other, in the standard floating-point mode; row i's codes begin at
// codes + i * stride, its scales behind them.
struct QuantisedRows {
    const void* source = nullptr;
    std::uint64_t source_row_bytes = 0, rows = 0, elements = 0;
    std::byte* codes = nullptr;
    std::uint64_t stride = 0;
};
void run_quantise(QuantiseKernel kernel, const QuantisedRows& rows);

}  // namespace tenon
