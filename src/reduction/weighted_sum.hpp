// The sum that a combine of MoE makes of a token's contributions: weighted, in groups, in a fixed order.
//
// Of each group the products weight * source are added in float32 in the order given, the first product beginning the
// sum; the group's sum is rounded to the partial type; the groups' sums are added in float32 in their order; the result
// is rounded once to the output's type. Every product and every sum is rounded to float32 by itself (nothing is fused),
// NaNs come out canonical: the same bits on every machine and for every alignment. No source: zeros. Thread-safe; no
// state.
#pragma once

#include "tenon/plugin/types.hpp"

namespace tenon {

struct Contribution {
    const void* source = nullptr;  // of the input's type; any alignment
    float weight = 1;
    bool ends_group = false;       // of the last contribution: no matter
};

struct WeightedSum {
    void* destination = nullptr;   // of the output's type; any alignment; no source overlaps it
    const Contribution* contributions = nullptr;
    std::uint32_t count = 0;
    std::uint64_t elements = 0;
};

// Types that can be summed so.
constexpr bool has_weighted_sum(DataType type) {
    return type == DataType::float32 || type == DataType::bfloat16 || type == DataType::float16;
}

// Of the types, one may be narrow: each is that one or float32.
struct WeightedSumTypes {
    DataType input = DataType::float32, partial = DataType::float32, output = DataType::float32;
};
using WeightedSumKernel = void (*)(const WeightedSum&);
WeightedSumKernel weighted_sum_kernel(const WeightedSumTypes& types);

// Runs it, in the standard floating-point mode.
void run_weighted_sum(WeightedSumKernel kernel, const WeightedSum& sum);

}  // namespace tenon
