// MoE between processes: random cases bit for bit, and what the others are told when a rank dies in the middle.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>

#include "tests/multiprocess/job.hpp"
#include "tests/support/moe_case.hpp"
#include "tests/support/seed.hpp"

namespace tenon::multiprocess {
namespace {

void set(const char* name, const std::string& value) {
    if (!value.empty()) setenv(name, value.c_str(), 1);
}

// Every rank draws the same cases.
std::string run_cases(RankProcess& self, support::MoeJob job, std::vector<std::uint64_t> seeds) {
    set("TENON_GROUPS", job.groups);
    set("TENON_DIRECT_ACCESS", job.direct_access ? "" : "off");
    set("TENON_TRANSPORT", job.over_network ? "network" : "");
    set("TENON_SLOT_MEMORY_BYTES", job.slot_memory == 0 ? "" : std::to_string(job.slot_memory));
    set("TENON_TIMEOUT_MS", "20000");
    tenonComm_t comm = join(self);
    for (const std::uint64_t seed : seeds) {
        const support::MoeCase moe(job, seed);
        if (const std::string problem = support::run_moe_case(moe, comm, self.rank()); !problem.empty())
            return moe.in_words() + ": " + problem;
    }
    require(tenonCommDestroy(comm));
    return "right";
}

TEST(Moe, ProcessesGetTheBitsOfTheRecipe) {
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    auto random = support::random_generator();
    for (int i = 0; i < 12; i++) {
        const support::MoeJob job = support::random_moe_job(random);
        std::vector<std::uint64_t> seeds(6);
        for (std::uint64_t& seed : seeds) seed = random();
        SCOPED_TRACE(job.in_words());
        RankProcesses ranks(job.rank_count, [&](RankProcess& self) { return run_cases(self, job, seeds); });
        for (const std::string& result : ranks.results()) ASSERT_EQ(result, "right");
    }
}

// Rows that are long enough for it, whole and in segments, of tokens that follow each other or not.
TEST(Moe, ProcessesGetTheBitsOfTheRecipeWhereTheKernelCopies) {
    SCOPED_TRACE("TENON_TEST_SEED=" + std::to_string(support::test_seed()));
    auto random = support::random_generator();
    for (const int rank_count : {2, 3}) {
        const support::MoeJob job{.rank_count = rank_count,
                                  .node_of = std::vector<int>(static_cast<std::size_t>(rank_count)),
                                  .slot_memory = rank_count == 2 ? 0U : 400'000U,
                                  .has_long_rows = true};
        std::vector<std::uint64_t> seeds(3);
        for (std::uint64_t& seed : seeds) seed = random();
        SCOPED_TRACE(job.in_words());
        RankProcesses ranks(rank_count, [&](RankProcess& self) {
            set("TENON_DIRECT_ACCESS", "all");
            return run_cases(self, job, seeds);
        });
        for (const std::string& result : ranks.results()) ASSERT_EQ(result, "right");
    }
}

// Dispatches and combines until one fails; says first that it is at it.
std::string run_until_it_fails(RankProcess& self, bool over_network, const char* access = "") {
    set("TENON_DIRECT_ACCESS", access);
    set("TENON_TRANSPORT", over_network ? "network" : "");
    set("TENON_TIMEOUT_MS", "60000");
    tenonComm_t comm = join(self);
    tenonMoeConfig_t config = TENON_MOE_CONFIG_INITIALIZER;
    config.experts = 12;
    config.topK = 4;
    config.hidden = 2048;
    config.maxTokens = 200;
    tenonMoeGroup_t group = nullptr;
    require(tenonMoeGroupCreate(&group, comm, &config), comm);
    std::vector<std::int64_t> indices;
    for (std::size_t i = 0; i < config.maxTokens * 4; i++) indices.push_back(static_cast<std::int64_t>(i * 7 % 12));
    tenonMoeHandle_t handle = nullptr;
    require(tenonMoePrepare(&handle, group, indices.data(), nullptr, config.maxTokens, nullptr), comm);
    tenonMoeCounts_t counts;
    require(tenonMoeGetCounts(handle, &counts), comm);
    std::vector<std::uint16_t> tokens(config.maxTokens * config.hidden, 0x3f80), rows(counts.rows * config.hidden);
    tenonResult_t result = tenonSuccess;
    for (int call = 0; result == tenonSuccess; call++) {
        if (call == 10) self.tell("at it");
        result = tenonMoeDispatch(handle, tokens.data(), rows.data(), counts.rows, nullptr);
        if (result == tenonSuccess) result = tenonMoeCombine(handle, rows.data(), tokens.data(), 1, nullptr);
    }
    const std::string said = support::outcome(result, comm);
    tenonCommAbort(comm);
    return said;
}

void kill_one_of_three(bool over_network, const char* access = "") {
    RankProcesses ranks(3, [&](RankProcess& self) { return run_until_it_fails(self, over_network, access); });
    for (int r = 0; r < 3; r++) ASSERT_EQ(ranks.hear(r), "at it");
    const auto killed = support::now_ms();
    ranks.send_signal(1, SIGKILL);
    EXPECT_EQ(ranks.wait(1).signal, SIGKILL);
    for (const int survivor : {0, 2}) {
        const support::Ending end = ranks.wait(survivor);
        EXPECT_TRUE(contains(end.last_line, "remote error") && contains(end.last_line, "rank 1")) << end.last_line;
    }
    EXPECT_LT(support::now_ms() - killed, 30'000);
}

// After that the two survivors make a communicator of their own, and a group with the experts that they have: of 12 all
// but 6 and 7, which only the dead rank had. A token of ones comes back as how many of its experts are left.
std::string go_on_without_one(RankProcess& self, const std::string& job) {
    const std::string said = run_until_it_fails(self, false);
    if (!contains(said, "remote error")) return said;
    tenonUniqueId id{};
    require(tenonGetUniqueIdForJob(job.c_str(), &id));
    tenonComm_t comm = nullptr;
    require(tenonCommInitRank(&comm, 2, id, self.rank() == 0 ? 0 : 1));
    tenonMoeConfig_t config = TENON_MOE_CONFIG_INITIALIZER;
    const int placement[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 5};
    config.experts = 12;
    config.topK = 4;
    config.hidden = 64;
    config.maxTokens = 12;
    config.placement = placement;
    config.placesPerRank = 5;
    config.dropMissing = 1;
    tenonMoeGroup_t group = nullptr;
    require(tenonMoeGroupCreate(&group, comm, &config), comm);
    std::vector<std::int64_t> indices;
    for (std::size_t i = 0; i < config.maxTokens * 4; i++)
        indices.push_back(static_cast<std::int64_t>((i + i / 4) % 12));
    tenonMoeHandle_t handle = nullptr;
    require(tenonMoePrepare(&handle, group, indices.data(), nullptr, config.maxTokens, nullptr), comm);
    tenonMoeCounts_t counts;
    require(tenonMoeGetCounts(handle, &counts), comm);
    constexpr std::uint16_t one = 0x3f80, sums[] = {0, one, 0x4000, 0x4040, 0x4080};
    const std::vector<std::uint16_t> tokens(config.maxTokens * config.hidden, one);
    std::vector<std::uint16_t> rows(counts.rows * config.hidden), results(tokens.size());
    require(tenonMoeDispatch(handle, tokens.data(), rows.data(), counts.rows, nullptr), comm);
    require(tenonMoeCombine(handle, rows.data(), results.data(), 1, nullptr), comm);
    std::size_t dropped = 0;
    for (std::size_t t = 0; t < config.maxTokens; t++) {
        std::size_t left = 0;
        for (std::size_t s = 4 * t; s < 4 * t + 4; s++) left += indices[s] != 6 && indices[s] != 7 ? 1 : 0;
        dropped += 4 - left;
        for (std::size_t e = 0; e < config.hidden; e++)
            if (results[t * config.hidden + e] != sums[left]) return "token " + std::to_string(t) + " is wrong";
    }
    if (counts.droppedSlots != dropped || dropped == 0) return "wrong number of dropped slots";
    require(tenonMoeHandleDestroy(handle));
    require(tenonMoeGroupDestroy(group));
    require(tenonCommDestroy(comm));
    return "right";
}

TEST(Moe, SurvivorsGoOnWithTheExpertsThatTheyHave) {
    const std::string job = "moe-survivors-" + std::to_string(::getpid());
    RankProcesses ranks(3, [&](RankProcess& self) { return go_on_without_one(self, job); });
    for (int r = 0; r < 3; r++) ASSERT_EQ(ranks.hear(r), "at it");
    ranks.send_signal(1, SIGKILL);
    EXPECT_EQ(ranks.wait(1).signal, SIGKILL);
    for (const int survivor : {0, 2}) EXPECT_EQ(ranks.wait(survivor).last_line, "right");
}

TEST(Moe, ADeadRankIsAnErrorOnAll) { kill_one_of_three(false); }
TEST(Moe, ADeadRankIsAnErrorOnAllWhoseRowsTheKernelCopies) { kill_one_of_three(false, "all"); }
TEST(Moe, ADeadRankIsAnErrorOnAllOverTheNetwork) { kill_one_of_three(true); }

}  // namespace
}  // namespace tenon::multiprocess
