// The reference itself, against small cases worked out by hand, and its comparison, against results that are wrong.
#include "tests/support/reference.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/seed.hpp"

namespace tenon::support {
namespace {

std::vector<std::int32_t> numbers(const std::vector<std::byte>& bytes) {
    std::vector<std::int32_t> values(bytes.size() / sizeof(std::int32_t));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

class Three : public ::testing::TestWithParam<Collective> {
protected:
    const Reference reference{
        {.collective = GetParam(), .type = DataType::int32, .rank_count = 3, .root = 2, .count = 2},
        Values::exact,
        false,
        test_seed()};
    std::vector<std::int32_t> in(Rank rank) const { return numbers(reference.input(rank)); }
    std::vector<std::int32_t> out(Rank rank) const { return numbers(reference.output(rank)); }
    // Element i of the sum of all inputs.
    std::int32_t sum(std::size_t i) const {
        std::uint32_t total = 0;
        for (Rank r = 0; r < 3; r++) total += static_cast<std::uint32_t>(in(r)[i]);
        return static_cast<std::int32_t>(total);
    }
};

using Numbers = std::vector<std::int32_t>;

TEST_P(Three, RanksGetWhatTheDefinitionSays) {
    switch (GetParam()) {
        case Collective::all_reduce: EXPECT_EQ(out(1), (Numbers{sum(0), sum(1)})); break;
        case Collective::reduce:
            EXPECT_EQ(out(2), (Numbers{sum(0), sum(1)}));
            EXPECT_EQ(out(1), Numbers{});
            break;
        case Collective::broadcast: EXPECT_EQ(out(0), in(2)); break;
        case Collective::reduce_scatter: EXPECT_EQ(out(1), (Numbers{sum(2), sum(3)})); break;
        case Collective::all_gather:
            EXPECT_EQ(out(1), (Numbers{in(0)[0], in(0)[1], in(1)[0], in(1)[1], in(2)[0], in(2)[1]}));
            break;
        case Collective::all_to_all:
            EXPECT_EQ(out(1), (Numbers{in(0)[2], in(0)[3], in(1)[2], in(1)[3], in(2)[2], in(2)[3]}));
            break;
        case Collective::gather:
            EXPECT_EQ(out(2), (Numbers{in(0)[0], in(0)[1], in(1)[0], in(1)[1], in(2)[0], in(2)[1]}));
            EXPECT_EQ(out(0), Numbers{});
            break;
        case Collective::scatter: EXPECT_EQ(out(1), (Numbers{in(2)[2], in(2)[3]})); break;
        default: EXPECT_EQ(out(0), Numbers{});
    }
}

INSTANTIATE_TEST_SUITE_P(Collectives, Three,
                         ::testing::Values(Collective::all_reduce, Collective::reduce, Collective::broadcast,
                                           Collective::reduce_scatter, Collective::all_gather, Collective::all_to_all,
                                           Collective::gather, Collective::scatter, Collective::barrier),
                         [](const auto& collective) { return std::string{name_of(collective.param)}; });

TEST(ReferenceComparison, NoticesOneWrongBitWhereBitsCount) {
    const Reference reference(
        {.collective = Collective::all_reduce, .type = DataType::float16, .rank_count = 3, .count = 10'000},
        Values::exact, false, test_seed());
    std::vector<std::byte> got = reference.output(0);
    EXPECT_EQ(reference.difference(0, got), std::nullopt);
    got[2 * 9'999] ^= std::byte{1};
    EXPECT_NE(reference.difference(0, got).value_or("").find("element 9999"), std::string::npos);
}

TEST(ReferenceComparison, AllowsRoundingAndNoMore) {
    const Reference reference(
        {.collective = Collective::reduce_scatter, .type = DataType::float32, .rank_count = 4, .count = 5'000},
        Values::ordinary, false, test_seed());
    std::vector<std::byte> got = reference.output(3);
    const std::uint64_t right = load_element(got.data() + 4 * 4'321, 4);
    store_element(got.data() + 4 * 4'321, 4, right ^ 1);
    EXPECT_EQ(reference.difference(3, got), std::nullopt);
    store_element(got.data() + 4 * 4'321, 4, right ^ 1 << 16);
    EXPECT_NE(reference.difference(3, got).value_or("").find("element 4321"), std::string::npos);
}

TEST(ReferenceValues, SumsOfExactOnesAreTheSameInEveryOrder) {
    for (const DataType type :
         {DataType::float8_e5m2, DataType::float8_e4m3, DataType::bfloat16, DataType::float16, DataType::float32}) {
        auto random = random_generator();
        for (const ReduceOp op : {ReduceOp::sum, ReduceOp::prod}) {
            const Pattern p = Pattern::random(type, pattern_period, Values::exact, &op, random);
            for (std::size_t i = 0; i + 8 <= p.period(); i += 8) {
                std::vector<std::uint64_t> elements;
                for (std::size_t k = 0; k < 8; k++) elements.push_back(p[i + k]);
                std::uint64_t folded = elements[0];
                for (std::size_t k = 1; k < 8; k++) folded = reduced(type, op, std::vector{folded, elements[k]});
                ASSERT_EQ(folded, reduced(type, op, elements)) << name_of(type) << " " << name_of(op);
            }
        }
    }
}

}  // namespace
}  // namespace tenon::support
