// The provider `ascend` over the emulated ACL between processes: every algorithm, on one server and on two of a
// supernode; and that the library's rules hold between them.
#include <gmock/gmock.h>

#include "library/registry.hpp"
#include "plan/all_ranks.hpp"
#include "selection/selection.hpp"
#include "tests/device/acl_machine.hpp"
#include "tests/device/meeting.hpp"
#include "tests/device/process_pair.hpp"
#include "tests/support/seed.hpp"

namespace tenon::support {
namespace {

using ::testing::Each;

struct World {
    Rank ranks;
    std::uint32_t servers;
};

class AscendWorldTest : public ::testing::TestWithParam<World> {
protected:
    Rank ranks() const { return GetParam().ranks; }
    std::uint32_t ranks_per_server() const { return static_cast<std::uint32_t>(ranks()) / GetParam().servers; }
};

INSTANTIATE_TEST_SUITE_P(, AscendWorldTest, ::testing::Values(World{2, 1}, World{3, 1}, World{4, 1}, World{4, 2}),
                         [](const auto& given) {
                             return std::to_string(given.param.ranks) + "_ranks_on_" +
                                    std::to_string(given.param.servers);
                         });

// The result's words, "" where it is right or the algorithm is not for this.
std::string run(DeviceRank& own, const Algorithm& algorithm, const Request& request, std::uint64_t seed) {
    if (!Selection::obstacle(algorithm, request).empty()) return "";
    const auto plans = plans_of_all_ranks(
        algorithm, request, {.rank_count = request.rank_count, .has_boards = false, .slot_bytes = 16384});
    if (!plans) return plans.error().message;
    const Reference reference{{.collective = request.collective,
                               .type = request.type,
                               .rank_count = request.rank_count,
                               .count = request.count.value},
                              Values::exact,
                              false,
                              seed};
    const std::string wrong = own.run(*plans, request, reference, false);
    return wrong.empty() ? "" : std::string{algorithm.name} + ": " + wrong;
}

TEST_P(AscendWorldTest, EveryAlgorithmGivesTheReferencesResults) {
    const AclMachine machine{{.servers = GetParam().servers, .devices_per_server = ranks_per_server()}};
    ProcessMeeting meeting{ranks()};
    const std::uint64_t seed = test_seed();
    RankProcesses processes{ranks(), [&](RankProcess& process) -> std::string {
        const auto server = static_cast<std::uint32_t>(process.rank()) / ranks_per_server();
        const auto provider = must(machine.provider(server));
        DeviceRank own{*provider,
                       {.rank = process.rank(),
                        .rank_count = ranks(),
                        .links = {.slot = {16384},
                                  .reach = GetParam().servers > 1 ? device::Reach::supernode : device::Reach::server},
                        .introduce = meeting.of(process.rank())}};
        for (const Algorithm& algorithm : algorithms())
            for (const std::size_t count : {1, 10'007}) {
                const std::string wrong = run(own, algorithm,
                                              {.collective = algorithm.collective,
                                               .rank = process.rank(),
                                               .rank_count = ranks(),
                                               .count = {count},
                                               .type = count == 1 ? DataType::int32 : DataType::float32},
                                              seed);
                if (!wrong.empty()) return wrong;
            }
        own.close();
        return emulated_acl().misuse();
    }};
    EXPECT_THAT(processes.results(), Each(""));
    machine.expect_nothing_left();
}

TEST(AscendServers, MemoryReachesAnotherServerWhereItWasAllocatedForThat) {
    const AclMachine machine{{.servers = 2, .devices_per_server = 1}};
    ProcessMeeting meeting{2};
    RankProcesses processes{2, [&](RankProcess& process) -> std::string {
        const auto provider = must(machine.provider(static_cast<std::uint32_t>(process.rank())));
        DeviceBench bench{*provider};
        const auto introduce = meeting.of(process.rank());
        for (const auto reach : {device::Reach::server, device::Reach::supernode}) {
            const auto memory = must(bench.device->allocate({.bytes = {5000}, .reach = reach}));
            auto shared = must(bench.device->share(memory->data() + 1000, {4000}, {}));
            const auto keys = must(introduce(shared->key().bytes));
            device::Key theirs;
            std::ranges::copy(keys[static_cast<std::size_t>(1 - process.rank())], theirs.bytes.begin());
            auto imported = bench.device->import_memory(theirs);
            if (reach == device::Reach::server) {
                EXPECT_THAT(refused(imported, Status::device_error),
                            ::testing::AllOf(::testing::HasSubstr("507899"), ::testing::HasSubstr("Reach::supernode")));
            } else {
                const auto source = bench.allocate(4000);
                bench.put(source->data(), numbered_bytes(4000, static_cast<unsigned>(process.rank())));
                must(bench.stream->copy(must(std::move(imported))->data(), source->data(), {4000}));
                must(bench.stream->synchronize(patience_ms));
                must(introduce({}));
                EXPECT_EQ(bench.get(memory->data() + 1000, 4000),
                          numbered_bytes(4000, static_cast<unsigned>(1 - process.rank())));
            }
            imported = fail(Status::aborted, "closed");
            must(introduce({}));
            must(shared->close());
        }
        return ::testing::Test::HasFailure() ? "an expectation failed (see above)" : emulated_acl().misuse();
    }};
    EXPECT_THAT(processes.results(), Each(""));
    machine.expect_nothing_left();
}

TEST(AscendProcesses, TheExporterClosesAfterTheImporters) {
    const AclMachine machine;
    ProcessMeeting meeting{2};
    RankProcesses processes{2, [&](RankProcess& process) -> std::string {
        const auto provider = must(machine.provider());
        DeviceBench bench{*provider, static_cast<device::DeviceIndex>(process.rank())};
        const auto introduce = meeting.of(process.rank());
        const auto memory = bench.allocate(64);
        auto shared = must(bench.device->share(memory->data(), {64}, {}));
        const auto keys = must(introduce(shared->key().bytes));
        device::Key theirs;
        std::ranges::copy(keys[static_cast<std::size_t>(1 - process.rank())], theirs.bytes.begin());
        {
            const auto imported = must(bench.device->import_memory(theirs));
            must(introduce({}));
            EXPECT_THAT(refused(shared->close(), Status::invalid_usage),
                        ::testing::HasSubstr("importers close before the exporter does"));
            must(introduce({}));
        }
        EXPECT_THAT(emulated_acl().misuse(), ::testing::HasSubstr("aclrtIpcMemClose"));
        must(introduce({}));
        must(shared->close());
        return ::testing::Test::HasFailure() ? "an expectation failed (see above)" : "";
    }};
    EXPECT_THAT(processes.results(), Each(""));
    machine.expect_nothing_left();
}

}  // namespace
}  // namespace tenon::support
