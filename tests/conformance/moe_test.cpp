// Dispatch and combine of MoE, ranks as threads: random configurations and routings on random jobs, bit for bit against
// the definitions.
#include <gtest/gtest.h>

#include <cstdlib>
#include <mutex>

#include "tests/conformance/c_job.hpp"
#include "tests/support/moe_case.hpp"
#include "tests/support/seed.hpp"

namespace tenon::conformance {
namespace {

// An environment variable for as long as this lives.
class Variable {
public:
    Variable(const char* name, const std::string& value) : name_(name) {
        if (!value.empty()) setenv(name, value.c_str(), 1);
    }
    ~Variable() { unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
};

constexpr int cases_of_job = 5;

void run_job(const support::MoeJob& job, std::mt19937_64& random) {
    SCOPED_TRACE(job.in_words());
    const Variable groups("TENON_GROUPS", job.groups);
    const Variable access("TENON_DIRECT_ACCESS", job.direct_access ? "" : "off");
    const Variable slots("TENON_SLOT_MEMORY_BYTES", job.slot_memory == 0 ? "" : std::to_string(job.slot_memory));
    const Variable transport("TENON_TRANSPORT", job.over_network ? "network" : "");
    const Variable stores("TENON_STREAMING_STORES", job.has_long_rows ? "on" : "");
    const CJob ranks(job.rank_count);
    for (int i = 0; i < cases_of_job && !testing::Test::HasFailure(); i++) {
        const support::MoeCase moe(job, random());
        SCOPED_TRACE(moe.in_words());
        std::mutex mutex;
        ranks.run([&](tenonComm_t comm, int rank) {
            const std::string problem = support::run_moe_case(moe, comm, rank);
            const std::scoped_lock lock(mutex);
            EXPECT_EQ(problem, "");
        });
    }
}

// Each shard draws jobs of its own.
class MoeCases : public testing::TestWithParam<int> {};
TEST_P(MoeCases, GiveTheBitsOfTheRecipe) {
    auto random = support::random_generator(static_cast<std::uint64_t>(GetParam()));
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    for (int i = 0; i < 4 && !HasFailure(); i++) run_job(support::random_moe_job(random), random);
}
INSTANTIATE_TEST_SUITE_P(Sample, MoeCases, testing::Range(0, 12));

// Rows of a model's length, stored past the caches, through slots and not.
TEST(MoeLongRows, GiveTheBitsOfTheRecipe) {
    auto random = support::random_generator(999);
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    for (const bool direct : {true, false}) {
        support::MoeJob job{.rank_count = 2, .direct_access = direct, .has_long_rows = true};
        job.node_of = {0, 0};
        run_job(job, random);
    }
}

class MoeCasesExhaustive : public testing::TestWithParam<int> {};
TEST_P(MoeCasesExhaustive, GiveTheBitsOfTheRecipe) {
    auto random = support::random_generator(1000 + static_cast<std::uint64_t>(GetParam()));
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    for (int i = 0; i < 100 && !HasFailure(); i++) run_job(support::random_moe_job(random), random);
}
INSTANTIATE_TEST_SUITE_P(All, MoeCasesExhaustive, testing::Range(0, 20));

}  // namespace
}  // namespace tenon::conformance
