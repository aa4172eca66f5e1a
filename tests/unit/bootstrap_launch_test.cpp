#include <gmock/gmock.h>

#include "bootstrap/launch.hpp"
#include "os/shared_library.hpp"

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
    EXPECT_THAT(found({{"OMPI_COMM_WORLD_RANK", "3"},
                       {"OMPI_COMM_WORLD_SIZE", "8"},
                       {"PMIX_NAMESPACE", "ns1"},
                       {"OMPI_MCA_orte_precondition_transports", "12ab-34cd"}})
                    .job,
                HasSubstr("12ab-34cd"))
        << "what strangers cannot guess";
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
    EXPECT_THAT(refusal(with(torchrun, {{"LOCAL_WORLD_SIZE", "x"}})), HasSubstr("LOCAL_WORLD_SIZE=x"));
}

// Where an id sends the job's hosts, or why there is none.
std::string place_of(const Launch& launch, const Config& config = {}) {
    const auto id = unique_id_for_launch(launch, config);
    return id ? bootstrap::read_unique_id(*id)->place : id.error().message;
}

TEST(FindLaunch, SaysWhetherThereAreSeveralHostsAndWhichIsTheFirst) {
    EXPECT_TRUE(found(torchrun).is_one_host);
    const Launch spread = found(with(torchrun, {{"LOCAL_WORLD_SIZE", "2"}, {"MASTER_ADDR", "node7"}}));
    EXPECT_FALSE(spread.is_one_host);
    EXPECT_EQ(spread.first_host, "node7");
    EXPECT_TRUE(found(slurm).is_one_host);
    const Launch step = found(with(slurm, {{"SLURM_STEP_NUM_NODES", "2"}, {"SLURM_STEP_NODELIST", "n[01-03,7],m2"}}));
    EXPECT_FALSE(step.is_one_host);
    EXPECT_EQ(step.first_host, "n01");
    // Without a count, what says where rank 0 is decides.
    EXPECT_FALSE(found({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"TENON_JOB", "j"}, {"MASTER_ADDR", "node7"}}).is_one_host);
    EXPECT_TRUE(found({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"TENON_JOB", "j"}, {"MASTER_ADDR", "::1"}}).is_one_host);
    EXPECT_TRUE(found({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"TENON_JOB", "j"}}).is_one_host);
    EXPECT_THAT(refusal({{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}, {"MPI_LOCALNRANKS", "2"}}), HasSubstr("TENON_JOB"));
}

TEST(FindLaunch, ReadsTheFirstOfAListOfHosts) {
    const std::pair<const char*, const char*> lists[] = {{"n01", "n01"},
                                                         {"n01,n02", "n01"},
                                                         {"n[01-03,7],m2", "n01"},
                                                         {"n[7,9]", "n7"},
                                                         {"r1[2-3]c[4-5]", "r12c4"},
                                                         {"a[1]-ib,b", "a1-ib"},
                                                         {"", ""},
                                                         {"n[01", ""}};
    for (const auto& [list, first] : lists) EXPECT_EQ(first_host_of(list), first) << list;
}

TEST(FindLaunch, InAPodLocalhostIsThePod) {
    const Environment worker{{"RANK", "1"},
                             {"WORLD_SIZE", "2"},
                             {"MASTER_ADDR", "train-master-0"},
                             {"MASTER_PORT", "23456"},
                             {"HOSTNAME", "train-worker-0"},
                             {"KUBERNETES_SERVICE_HOST", "10.96.0.1"}};
    const Launch master =
        found(with(worker, {{"RANK", "0"}, {"MASTER_ADDR", "localhost"}, {"HOSTNAME", "train-master-0"}}));
    EXPECT_FALSE(master.is_one_host);
    EXPECT_EQ(master.first_host, "train-master-0");
    EXPECT_EQ(master.job, found(worker).job);
}

