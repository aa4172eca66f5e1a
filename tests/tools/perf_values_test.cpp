// tenon-perf's own reference: it agrees with the library's kernels whatever the order of the sum, and finds every
// mistake.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "perf/values.hpp"
#include "reduction/kernels.hpp"

namespace tenon::perf {
namespace {

constexpr std::uint64_t elements = 1500;  // more than one block of the comparison

ReduceOp library_operation(Operation operation) {
    return operation == Operation::mulsum ? ReduceOp::sum : static_cast<ReduceOp>(operation);
}

class Reductions : public testing::TestWithParam<std::tuple<int, int, Rank>> {
protected:
    DataType type() const { return static_cast<DataType>(std::get<0>(GetParam())); }
    Operation operation() const { return static_cast<Operation>(std::get<1>(GetParam())); }
    Rank ranks() const { return std::get<2>(GetParam()); }
    std::size_t bytes() const { return elements * element_bytes(type()); }

    // Rank by rank, rounded to the type each time: the worst order there is.
    std::vector<std::byte> reduced(const Values& values, bool backwards) const {
        std::vector<std::byte> result(bytes()), next(bytes());
        for (Rank i = 0; i < ranks(); i++) {
            const Rank rank = backwards ? ranks() - 1 - i : i;
            values.contribution(next.data(), rank, 0, elements);
            if (operation() == Operation::mulsum) {
                const std::uint64_t factor = Values::factor_bits(type(), rank);
                scale_elements(type(), next.data(), next.data(), &factor, elements);
            }
            if (i == 0) {
                result = next;
                if (ranks() > 1) continue;
            }
            const void* both[] = {result.data(), next.data()};
            const bool last = i + 1 == ranks();
            reduce_kernel(type(), library_operation(operation()))({
                .destination = result.data(),
                .sources = both,
                .source_count = ranks() > 1 ? 2U : 1U,
                .elements = elements,
                .divisor = last && operation() == Operation::avg ? static_cast<double>(ranks()) : 1.0,
            });
        }
        return result;
    }
};

TEST_P(Reductions, AreWhatTheKernelsGiveInAnyOrder) {
    const Values values{type(), operation(), ranks(), 3};
    EXPECT_EQ(0U, values.wrong_reduction(reduced(values, false).data(), 0, elements));
    EXPECT_EQ(0U, values.wrong_reduction(reduced(values, true).data(), 0, elements));
}

TEST_P(Reductions, AContributionLeftOutIsFound) {
    if (ranks() == 1) return;
    const Values values{type(), operation(), ranks(), 3};
    // One rank's share in place of the whole.
    std::vector<std::byte> one(bytes());
    values.contribution(one.data(), 0, 0, elements);
    EXPECT_GT(values.wrong_reduction(one.data(), 0, elements), elements / 20);
}

TEST_P(Reductions, EveryElementCounts) {
    const Values values{type(), operation(), ranks(), 1};
    std::vector<std::byte> result(bytes());
    values.reduction(result.data(), 0, elements);
    ASSERT_EQ(0U, values.wrong_reduction(result.data(), 0, elements));
    const std::size_t width = element_bytes(type());
    for (const std::uint64_t at : {std::uint64_t{0}, elements / 2, elements - 1}) {
        // The third bit from below: further than the unit in the last place that an average may be off.
        result[at * width] ^= std::byte{4};
        EXPECT_EQ(1U, values.wrong_reduction(result.data(), 0, elements)) << "element " << at;
        result[at * width] ^= std::byte{4};
    }
}

INSTANTIATE_TEST_SUITE_P(Perf, Reductions,
                         testing::Combine(testing::Range(0, static_cast<int>(data_type_count)),
                                          testing::Range(0, static_cast<int>(operation_count)),
                                          testing::Values(1, 2, 5, 16, 300)),
                         [](const auto& test) {
                             return std::string(name_of(static_cast<DataType>(std::get<0>(test.param)))) + "_" +
                                    std::string(name_of(static_cast<Operation>(std::get<1>(test.param)))) + "_" +
                                    std::to_string(std::get<2>(test.param));
                         });

TEST(Copies, DifferByRankPositionAndTurn) {
    const Values values{DataType::int8, Operation::sum, 4, 1}, later{DataType::int8, Operation::sum, 4, 2};
    std::vector<std::byte> bytes(elements);
    values.copied(bytes.data(), 1, 10, elements);
    EXPECT_EQ(0U, values.wrong_copied(bytes.data(), 1, 10, elements));
    for (const std::uint64_t wrong :
         {values.wrong_copied(bytes.data(), 2, 10, elements), values.wrong_copied(bytes.data(), 1, 11, elements),
          values.wrong_copied(bytes.data(), 1, 18, elements), later.wrong_copied(bytes.data(), 1, 10, elements)})
        EXPECT_GT(wrong, elements * 9 / 10);
}

TEST(Copies, AreTheSameWhereverTheyAreCut) {
    const Values values{DataType::int16, Operation::sum, 4, 7};
    std::vector<std::int16_t> whole(elements), pieces(elements);
    values.copied(whole.data(), 2, 0, elements);
    for (std::uint64_t first = 0; first < elements; first += 37)
        values.copied(pieces.data() + first, 2, first, std::min<std::uint64_t>(37, elements - first));
    EXPECT_EQ(whole, pieces);
}

TEST(Encoding, RoundsToNearestEven) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(-2.5F), encode(DataType::float32, -2.5));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(1.0 / 3), encode(DataType::float64, 1.0 / 3));
    EXPECT_EQ(0x3c00U, encode(DataType::float16, 1));
    EXPECT_EQ(0x3c00U, encode(DataType::float16, 1 + 0x1p-11));  // a tie
    EXPECT_EQ(0x3c02U, encode(DataType::float16, 1 + 3 * 0x1p-11));
    EXPECT_EQ(0x0001U, encode(DataType::float16, 0x1p-24));            // the smallest number
    EXPECT_EQ(0x0400U, encode(DataType::float16, 0x1p-14 - 0x1p-26));  // rounds up to the first normal number
    EXPECT_EQ(0x4049U, encode(DataType::bfloat16, 3.14159));
    EXPECT_EQ(0x7eU, encode(DataType::float8_e4m3, 448));
    EXPECT_EQ(0xbcU, encode(DataType::float8_e5m2, -1));
    EXPECT_EQ(0x80U, encode(DataType::int8, -128) & 0xff);
}

}  // namespace
}  // namespace tenon::perf
