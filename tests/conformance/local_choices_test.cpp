// What a rank may choose for itself: where its buffers lie, and whether it calls in place. Whatever each chooses, call
// for call, all get the right result.
#include <gtest/gtest.h>

#include "library/registry.hpp"
#include "tests/conformance/cases.hpp"
#include "tests/conformance/local_job.hpp"
#include "tests/support/seed.hpp"

namespace tenon::conformance {
namespace {

using support::Memory;
using support::Reference;
using support::Shape;
using support::Values;

constexpr int calls = 8;
constexpr std::size_t counts[] = {300, 1025, 40'009, 200'003};  // a tile or several, of float32

struct Setting {
    const Algorithm* algorithm;
    Rank rank_count;
    TransportChoice transport;
};

std::vector<Setting> settings() {
    std::vector<Setting> all;
    for (const Algorithm& algorithm : algorithms())
        for (const Rank rank_count : {2, 3, 4})
            for (const TransportChoice transport : {TransportChoice::inproc, TransportChoice::shm})
                if (algorithm.collective != Collective::barrier && serves(algorithm, {.rank_count = rank_count}))
                    all.push_back({&algorithm, rank_count, transport});
    return all;
}

std::string name_of(const Setting& s) {
    return std::string(name_of(s.algorithm->collective)) + "_" + std::string(s.algorithm->name) + "_of_" +
           std::to_string(s.rank_count) + (s.transport == TransportChoice::shm ? "_shm" : "_inproc");
}

void PrintTo(const Setting& s, std::ostream* out) { *out << name_of(s); }

class LocalChoices : public ::testing::TestWithParam<Setting> {};
INSTANTIATE_TEST_SUITE_P(All, LocalChoices, ::testing::ValuesIn(settings()),
                         [](const auto& setting) { return name_of(setting.param); });

TEST_P(LocalChoices, MayDifferBetweenRanks) {
    const auto& [algorithm, rank_count, transport] = GetParam();
    LocalJob job(rank_count, config_of({.algorithm = algorithm, .transport = transport}));
    auto random = support::random_generator();
    for (const std::size_t count : counts) {
        const Shape shape{.collective = algorithm->collective, .type = DataType::float32, .op = ReduceOp::avg,
                          .rank_count = rank_count, .root = rank_count - 1, .count = count};
        if (!serves(*algorithm, shape)) continue;
        const Reference reference(shape, Values::ordinary, false, support::test_seed());
        for (int call = 0; call < calls; call++) {
            const std::uint64_t choices = random();
            job.run([&](Communicator& communicator) {
                const std::uint64_t mine = choices >> 2 * communicator.rank();
                expect_right(communicator, reference, (mine & 1) != 0,
                             (mine & 2) != 0 ? Memory::tenon : Memory::ordinary);
            });
        }
    }
}

}  // namespace
}  // namespace tenon::conformance
