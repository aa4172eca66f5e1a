#include <gmock/gmock.h>

#include "bootstrap/launch.hpp"

namespace tenon {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Launch found(const Environment& environment) {
    const auto launch = find_launch(environment);
    EXPECT_TRUE(launch) << launch.error().message;
    EXPECT_TRUE(launch && launch->has_value());
    return launch && *launch ? **launch : Launch{};
}

std::string refusal(const Environment& environment) {
    const auto launch = find_launch(environment);
    EXPECT_FALSE(launch);
    return launch ? "" : launch.error().message;
}

const Environment torchrun{{"RANK", "2"},
                           {"WORLD_SIZE", "4"},
                           {"LOCAL_RANK", "2"},
                           {"LOCAL_WORLD_SIZE", "4"},
                           {"MASTER_ADDR", "localhost"},
                           {"MASTER_PORT", "29500"},
                           {"TORCHELASTIC_RUN_ID", "none"},
                           {"TORCHELASTIC_RESTART_COUNT", "0"}};
const Environment slurm{{"SLURM_PROCID", "1"},         {"SLURM_NTASKS", "64"}, {"SLURM_STEP_NUM_TASKS", "2"},
                        {"SLURM_STEP_NUM_NODES", "1"}, {"SLURM_JOB_ID", "77"}, {"SLURM_STEP_ID", "3"}};

Environment with(Environment environment, const Environment& changes) {
    for (const auto& [name, value] : changes) environment[name] = value;
    return environment;
}

TEST(FindLaunch, NothingWithoutALauncher) {
    EXPECT_FALSE(find_launch({{"PATH", "/bin"}})->has_value());
    // A batch script is one process, whatever Slurm's counts say.
    EXPECT_FALSE(find_launch({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "64"}, {"SLURM_JOB_ID", "77"}})->has_value());
}

TEST(FindLaunch, Torchrun) {
    const Launch launch = found(torchrun);
    EXPECT_EQ(launch.rank, 2);
    EXPECT_EQ(launch.rank_count, 4);
    EXPECT_EQ(launch.job, found(with(torchrun, {{"RANK", "0"}, {"LOCAL_RANK", "0"}})).job);
    EXPECT_NE(launch.job, found(with(torchrun, {{"MASTER_PORT", "29501"}})).job);
    EXPECT_NE(launch.job, found(with(torchrun, {{"TORCHELASTIC_RESTART_COUNT", "1"}})).job);
}

TEST(FindLaunch, TenonRunNamesItsJob) {
    EXPECT_EQ(found({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"TENON_JOB", "j"}}).job, "j");
    EXPECT_EQ(found(with(torchrun, {{"TENON_JOB", "j"}})).job, "j");
}

TEST(FindLaunch, OpenMpiSlurmAndPmi) {
    const Launch mpi = found({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "8"}, {"PMIX_NAMESPACE", "ns1"}});
    EXPECT_EQ(mpi.rank, 3);
    EXPECT_EQ(mpi.rank_count, 8);
    EXPECT_EQ(mpi.job, "ns1");
    const Launch step = found(slurm);
    EXPECT_EQ(step.rank, 1);
    EXPECT_EQ(step.rank_count, 2);
    EXPECT_EQ(step.job, "77.3");
    const Launch pmi = found({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"PMI_JOBID", "kvs_1"}});
    EXPECT_EQ(pmi.rank_count, 2);
    EXPECT_EQ(pmi.job, "kvs_1");
    EXPECT_FALSE(found({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}).job.empty());
}

TEST(FindLaunch, TheInnerLauncherCounts) {
    EXPECT_EQ(found(with(slurm, torchrun)).rank_count, 4);
    EXPECT_EQ(
        found(with(slurm, {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "8"}, {"PMIX_NAMESPACE", "n"}}))
            .rank_count,
        8);
}

TEST(FindLaunch, SaysWhatIsWrong) {
    EXPECT_THAT(refusal({{"RANK", "0"}}), HasSubstr("WORLD_SIZE is not"));
    EXPECT_THAT(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), HasSubstr("TENON_JOB"));
    EXPECT_THAT(refusal(with(torchrun, {{"RANK", "4"}})), AllOf(HasSubstr("RANK=4"), HasSubstr("WORLD_SIZE is 4")));
    for (const char* wrong : {"", "-1", "x", "2147483648"})
        EXPECT_THAT(refusal(with(torchrun, {{"RANK", wrong}})), HasSubstr("RANK=" + std::string{wrong}));
    EXPECT_THAT(refusal(with(torchrun, {{"LOCAL_WORLD_SIZE", "2"}})), HasSubstr("several hosts"));
    EXPECT_THAT(refusal(with(slurm, {{"SLURM_STEP_NUM_NODES", "2"}})), HasSubstr("several hosts"));
}

}  // namespace
}  // namespace tenon
