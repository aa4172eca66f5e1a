// Deterministic mode: the bits of a reduction are those of the one tree over ranks, whatever the size, memory,
// algorithm and whether in place; NaNs, infinities, denormals and both zeros are among the inputs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "library/registry.hpp"
#include "selection/selection.hpp"
#include "tests/conformance/cases.hpp"
#include "tests/conformance/local_job.hpp"
#include "tests/support/seed.hpp"

namespace tenon::conformance {
namespace {

using support::Memory;
using support::Reference;
using support::Shape;
using support::Values;

constexpr DataType rounding_types[] = {DataType::float32, DataType::float16, DataType::bfloat16, DataType::float8_e4m3,
                                       DataType::float8_e5m2, DataType::float64};

Config deterministic() {
    Config config = config_of_environment();
    config.deterministic = true;
    return config;
}

Config deterministic(const Algorithm& algorithm) {
    Config config = deterministic();
    config.algorithms = {{.collective = algorithm.collective, .name = std::string{algorithm.name}}};
    return config;
}

bool forms_the_tree(const Algorithm& algorithm, Rank rank_count) {
    return reduces(algorithm.collective) &&
           (algorithm.deterministic ||
            (algorithm.deterministic_by_powers && std::has_single_bit(static_cast<unsigned>(rank_count))));
}

// Every way to call a reduction that may not change its bits.
class DeterministicWays : public ::testing::TestWithParam<Rank> {
protected:
    Rank rank_count() const { return GetParam(); }

    void expect_tree(LocalJob& job, Collective collective, Memory memory, bool only_wide = false) {
        for (const DataType type : rounding_types) {
            if (only_wide && is_narrow_float(type)) continue;
            for (const std::size_t count : {1, 7, 1025, 20'011})
                for (const ReduceOp op : {ReduceOp::sum, ReduceOp::avg}) {
                    const Shape shape{collective, type, op, rank_count(), rank_count() / 2, count};
                    const Reference reference(shape, Values::special, true, support::test_seed());
                    for (const bool in_place : {false, true}) job.expect_right(reference, in_place, memory);
                }
        }
    }
};

TEST_P(DeterministicWays, GiveTheBitsOfTheTreeWithEveryAlgorithmThatClaimsIt) {
    for (const Algorithm& algorithm : algorithms()) {
        if (!forms_the_tree(algorithm, rank_count()) || !serves(algorithm, {.rank_count = rank_count()})) continue;
        SCOPED_TRACE(algorithm.name);
        for (const DirectAccess access : {DirectAccess::off, DirectAccess::automatic}) {
            Config config = deterministic(algorithm);
            config.direct_access = access;
            LocalJob job(rank_count(), config);
            expect_tree(job, algorithm.collective, access == DirectAccess::off ? Memory::ordinary : Memory::tenon,
                        !algorithm.deterministic);
        }
    }
}

TEST_P(DeterministicWays, GiveTheBitsOfTheTreeWithWhatTheLibraryChooses) {
    LocalJob job(rank_count(), deterministic());
    for (const Collective collective : {Collective::all_reduce, Collective::reduce, Collective::reduce_scatter})
        expect_tree(job, collective, Memory::ordinary);
}

INSTANTIATE_TEST_SUITE_P(Ranks, DeterministicWays, ::testing::Range<Rank>(2, 17), ::testing::PrintToStringParamName());

TEST(DeterministicMode, CoversLargeSizes) {
    LocalJob job(4, deterministic());
    const Reference reference({Collective::all_reduce, DataType::bfloat16, ReduceOp::sum, 4, 0, 1'048'579},
                              Values::special, true, support::test_seed());
    job.expect_right(reference, false, Memory::ordinary);
}

TEST(DeterministicMode, RefusesToRoundPartialSums) {
    for (const Algorithm& algorithm : algorithms()) {
        if (!algorithm.deterministic_by_powers) continue;
        LocalJob job(4, deterministic(algorithm));
        job.run([&](Communicator& communicator) {
            std::vector<float> input(100), output(100);
            for (const DataType type : rounding_types) {
                const Shape shape{algorithm.collective, type, ReduceOp::sum, 4, 0, 7};
                const auto ran = communicator.run(call_of(shape, input.data(), output.data()));
                ASSERT_EQ(ran.has_value(), !is_narrow_float(type)) << algorithm.name;
                if (!ran) {
                    EXPECT_EQ(ran.error().status, Status::invalid_usage);
                    EXPECT_THAT(ran.error().message, testing::HasSubstr("16-bit float"));
                }
            }
        });
    }
}

TEST(DeterministicMode, RefusesAlgorithmsThatAddInAnotherOrder) {
    for (const Algorithm& algorithm : algorithms()) {
        if (algorithm.deterministic || !reduces(algorithm.collective)) continue;
        LocalJob job(3, deterministic(algorithm));
        const Shape shape{algorithm.collective, DataType::float32, ReduceOp::sum, 3, 0, 100};
        job.run([&](Communicator& communicator) {
            std::vector<float> input(300), output(300);
            const auto ran = communicator.run(call_of(shape, input.data(), output.data()));
            ASSERT_FALSE(ran) << algorithm.name;
            EXPECT_EQ(ran.error().status, Status::invalid_usage);
            EXPECT_NE(ran.error().message.find(algorithm.name), std::string::npos) << ran.error().message;
            EXPECT_TRUE(communicator.run({.collective = Collective::barrier})) << "the communicator stays usable";
        });
    }
}

// Without the mode, rounding may differ from the tree's, but not from run to run.
TEST(WithoutDeterministicMode, TheSameCallGivesTheSameBitsAgain) {
    for (const Algorithm* algorithm : algorithms_of(Collective::all_reduce)) {
        LocalJob job(4, config_of({.algorithm = algorithm, .shape = {.rank_count = 4}}));
        const Reference reference({Collective::all_reduce, DataType::float16, ReduceOp::sum, 4, 0, 30'011},
                                  Values::ordinary, false, support::test_seed());
        job.run([&](Communicator& communicator) {
            std::vector<std::byte> first;
            for (int call = 0; call < 20; call++) {
                const support::CallBuffers buffers(reference, communicator.rank(), call % 2 == 1, Memory::ordinary);
                ASSERT_TRUE(communicator.run(call_of(reference.shape(), buffers.send(), buffers.receive())));
                const auto* result = static_cast<const std::byte*>(buffers.receive());
                if (call == 0) first.assign(result, result + 2 * 30'011);
                ASSERT_TRUE(std::equal(first.begin(), first.end(), result)) << algorithm->name << ", call " << call;
            }
        });
    }
}

}  // namespace
}  // namespace tenon::conformance
