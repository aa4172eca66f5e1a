// What quantising a row must give, one element at a time and straight from the words in tenon/moe.h. Elements, codes
// and scales are their bits. Needs the standard floating-point mode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon::reference {

struct QuantisedRow {
    std::vector<std::uint8_t> codes;
    std::vector<std::uint32_t> scales;
};
QuantisedRow quantised(DataType source, std::span<const std::uint64_t> row, DataType codes);

}  // namespace tenon::reference
