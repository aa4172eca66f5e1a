// The weighted sums of MoE against the definition, bit for bit, on every instruction set: types, groups, weights of
// every kind, all lengths of a tail, any alignment.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "reduction/weighted_sum.hpp"
#include "tests/support/seed.hpp"
#include "tests/unit/reduction_elements.hpp"
#include "tests/unit/reduction_reference.hpp"
#include "tests/unit/reduction_targets.hpp"

namespace tenon {
namespace {

constexpr std::byte untouched{0xa5};
constexpr std::size_t margin = 64;

float value(DataType type, std::uint64_t bits) { return static_cast<float>(reference::value_of(type, bits)); }
float rounded(DataType type, float x) { return value(type, reference::nearest(type, x)); }

struct Sum {
    DataType type, partial;
    std::vector<std::vector<std::byte>> sources;
    std::vector<float> weights;
    std::vector<bool> ends_group;

    std::uint64_t at(std::size_t i) const {
        float total = 0, group = 0;
        bool is_first_group = true, begins_group = true;
        for (std::size_t s = 0; s < sources.size(); s++) {
            const float product = weights[s] * value(type, ElementView(type, sources[s].data())[i]);
            group = begins_group ? product : group + product;
            begins_group = ends_group[s] || s + 1 == sources.size();
            if (!begins_group) continue;
            group = rounded(partial, group);
            total = is_first_group ? group : total + group;
            is_first_group = false;
        }
        return reference::nearest(type, total);
    }
};

Sum random_sum(DataType type, DataType partial, std::size_t count, std::size_t elements, std::mt19937_64& random) {
    Sum sum{.type = type, .partial = partial, .sources = {}, .weights = {}, .ends_group = {}};
    for (std::size_t s = 0; s < count; s++) {
        sum.sources.push_back(random_elements(type, elements, random));
        const float weights[] = {1, -0.5F, 0, 0.3F, std::numeric_limits<float>::quiet_NaN(), 1e30F};
        sum.weights.push_back(random() % 4 == 0 ? weights[random() % 6] : static_cast<float>(random() % 1000) / 999);
        sum.ends_group.push_back(random() % 3 == 0);
    }
    return sum;
}

void check(const Sum& sum, std::size_t elements, std::size_t offset) {
    const std::size_t bytes = elements * element_bytes(sum.type);
    std::vector<std::byte> memory(2 * margin + bytes + offset, untouched);
    std::vector<Contribution> contributions;
    for (std::size_t s = 0; s < sum.sources.size(); s++)
        contributions.push_back({sum.sources[s].data(), sum.weights[s], sum.ends_group[s]});
    std::byte* const destination = memory.data() + margin + offset;
    run_weighted_sum(weighted_sum_kernel({sum.type, sum.partial, sum.type}),
                     {.destination = destination, .contributions = contributions.data(),
                      .count = static_cast<std::uint32_t>(contributions.size()), .elements = elements});
    for (std::size_t i = 0; i < elements; i++)
        ASSERT_EQ(ElementView(sum.type, destination)[i], sum.at(i))
            << "element " << i << " of " << elements << ", " << contributions.size() << " sources";
    for (std::size_t i = 0; i < margin; i++)
        ASSERT_TRUE(memory[offset + i] == untouched && destination[bytes + i] == untouched);
}

class WeightedSums : public testing::TestWithParam<DataType> {};
TEST_P(WeightedSums, FollowTheRecipe) {
    auto random = support::random_generator(7);
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    for_each_reduction_target([&] {
        for (const DataType partial : {GetParam(), DataType::float32})
            for (const std::size_t count : {0, 1, 2, 3, 6, 8, 64})
                for (const std::size_t elements : {0, 1, 2, 7, 8, 15, 16, 17, 33, 100})
                    check(random_sum(GetParam(), partial, count, elements, random), elements, random() % 16);
    });
}
INSTANTIATE_TEST_SUITE_P(Types, WeightedSums,
                         testing::Values(DataType::float32, DataType::bfloat16, DataType::float16), type_name);

}  // namespace
}  // namespace tenon
