#include "tests/support/quantised_reference.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "tests/unit/reduction_reference.hpp"

namespace tenon::reference {

QuantisedRow quantised(DataType source, std::span<const std::uint64_t> row, DataType codes) {
    const bool is_int8 = codes == DataType::int8;
    const std::size_t block = is_int8 ? row.size() : 128;
    QuantisedRow made;
    for (std::size_t first = 0; first < row.size(); first += block) {
        float largest = 0;
        bool all_finite = true;
        const auto elements = row.subspan(first, std::min(block, row.size() - first));
        for (const std::uint64_t bits : elements) {
            const auto value = static_cast<float>(value_of(source, bits));
            all_finite = all_finite && std::isfinite(value);
            if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
        }
        const float scale = std::max(largest / (is_int8 ? 127.0F : 448.0F), std::ldexp(1.0F, -126));
        const float factor = 1 / scale;
        const bool is_lost = is_int8 && !all_finite;
        made.scales.push_back(is_lost ? 0x7fc00000 : std::bit_cast<std::uint32_t>(scale));
        for (const std::uint64_t bits : elements) {
            const float scaled = static_cast<float>(value_of(source, bits)) * factor;
            if (!is_int8)
                made.codes.push_back(static_cast<std::uint8_t>(nearest(DataType::float8_e4m3, scaled)));
            else
                made.codes.push_back(static_cast<std::uint8_t>(
                    is_lost ? std::int8_t{0} : static_cast<std::int8_t>(std::nearbyint(scaled))));
        }
    }
    return made;
}

}  // namespace tenon::reference
