// Communicators with devices between processes that share an emulated machine, two ranks in each; and one that is
// killed in the middle.
#include <gmock/gmock.h>
#include <signal.h>

#include <cstdlib>

#include "library/emulated_machine.hpp"
#include "tests/device/acl_machine.hpp"
#include "tests/device/device_job.hpp"
#include "tests/device/devices.hpp"
#include "tests/support/rank_processes.hpp"

namespace tenon::support {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class DeviceProcesses : public ::testing::Test {
protected:
    DeviceProcesses() { setenv("TENON_EMULATED_MACHINE", shared_.path.c_str(), 1); }
    ~DeviceProcesses() override { unsetenv("TENON_EMULATED_MACHINE"); }
    SharedMachine shared_ = must(share_emulated_machine());
};

// Two ranks of each process, as threads, on devices of its server; what the first that fails says.
std::string sums(RankProcess& process, const std::string& kind, int devices) {
    tenonUniqueId id;
    if (process.rank() == 0) require(tenonGetUniqueId(&id));
    process.share(std::as_writable_bytes(std::span{&id, 1}));
    const int ranks = 2 * process.rank_count();
    std::vector<std::string> said(2);
    on_rank_threads(2, [&](Rank thread) {
        const int rank = 2 * process.rank() + thread;
        const DeviceUser user{kind + ":" + std::to_string(rank % devices)};
        tenonConfig_t config = device_config(user, 30'000);
        tenonComm_t comm = nullptr;
        require(tenonCommInitRankConfig(&comm, ranks, id, rank, &config));
        std::string& mine = said[static_cast<std::size_t>(thread)];
        for (const std::size_t count : {1, 5'000, 300'000}) {
            const auto memory = user.allocate(4 * count);
            user.put(memory, std::vector<std::byte>(4 * count, std::byte{1}));
            for (const tenonRedOp_t op : {tenonSum, tenonMax, tenonMax})
                if (const auto done = tenonAllReduce(memory, memory, count, tenonInt32, op, comm, user.stream());
                    done != tenonSuccess && mine.empty())
                    mine = outcome(done);
            if (const auto done = tenonStreamSynchronize(user.stream()); done != tenonSuccess && mine.empty())
                mine = outcome(done);
            if (mine.empty() &&
                user.get(memory, 4 * count) != std::vector<std::byte>(4 * count, static_cast<std::byte>(ranks)))
                mine = "wrong sums of " + std::to_string(count);
        }
        require(tenonCommDestroy(comm));
    });
    return said[0] + said[1];
}

TEST_F(DeviceProcesses, AddUpWithTwoRanksInEachAndLeaveNothing) {
    {
        RankProcesses processes{4, [](RankProcess& process) { return sums(process, "emulated", 8); }};
        EXPECT_EQ(processes.results(), std::vector<std::string>(4));
    }
    EXPECT_EQ(shared_.machine->usage(), emulated::Machine::Usage{}) << "something was left behind";
}

TEST_F(DeviceProcesses, AddUpOverTwoServersOfASupernode) {
    auto description = emulated::MachineDescription::uniform(4, {device::LinkClass::supernode, 150'000'000'000, 2'100});
    description.server_of = {0, 0, 1, 1};
    description.memory = {256 << 20};
    for (const std::size_t inside : {1, 4, 11, 14})  // from * 4 + to
        description.links[inside] = {device::LinkClass::server, 170'000'000'000, 700};
    const SharedMachine machine = must(share_emulated_machine(description));
    setenv("TENON_EMULATED_MACHINE", machine.path.c_str(), 1);
    {
        RankProcesses processes{2, [](RankProcess& process) { return sums(process, "emulated", 4); }};
        EXPECT_EQ(processes.results(), std::vector<std::string>(2));
    }
    EXPECT_EQ(machine.machine->usage(), emulated::Machine::Usage{}) << "something was left behind";
}

// As NPUs do, by fabric handles; the ranks meet as those of different hosts do.
TEST(DeviceProcessesOfTwoServers, AddUpOverTheEmulatedAcl) {
    const AclMachine machine{{.servers = 2, .devices_per_server = 2}};
    {
        RankProcesses processes{2, [&](RankProcess& process) {
            setenv("TENON_HOST_ID", process.rank() == 0 ? "first" : "second", 1);
            must(machine.provider(static_cast<std::uint32_t>(process.rank())));
            return sums(process, "ascend", 2) + emulated_acl().misuse();
        }};
        EXPECT_EQ(processes.results(), std::vector<std::string>(2));
    }
    machine.expect_nothing_left();
}

std::string until_it_fails(RankProcess& process) {
    tenonUniqueId id;
    if (process.rank() == 0) require(tenonGetUniqueId(&id));
    process.share(std::as_writable_bytes(std::span{&id, 1}));
    const DeviceUser user{"emulated:" + std::to_string(process.rank())};
    tenonConfig_t config = device_config(user, 60'000);
    tenonComm_t comm = nullptr;
    require(tenonCommInitRankConfig(&comm, process.rank_count(), id, process.rank(), &config));
    constexpr std::size_t count = 20'000;
    const auto memory = user.allocate(4 * count);
    user.put(memory, std::vector<std::byte>(4 * count));
    for (int call = 0;; call++) {
        tenonResult_t result = tenonAllReduce(memory, memory, count, tenonInt32, tenonSum, comm, user.stream());
        if (result == tenonSuccess && call % 7 == 0) result = tenonStreamSynchronize(user.stream());
        if (call == 20) process.tell("runs");
        if (result == tenonSuccess) continue;
        const std::string said = outcome(result);
        require(tenonCommDestroy(comm));
        return said;
    }
}

TEST_F(DeviceProcesses, ThatAreKilledAreAnErrorOnEveryOtherInTime) {
    RankProcesses processes{3, until_it_fails};
    for (int rank = 0; rank < 3; rank++) ASSERT_EQ(processes.hear(rank), "runs");
    const std::int64_t since_ms = now_ms();
    processes.send_signal(1, SIGKILL);
    for (const int rank : {0, 2})
        EXPECT_THAT(processes.wait(rank).last_line, AllOf(HasSubstr("remote error"), HasSubstr("rank 1"),
                                                          HasSubstr("has died")));
    EXPECT_LT(now_ms() - since_ms, 10'000);
    processes.wait(1);
}

TEST_F(DeviceProcesses, WhoseDeviceFailsAreAnErrorOnEveryRankThatNamesIt) {
    RankProcesses processes{3, until_it_fails};
    for (int rank = 0; rank < 3; rank++) ASSERT_EQ(processes.hear(rank), "runs");
    shared_.machine->fail_after(1, 100);
    for (const std::string& said : processes.results())
        EXPECT_THAT(said, AllOf(HasSubstr("rank 1: all_reduce of 20000 int32, sum (call "), HasSubstr("on emulated:1"),
                                HasSubstr("emulated device 1 has failed")));
}

}  // namespace
}  // namespace tenon::support
