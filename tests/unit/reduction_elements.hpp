// Buffers of elements for the tests of the reductions, and what the reference makes of them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon {

inline constexpr std::array<DataType, data_type_count> every_data_type = {
    DataType::int8,        DataType::uint8,       DataType::int32,   DataType::uint32,  DataType::int64,
    DataType::uint64,      DataType::float16,     DataType::float32, DataType::float64, DataType::bfloat16,
    DataType::float8_e4m3, DataType::float8_e5m2, DataType::int16,   DataType::uint16,
};

// For the names of parametrised tests.
inline std::string type_name(const testing::TestParamInfo<DataType>& type) { return std::string{name_of(type.param)}; }

// Elements in memory, as their bits.
class ElementView {
public:
    ElementView(DataType type, const std::byte* data) : type_{type}, data_{const_cast<std::byte*>(data)} {}
    std::uint64_t operator[](std::size_t i) const;
    void set(std::size_t i, std::uint64_t bits) const;

private:
    DataType type_;
    std::byte* data_;
};


// Ordinary values, specials without and with infinities and NaNs, and random bits take turns by position, so that sums
// over many sources do not all end as NaN.
std::vector<std::byte> random_elements(DataType type, std::size_t count, std::mt19937_64& random);

std::vector<std::byte> reference_result(DataType type, ReduceOp op, std::span<const std::vector<std::byte>> sources,
                                        double divisor);

}  // namespace tenon
