// The conformance matrix between processes that a launcher has started, on several hosts: every rank runs this program,
// and all run the same rows in the same order. "Covering" are the rows that cover every two values, "Sample" and "Few"
// some of them, each in a communicator of its own. "Product" is the full product of what a transport can see
// (product_cases()).
#include <gtest/gtest.h>

#include <set>

#include "bootstrap/launch.hpp"
#include "communicator/communicator.hpp"
#include "tests/conformance/cases.hpp"
#include "tests/conformance/local_job.hpp"
#include "tests/support/seed.hpp"

namespace tenon::conformance {
namespace {

using support::Reference;

// All ranks; made before the tests and ended after them.
std::unique_ptr<Communicator> world;
std::uint64_t seed = 0;  // rank 0's
Config own_config;       // as the environment has it: the network is the user's choice

Ways between_hosts() {
    static const Rank rank_count = find_launch(process_environment())->value().rank_count;
    static constexpr TransportChoice transports[] = {TransportChoice::automatic, TransportChoice::network};
    return {.rank_counts = {&rank_count, 1}, .transports = transports, .plays_groups = false};
}

std::vector<Case> cases_between_hosts() { return covering_cases(between_hosts()); }

Result<std::unique_ptr<Communicator>> communicator_for(const Case& c) {
    Config config = config_of(c);
    config.plugins = own_config.plugins;
    config.network = own_config.network;
    return world->split(0, world->rank(), config);
}

class MatrixBetweenHosts : public ::testing::TestWithParam<Case> {};

TEST_P(MatrixBetweenHosts, EqualsTheReference) {
    const Case& c = GetParam();
    const Reference reference(c.shape, c.values, false, seed);
    const auto made = communicator_for(c);
    ASSERT_TRUE(made) << made.error().message;
    for (int call = 0; call < 3; call++) expect_right(**made, reference, c.in_place, c.memory);
}

// For where there is no time for all: the first row of each algorithm, or of each over each transport.
std::vector<Case> first_between_hosts(bool over_each_transport) {
    std::vector<Case> rows;
    std::set<std::pair<const Algorithm*, TransportChoice>> seen;
    for (const Case& row : cases_between_hosts())
        if (seen.emplace(row.algorithm, over_each_transport ? row.transport : TransportChoice{}).second)
            rows.push_back(row);
    return rows;
}

INSTANTIATE_TEST_SUITE_P(Few, MatrixBetweenHosts, ::testing::ValuesIn(first_between_hosts(false)),
                         [](const auto& row) { return name_of(row.param); });
INSTANTIATE_TEST_SUITE_P(Sample, MatrixBetweenHosts, ::testing::ValuesIn(first_between_hosts(true)),
                         [](const auto& row) { return name_of(row.param); });
INSTANTIATE_TEST_SUITE_P(Covering, MatrixBetweenHosts, ::testing::ValuesIn(cases_between_hosts()),
                         [](const auto& row) { return name_of(row.param); });

class ProductBetweenHosts : public ::testing::TestWithParam<CasesTogether> {};

TEST_P(ProductBetweenHosts, EqualsTheReference) {
    const std::vector<Case>& cases = GetParam().cases;
    const auto made = communicator_for(cases.front());
    ASSERT_TRUE(made) << made.error().message;
    std::optional<Reference> reference;
    for (const Case& c : cases) {
        SCOPED_TRACE(name_of(c));
        if (!reference || reference->shape() != c.shape) reference.emplace(c.shape, c.values, false, seed);
        expect_right(**made, *reference, c.in_place, c.memory);
    }
}

INSTANTIATE_TEST_SUITE_P(Product, ProductBetweenHosts, ::testing::ValuesIn(product_cases(between_hosts())),
                         [](const auto& row) { return name_of(row.param); });

// The rings of a rank with those of its host and with those of others, in one cap: by what its peers use of it.
TEST(SlotMemory, OfNearAndFarRanksStaysWithinOneCap) {
    for (const std::uint64_t cap : {std::uint64_t{4} << 20, std::uint64_t{64} << 20}) {
        Config config = own_config;
        config.slot_memory = {cap};
        auto made = world->split(0, world->rank(), config);
        ASSERT_TRUE(made) << made.error().message;
        Communicator& ranks = **made;
        const std::size_t count = 300'000;
        const auto size = static_cast<std::size_t>(ranks.rank_count());
        std::vector<float> in(size * count, 1), out(size * count);
        for (const Collective collective : {Collective::all_to_all, Collective::all_reduce}) {
            const auto ran = ranks.run({.collective = collective, .type = DataType::float32, .op = ReduceOp::sum,
                                        .send = in.data(), .receive = out.data(), .count = count});
            ASSERT_TRUE(ran) << ran.error().message;
        }
        EXPECT_GT(ranks.slot_memory().value, 0U);
        EXPECT_LE(ranks.slot_memory().value, cap) << "of both together";
    }
}

Result<void> join_world(const Launch& launch) {
    const auto config = read_config();
    if (!config) return std::unexpected(config.error());
    const auto id = unique_id_for_launch(launch, *config);
    if (!id) return std::unexpected(id.error());
    auto joined = Communicator::join(*id, launch.rank, launch.rank_count, *config);
    if (!joined) return std::unexpected(joined.error());
    world = std::move(*joined);
    own_config = *config;
    seed = support::test_seed();
    return world->run({.collective = Collective::broadcast, .type = DataType::uint64, .send = &seed, .receive = &seed,
                       .count = 1});
}

}  // namespace
}  // namespace tenon::conformance

int main(int argc, char** argv) {
    const auto launch = tenon::find_launch(tenon::process_environment());
    if (!launch || !*launch) {
        std::fprintf(stderr, "hosts_test runs as the ranks of a launcher, such as `ranks` in tests/cluster\n");
        return 2;
    }
    ::testing::InitGoogleTest(&argc, argv);
    if (const auto joined = tenon::conformance::join_world(**launch); !joined) {
        std::fprintf(stderr, "rank %d: %s\n", (*launch)->rank, joined.error().message.c_str());
        return 1;
    }
    const int status = RUN_ALL_TESTS();
    tenon::conformance::world.reset();
    return status;
}
