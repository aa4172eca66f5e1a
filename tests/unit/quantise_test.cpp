// Quantised rows against the definition, bit for bit, on every instruction set: types, lengths around the blocks' ends,
// zeros, denormals, the largest values, infinities and NaNs, any alignment; and how far a code is from its element.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "reduction/quantise.hpp"
#include "tests/support/quantised_reference.hpp"
#include "tests/support/seed.hpp"
#include "tests/unit/reduction_elements.hpp"
#include "tests/unit/reduction_reference.hpp"
#include "tests/unit/reduction_targets.hpp"

namespace tenon {
namespace {

constexpr std::byte untouched{0xa5};
constexpr std::size_t margin = 64;

std::vector<std::uint64_t> bits_of(DataType type, const std::vector<std::byte>& row) {
    std::vector<std::uint64_t> bits;
    for (std::size_t i = 0; i < row.size() / element_bytes(type); i++) bits.push_back(ElementView(type, row.data())[i]);
    return bits;
}

// One row at an odd place, and nothing beside it.
reference::QuantisedRow quantised(DataType source, DataType codes, const std::vector<std::byte>& row) {
    const std::size_t elements = row.size() / element_bytes(source), scales = scales_of_row(codes, elements);
    std::vector<std::byte> in(row.size() + 1), out(2 * margin + elements + 4 * scales + 1, untouched);
    std::memcpy(in.data() + 1, row.data(), row.size());
    std::byte* const at = out.data() + margin + 1;
    run_quantise(quantise_kernel(source, codes),
                 {.source = in.data() + 1, .source_row_bytes = row.size(), .rows = 1, .elements = elements, .codes = at,
                  .stride = elements + 4 * scales});
    for (std::size_t i = 0; i < margin; i++)
        EXPECT_TRUE(out[i] == untouched && at[elements + 4 * scales + i] == untouched);
    reference::QuantisedRow made{.codes = std::vector<std::uint8_t>(elements),
                                 .scales = std::vector<std::uint32_t>(scales)};
    std::memcpy(made.codes.data(), at, elements);
    if (scales != 0) std::memcpy(made.scales.data(), at + elements, 4 * scales);
    return made;
}

// Rows of random elements with specials; and of one kind alone.
std::vector<std::vector<std::byte>> rows_of(DataType type, std::size_t elements, std::mt19937_64& random) {
    std::vector<std::vector<std::byte>> rows{random_elements(type, elements, random)};
    std::vector<std::uint64_t> kinds = reference::special_elements(type);
    kinds.push_back(reference::nearest(type, 1.5));
    for (const std::uint64_t kind : kinds) {
        rows.emplace_back(elements * element_bytes(type));
        for (std::size_t i = 0; i < elements; i++) ElementView(type, rows.back().data()).set(i, kind);
        if (elements > 3) ElementView(type, rows.back().data()).set(elements / 2, reference::nearest(type, -0.75));
    }
    // Finite alone, of magnitudes far apart.
    rows.emplace_back(elements * element_bytes(type));
    for (std::size_t i = 0; i < elements; i++)
        ElementView(type, rows.back().data())
            .set(i, reference::nearest(type, std::ldexp(static_cast<double>(random() % 2001) / 1000 - 1,
                                                        static_cast<int>(random() % 12) - 8)));
    return rows;
}

class Quantised : public testing::TestWithParam<DataType> {};
TEST_P(Quantised, RowsFollowTheDefinition) {
    auto random = support::random_generator(11);
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    for_each_reduction_target([&] {
        for (const DataType codes : {DataType::float8_e4m3, DataType::int8})
            for (const std::size_t elements : {1, 3, 16, 127, 128, 129, 300})
                for (const std::vector<std::byte>& row : rows_of(GetParam(), elements, random)) {
                    const auto wanted = reference::quantised(GetParam(), bits_of(GetParam(), row), codes);
                    const auto made = quantised(GetParam(), codes, row);
                    ASSERT_EQ(made.scales, wanted.scales) << name_of(codes) << ", " << elements << " elements";
                    ASSERT_EQ(made.codes, wanted.codes) << name_of(codes) << ", " << elements << " elements";
                }
    });
}
INSTANTIATE_TEST_SUITE_P(Types, Quantised, testing::Values(DataType::float32, DataType::bfloat16, DataType::float16),
                         type_name);

// What is made of the codes again is within half a step of what was quantised.
TEST(QuantisedRows, AreCloseToTheirElements) {
    auto random = support::random_generator(12);
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    constexpr std::size_t elements = 1000;
    std::vector<float> row(elements);
    for (float& x : row) x = std::ldexp(static_cast<float>(random() % 2001) / 1000 - 1, static_cast<int>(random() % 9));
    std::vector<std::byte> bytes(elements * sizeof(float));
    std::memcpy(bytes.data(), row.data(), bytes.size());
    for (const DataType codes : {DataType::float8_e4m3, DataType::int8}) {
        const auto made = quantised(DataType::float32, codes, bytes);
        for (std::size_t i = 0; i < elements; i++) {
            const bool is_int8 = codes == DataType::int8;
            const float scale = std::bit_cast<float>(made.scales[is_int8 ? 0 : i / 128]);
            const auto code = is_int8 ? static_cast<float>(static_cast<std::int8_t>(made.codes[i]))
                                      : static_cast<float>(reference::value_of(codes, made.codes[i]));
            // e4m3 has 3 bits behind the leading one, and denormals' steps of 2^-9.
            const float half_step =
                is_int8 ? scale / 2 : std::max(std::fabs(row[i]) / 16, scale * std::ldexp(1.0F, -10));
            EXPECT_LE(std::fabs(code * scale - row[i]), half_step * 1.0001F) << name_of(codes) << " " << i;
        }
    }
}

}  // namespace
}  // namespace tenon
