// What the reductions must give, one element at a time and straight from the definitions: no vectors, no bit tricks.
//
// An element is its bits, in the low end of a std::uint64_t. Floats are decoded to double, which is exact for all
// types, and encoded by dividing by the last place's worth and rounding to an integer. Needs the standard
// floating-point mode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon::reference {

bool is_float(DataType type);
bool is_nan(DataType type, std::uint64_t bits);
bool is_finite(DataType type, std::uint64_t bits);  // integers always are
std::uint64_t canonical_nan(DataType type);
std::uint64_t nearest(DataType type, double value);  // float types only
double value_of(DataType type, std::uint64_t bits);  // float types only

// The tree over the sources' elements, then the division.
std::uint64_t reduce(DataType type, ReduceOp op, std::span<const std::uint64_t> elements, double divisor);
std::uint64_t scale(DataType type, std::uint64_t element, std::uint64_t factor);

// Zeros, infinities, NaNs of several payloads, denormals, the largest values and their neighbours.
std::vector<std::uint64_t> special_elements(DataType type);

}  // namespace tenon::reference
