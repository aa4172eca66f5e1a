// What tenon-perf says that a call moves: complete, within the buffers, the same on both sides, counted as nccl-tests
// does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perf/shape.hpp"
#include "perf/timing.hpp"

namespace tenon::perf {
namespace {

class Shapes : public testing::TestWithParam<std::tuple<int, Rank>> {
protected:
    Collective collective() const { return static_cast<Collective>(std::get<0>(GetParam())); }
    Rank ranks() const { return std::get<1>(GetParam()); }
    Shape shape(Rank rank, Rank root, std::uint64_t bytes) const {
        return make_shape(collective(), DataType::int32, rank, ranks(), root, bytes);
    }
};

TEST_P(Shapes, ThePartsOfTheOutputCoverItFromWithinTheInputs) {
    for (const std::uint64_t bytes : {1, 8, 100, 4096, 99'999})
        for (const Rank root : {Rank{0}, ranks() - 1})
            for (Rank rank = 0; rank < ranks(); rank++) {
                const Shape own = shape(rank, root, bytes);
                std::uint64_t covered = 0;
                for (const Part& part : own.output) {
                    EXPECT_EQ(covered, part.output_first);
                    covered += part.count;
                    const Shape from = shape(part.from == everyone ? 0 : part.from, root, bytes);
                    EXPECT_LE(part.input_first + part.count, from.input_length);
                }
                EXPECT_EQ(own.output_length, covered);
            }
}

TEST_P(Shapes, InPlaceTheOutputLiesWhereTheOwnShareOfTheInputIs) {
    for (Rank rank = 0; rank < ranks(); rank++) {
        const Shape own = shape(rank, 0, 4096);
        if (!own.can_be_in_place || own.output_length == 0 || own.input_length == 0) continue;
        const std::uint64_t smaller = std::min(own.input_length, own.output_length),
                            larger = std::max(own.input_length, own.output_length);
        EXPECT_EQ(larger, own.length_in_place());
        EXPECT_LE(own.input_first_in_place + own.output_first_in_place + smaller, larger);
    }
}

TEST_P(Shapes, BothSidesOfABlockHaveOneLength) {
    if (collective() != Collective::all_to_all_v) return;
    for (Rank from = 0; from < ranks(); from++)
        for (Rank to = 0; to < ranks(); to++)
            EXPECT_EQ(shape(from, 0, 4096).send_counts[static_cast<std::size_t>(to)],
                      shape(to, 0, 4096).receive_counts[static_cast<std::size_t>(from)]);
}

INSTANTIATE_TEST_SUITE_P(Perf, Shapes,
                         testing::Combine(testing::Range(0, static_cast<int>(Collective::moe_dispatch)),
                                          testing::Values(1, 2, 3, 4, 8)),
                         [](const auto& test) {
                             return std::string(name_of(static_cast<Collective>(std::get<0>(test.param)))) + "_" +
                                    std::to_string(std::get<1>(test.param));
                         });

TEST(ShapeSizes, AreThoseOfNcclTests) {
    EXPECT_EQ(16U, make_shape(Collective::all_reduce, DataType::float32, 0, 4, 0, 64).count);
    const Shape gathers = make_shape(Collective::all_gather, DataType::float32, 1, 4, 0, 64);
    EXPECT_EQ(4U, gathers.count);
    EXPECT_EQ(16U, gathers.output_length);
    EXPECT_EQ(4U, gathers.input_first_in_place);
    EXPECT_EQ(4U, make_shape(Collective::reduce_scatter, DataType::float32, 1, 4, 0, 64).output_length);
}

TEST(ShapeSizes, AreRaisedToOneElementARank) {
    EXPECT_EQ(16U, usable_bytes(Collective::all_gather, DataType::float32, 4, 8));
    EXPECT_EQ(4U, usable_bytes(Collective::all_reduce, DataType::float32, 4, 1));
    EXPECT_EQ(48U, usable_bytes(Collective::all_to_all, DataType::float32, 3, 59));
    EXPECT_EQ(0U, usable_bytes(Collective::barrier, DataType::int8, 3, 59));
}

TEST(ShapeSizes, OfAllToAllVAreThoseOfTheComparisonWithThePeers) {
    const Shape own = make_shape(Collective::all_to_all_v, DataType::int8, 0, 4, 0, 400);
    EXPECT_THAT(own.send_counts, testing::ElementsAre(50, 200, 100, 50));
}

TEST(BusBandwidth, HasTheFactorsOfNcclTests) {
    EXPECT_DOUBLE_EQ(1.5, bus_factor(Collective::all_reduce, 4));
    EXPECT_DOUBLE_EQ(0.75, bus_factor(Collective::all_to_all, 4));
    EXPECT_DOUBLE_EQ(1, bus_factor(Collective::broadcast, 4));
}

TEST(Statistics, MedianAndPercentiles) {
    EXPECT_DOUBLE_EQ(2, median({3, 1, 2}));
    EXPECT_DOUBLE_EQ(2.5, median({4, 1, 3, 2}));
    std::vector<double> hundred(100);
    for (int i = 0; i < 100; i++) hundred[static_cast<std::size_t>(i)] = i + 1;
    EXPECT_DOUBLE_EQ(50, percentile(hundred, 50));
    EXPECT_DOUBLE_EQ(99, percentile(hundred, 99));
    EXPECT_DOUBLE_EQ(7, percentile({7}, 99));
}

}  // namespace
}  // namespace tenon::perf