TEST(FindLaunch, AFileOfHostsLeavesOpenWhichSlurmNodeIsTheFirst) {
    const Environment spread = with(
        slurm, {{"SLURM_STEP_NUM_NODES", "2"}, {"SLURM_STEP_NODELIST", "n[1-2]"}, {"SLURM_DISTRIBUTION", "arbitrary"}});
    EXPECT_THAT(place_of(found(spread)), HasSubstr("MASTER_ADDR"));
    EXPECT_EQ(place_of(found(with(spread, {{"MASTER_ADDR", "n2"}}))), "n2");
    EXPECT_EQ(place_of(found(with(spread, {{"SLURM_DISTRIBUTION", "cyclic"}}))), "n1");
}

TEST(UniqueIdForLaunch, LetsRankZeroSayThroughPmixWhereItIsOnlyIfNothingElseDoes) {
    const Environment mpi{{"OMPI_COMM_WORLD_RANK", "1"},
                          {"OMPI_COMM_WORLD_SIZE", "4"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                          {"PMIX_NAMESPACE", "n"},
                          {"PMIX_RANK", "1"}};
    EXPECT_EQ(place_of(found(mpi)), "pmix:");
    EXPECT_EQ(place_of(found(with(mpi, {{"MASTER_ADDR", "node7"}}))), "node7");
    EXPECT_EQ(place_of(found(with(mpi, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}}))), "");
    EXPECT_THAT(place_of(found(with(mpi, {{"PMIX_RANK", "0"}}))), HasSubstr("MASTER_ADDR")) << "another job's rank";
    Config config;
    config.rendezvous = "node8:29400";
    EXPECT_EQ(place_of(found(mpi), config), "node8:29400");
}

// Where the module is there, launchers.OpenMpi hides it.
TEST(Meeting, ThatNeedsPmixSaysWhatHelpsWhereItIsNotThere) {
    if (os::find_module("tenon_pmix.so")) GTEST_SKIP() << "the module is there";
    const Launch launch{.rank_count = 2, .job = "job", .is_one_host = false, .has_pmix = true};
    const auto met = meet(unique_id_for_launch(launch, {}).value(), 0, {.rank_count = 2, .segment = {4096}}, nullptr,
                          os::Deadline::after_ms(60'000));
    ASSERT_FALSE(met);
    EXPECT_THAT(met.error().message, AllOf(HasSubstr("tenon_pmix.so"), HasSubstr("libpmix-dev"),
                                           HasSubstr("MASTER_ADDR"), HasSubstr("TENON_RENDEZVOUS")));
}

TEST(UniqueIdForLaunch, SendsHostsWhereRankZeroIs) {
    Config config;
    EXPECT_EQ(place_of(found(torchrun)), "") << "one host needs no network";
    const Launch spread = found(with(torchrun, {{"LOCAL_WORLD_SIZE", "2"}, {"MASTER_ADDR", "node7"}}));
    EXPECT_EQ(place_of(spread), "node7");
    const Launch lost = found({{"OMPI_COMM_WORLD_RANK", "0"},
                               {"OMPI_COMM_WORLD_SIZE", "4"},
                               {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                               {"PMIX_NAMESPACE", "n"}});
    EXPECT_THAT(place_of(lost), AllOf(HasSubstr("Open MPI"), HasSubstr("MASTER_ADDR"), HasSubstr("TENON_RENDEZVOUS")));
    config.host_id = "a";
    EXPECT_EQ(place_of(found(torchrun), config), "localhost") << "made-up hosts of one machine";
    config.rendezvous = "node8:29400";
    for (const Launch& launch : {spread, lost, found(torchrun)}) EXPECT_EQ(place_of(launch, config), "node8:29400");
    config.rendezvous = "node8:x";
    EXPECT_THAT(place_of(spread, config), HasSubstr("TENON_RENDEZVOUS"));
}

TEST(UniqueIdForLaunch, IsTheJobsOwn) {
    Launch launch = found(torchrun);
    const Launch other = found(with(torchrun, {{"RANK", "0"}}));
    EXPECT_EQ(unique_id_for_launch(launch, {}).value(), unique_id_for_launch(other, {}).value());
    EXPECT_EQ(unique_id_for_launch(launch, {}).value(), unique_id_for_job(launch.job));
    launch.job += "x";
    EXPECT_NE(unique_id_for_launch(launch, {}).value(), unique_id_for_launch(other, {}).value());
}

}  // namespace
}  // namespace tenon
