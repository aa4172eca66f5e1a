// How jobs come together, or do not: contradicting ranks, missing ranks, wrong settings, two jobs at a time, and a host
// with next to no shared memory in /dev/shm.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tests/multiprocess/job.hpp"

namespace tenon::multiprocess {
namespace {

std::string try_to_join(const tenonUniqueId& id, int rank_count, int rank) {
    tenonComm_t comm = nullptr;
    const std::string words = support::outcome(tenonCommInitRank(&comm, rank_count, id, rank));
    if (comm != nullptr) tenonCommDestroy(comm);
    return words;
}

// Lets each rank try, and lets none end before all of them have been told: the first of them may serve the others.
std::vector<std::string> outcomes(int rank_count, const RankProcesses::Body& try_it) {
    RankProcesses ranks(rank_count, [&](RankProcess& self) {
        self.tell(try_it(self));
        return self.hear();
    });
    std::vector<std::string> words;
    for (int r = 0; r < rank_count; r++) words.push_back(ranks.hear(r));
    for (int r = 0; r < rank_count; r++) ranks.tell(r, "you may go");
    ranks.results();
    return words;
}

TEST(Meeting, ARankGivenTwiceIsToldToAll) {
    const auto words = outcomes(
        3, [](RankProcess& self) { return try_to_join(shared_id(self), 3, self.rank() == 2 ? 1 : self.rank()); });
    for (const std::string& line : words)
        EXPECT_TRUE(contains(line, "mismatch") && contains(line, "rank 1")) << line;
}

TEST(Meeting, SizesThatDisagreeAreToldToAll) {
    const auto words = outcomes(
        3, [](RankProcess& self) { return try_to_join(shared_id(self), self.rank() == 2 ? 4 : 3, self.rank()); });
    for (const std::string& line : words)
        EXPECT_TRUE(contains(line, "mismatch") && contains(line, "3") && contains(line, "4")) << line;
}

TEST(Meeting, SettingsThatDisagreeAreToldToAll) {
    const auto words = outcomes(2, [](RankProcess& self) {
        if (self.rank() == 1) setenv("TENON_ALGORITHM", "all_reduce=ring", 1);
        return try_to_join(shared_id(self), 2, self.rank());
    });
    for (const std::string& line : words)
        EXPECT_TRUE(contains(line, "mismatch") && contains(line, "TENON_ALGORITHM")) << line;
}

TEST(Meeting, ARankThatDoesNotComeIsNamed) {
    const auto words = outcomes(2, [](RankProcess& self) {
        setenv("TENON_INIT_TIMEOUT_MS", "300", 1);
        return try_to_join(shared_id(self), 3, self.rank());
    });
    for (const std::string& line : words) EXPECT_TRUE(contains(line, "timeout") && contains(line, "2")) << line;
}

TEST(Meeting, ARankThatDiesBeforeItJoinsKeepsNobodyWaitingForEver) {
    RankProcesses ranks(3, [](RankProcess& self) {
        setenv("TENON_INIT_TIMEOUT_MS", "1000", 1);
        const tenonUniqueId id = shared_id(self);
        if (self.rank() == 2) raise(SIGKILL);
        return try_to_join(id, 3, self.rank());
    });
    EXPECT_EQ(ranks.wait(2).signal, SIGKILL);
    for (const int r : {0, 1}) {
        const auto ending = ranks.wait(r);
        EXPECT_EQ(ending.exit_code, 0);
        EXPECT_FALSE(contains(ending.last_line, "success")) << ending.last_line;
        EXPECT_TRUE(contains(ending.last_line, "2")) << ending.last_line;
    }
}

constexpr uid_t other_user = 65'534;

// As one that has the id, but runs as another user.
std::string try_to_join_as_other_user(const tenonUniqueId& id, int rank_count, int rank) {
    if (setuid(other_user) != 0) return std::string("cannot become another user: ") + std::strerror(errno);
    return try_to_join(id, rank_count, rank);
}

void expect_names_both_users(const std::string& words) {
    for (const char* part : {"system error", "user 0 ", "65534", "run all ranks as one user"})
        EXPECT_TRUE(contains(words, part)) << words;
}

TEST(Meeting, IsNotJoinedByOtherUsers) {
    if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    RankProcesses ranks(3, [](RankProcess& self) {
        const tenonUniqueId id = shared_id(self);
        if (self.rank() == 2) return try_to_join_as_other_user(id, 2, 1);
        self.hear();
        return try_to_join(id, 2, self.rank());
    });
    expect_names_both_users(ranks.wait(2).last_line);
    for (const int r : {0, 1}) ranks.tell(r, "the other one was first");
    for (const int r : {0, 1}) EXPECT_EQ(ranks.wait(r).last_line, "success");
}

TEST(Meeting, ARankOfAnotherUserIsNamed) {
    if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    const auto words = outcomes(2, [](RankProcess& self) {
        setenv("TENON_INIT_TIMEOUT_MS", "300", 1);
        const tenonUniqueId id = shared_id(self);
        return self.rank() == 1 ? try_to_join_as_other_user(id, 2, 1) : try_to_join(id, 2, 0);
    });
    expect_names_both_users(words[1]);
    for (const char* part : {"timeout", "rank 1", "of user 65534 was refused", "run all ranks as one user"})
        EXPECT_TRUE(contains(words[0], part)) << words[0];
}

class WrongVariable : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(WrongVariable, IsNamedWithWhatIsAllowed) {
    RankProcesses ranks(1, [&](RankProcess&) {
        setenv(GetParam().first, GetParam().second, 1);
        tenonComm_t comm = nullptr;
        return support::outcome(tenonCommInitAll(&comm, 1, nullptr));
    });
    const std::string line = ranks.results()[0];
    EXPECT_TRUE(contains(line, "invalid argument") && contains(line, GetParam().first)) << line;
}

INSTANTIATE_TEST_SUITE_P(Variables, WrongVariable,
                         ::testing::Values(std::pair{"TENON_TIMEOUT_MS", "soon"}, std::pair{"TENON_TIMEOUT_MS", "0"},
                                           std::pair{"TENON_TIMEOUT_MS", ""}, std::pair{"TENON_DETERMINISTIC", "yes"},
                                           std::pair{"TENON_ALGORITHM", "all_reduce"},
                                           std::pair{"TENON_ALGORITHM", "all_reduce=no_such"},
                                           std::pair{"TENON_SLOT_MEMORY_BYTES", "1"}, std::pair{"TENON_SPIN", "-1"},
                                           std::pair{"TENON_DIRECT_ACCESS", "ON"},
                                           std::pair{"TENON_TRANSPORT", "carrier_pigeon"},
                                           std::pair{"TENON_TIMEOUT", "5"}));

std::string numbers_of(RankProcess& self, const char* job, int rank_count, int rank, int number) {
    tenonUniqueId id;
    require(tenonGetUniqueIdForJob(job, &id));
    tenonComm_t comm = nullptr;
    require(tenonCommInitRank(&comm, rank_count, id, rank));
    self.tell("joined");
    self.hear();  // so that both jobs are there at the same time
    std::vector<int> all(static_cast<std::size_t>(rank_count));
    require(tenonAllGather(&number, all.data(), 1, tenonInt, comm, nullptr), comm);
    std::string words;
    for (const int n : all) words += std::to_string(n) + " ";
    require(tenonCommDestroy(comm));
    return words;
}

TEST(Meeting, TwoJobsAtATimeDoNotMeet) {
    const std::string mine = "test-" + std::to_string(getpid());
    RankProcesses ranks(6, [&](RankProcess& self) {
        const bool first = self.rank() % 2 == 0;
        return numbers_of(self, (mine + (first ? "a" : "b")).c_str(), 3, self.rank() / 2, self.rank());
    });
    for (int r = 0; r < 6; r++) EXPECT_EQ(ranks.hear(r), "joined");
    for (int r = 0; r < 6; r++) ranks.tell(r, "go");
    const auto results = ranks.results();
    for (std::size_t r = 0; r < 6; r++) EXPECT_EQ(results[r], r % 2 == 0 ? "0 2 4 " : "1 3 5 ");
}

TEST(Meeting, AJobsNameCanBeUsedAgain) {
    const std::string job = "again-" + std::to_string(getpid());
    for (int round = 0; round < 3; round++) {
        RankProcesses ranks(2, [&](RankProcess& self) {
            return numbers_of(self, job.c_str(), 2, self.rank(), self.rank() + 10 * round);
        });
        for (int r = 0; r < 2; r++) ranks.hear(r);
        for (int r = 0; r < 2; r++) ranks.tell(r, "go");
        for (const std::string& line : ranks.results())
            EXPECT_EQ(line, std::to_string(10 * round) + " " + std::to_string(10 * round + 1) + " ");
    }
}

// A view of the file system of its own, where /dev/shm holds 64 KB; false where the system does not allow it.
bool enter_world_with_little_shared_memory() {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    return mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k") == 0;
}

TEST(Meeting, NeedsNoSpaceInDevShm) {
    RankProcesses ranks(3, [](RankProcess& self) -> std::string {
        if (!enter_world_with_little_shared_memory()) return std::string("not permitted: ") + std::strerror(errno);
        struct statvfs space{};
        if (statvfs("/dev/shm", &space) != 0 || space.f_blocks * space.f_frsize > (64 << 10))
            return "there is more space than that";
        tenonComm_t comm = join(self);
        void* memory = nullptr;
        require(tenonMemAlloc(&memory, 4 << 20));
        auto* n = static_cast<int*>(memory);
        std::fill(n, n + (1 << 20), self.rank());
        require(tenonAllReduce(memory, memory, 1 << 20, tenonInt, tenonSum, comm, nullptr), comm);
        const bool right = n[0] == 3 && n[(1 << 20) - 1] == 3;
        require(tenonCommDestroy(comm));
        return right ? "right" : "wrong sums";
    });
    const auto results = ranks.results();
    if (contains(results[0], "not permitted")) GTEST_SKIP() << "this system gives no mount namespace: " << results[0];
    for (const std::string& line : results) EXPECT_EQ(line, "right");
}

TEST(Meeting, LeavesNoChildProcess) {
    RankProcesses ranks(2, [](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        require(tenonBarrier(comm, nullptr), comm);
        require(tenonCommDestroy(comm));
        std::ifstream children("/proc/self/task/" + std::to_string(gettid()) + "/children");
        std::string first;
        children >> first;
        return first.empty() ? "none" : "child " + first;
    });
    for (const std::string& line : ranks.results()) EXPECT_EQ(line, "none");
}

}  // namespace
}  // namespace tenon::multiprocess
