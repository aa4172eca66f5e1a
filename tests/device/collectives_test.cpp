// Every algorithm on device streams, ranks as threads, each with a device: the results are the reference's, and what a
// call leaves is as before it. Then what is refused, and what is said when a peer does not come.
#include <gmock/gmock.h>

#include "library/registry.hpp"
#include "plan/all_ranks.hpp"
#include "selection/selection.hpp"
#include "tests/device/acl_machine.hpp"
#include "tests/device/meeting.hpp"
#include "tests/support/rank_threads.hpp"
#include "tests/support/seed.hpp"

namespace tenon::support {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<device::Provider> devices(const std::string& kind, Rank count,
                                          std::shared_ptr<emulated::Machine>& machine,
                                          std::shared_ptr<FakeMachine>& gpus) {
    if (kind == "fake_cuda") {
        gpus = std::make_shared<FakeMachine>();
        gpus->gpus = count;
        return must(fake_cuda_provider(gpus));
    }
    if (kind == "emulated_acl")
        return must(AclMachine{{.devices_per_server = static_cast<std::uint32_t>(count)}}.provider());
    const device::Link link{device::LinkClass::server, 100'000'000'000, 700};
    machine =
        must(emulated::Machine::create(emulated::MachineDescription::uniform(static_cast<std::uint32_t>(count), link)));
    return emulated_devices(machine);
}

struct Case {
    const Algorithm* algorithm;
    Rank rank_count;
    const char* provider;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const Algorithm& algorithm : algorithms())
        for (const Rank rank_count : {2, 3, 4}) {
            if (algorithm.needs.power_of_two_ranks && rank_count == 3) continue;
            all.push_back({&algorithm, rank_count, "emulated"});
            if (rank_count == 3) all.push_back({&algorithm, rank_count, "fake_cuda"});
            if (rank_count == 4) all.push_back({&algorithm, rank_count, "emulated_acl"});
        }
    return all;
}

class DeviceCollectivesTest : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(, DeviceCollectivesTest, ::testing::ValuesIn(cases()), [](const auto& given) {
    return std::string{name_of(given.param.algorithm->collective)} + "_" + std::string{given.param.algorithm->name} +
           "_" + std::to_string(given.param.rank_count) + "_" + given.param.provider;
});

struct Call {
    DataType type;
    std::size_t count;
    bool in_place;
};

TEST_P(DeviceCollectivesTest, GivesTheReferencesResults) {
    const auto [algorithm, rank_count, kind] = GetParam();
    const Collective collective = algorithm->collective;
    std::shared_ptr<emulated::Machine> machine;
    std::shared_ptr<FakeMachine> gpus;
    auto provider = devices(kind, rank_count, machine, gpus);
    const std::uint64_t seed = test_seed();
    const Topology topology{.rank_count = rank_count, .has_boards = false, .slot_bytes = 16384};
    Meeting meeting{rank_count};
    on_rank_threads(rank_count, [&](Rank rank) {
        DeviceRank own{
            *provider,
            {.rank = rank, .rank_count = rank_count, .links = {.slot = {16384}}, .introduce = meeting.of(rank)}};
        for (const Call call : {Call{DataType::float32, 1, false}, Call{DataType::float32, 20'011, true},
                                Call{DataType::float16, 1000, false}, Call{DataType::int32, 50'000, false}}) {
            const bool in_place = call.in_place && algorithm->in_place && collective != Collective::all_to_all;
            const Request request{.collective = collective,
                                  .rank = rank,
                                  .rank_count = rank_count,
                                  .count = {call.count},
                                  .type = call.type};
            const Reference reference{
                {.collective = collective, .type = call.type, .rank_count = rank_count, .count = call.count},
                Values::exact,
                false,
                seed};
            if (!Selection::obstacle(*algorithm, request).empty()) continue;
            EXPECT_EQ(own.run(must(plans_of_all_ranks(*algorithm, request, topology)), request, reference, in_place),
                      "")
                << "rank " << rank << ": " << in_words(reference.shape()) << (in_place ? ", in place" : "");
        }
        own.close();
    });
    if (machine) {
        EXPECT_EQ(machine->usage(), emulated::Machine::Usage{}) << "something was left behind";
    }
    provider.reset();
    if (kind == std::string_view{"emulated_acl"}) expect_nothing_left_of_acl();
}

class DevicePairTest : public ::testing::Test {
protected:
    std::vector<Plan> all_reduce_plans(Rank rank, ReduceOp op = ReduceOp::sum) {
        request = {.collective = Collective::all_reduce,
                   .rank = rank,
                   .rank_count = 2,
                   .count = {1000},
                   .type = DataType::float32,
                   .op = op};
        return must(plans_of_all_ranks(*find_algorithm(Collective::all_reduce, "ring"), request,
                                       {.rank_count = 2, .has_boards = false}));
    }
    std::shared_ptr<emulated::Machine> machine;
    std::shared_ptr<FakeMachine> gpus;
    std::unique_ptr<device::Provider> provider = devices("emulated", 2, machine, gpus);
    Meeting meeting{2};
    DeviceLinkOptions small{.slot = {16384}};
    Request request;
};

TEST_F(DevicePairTest, RefusesWhatDevicesCannotDo) {
    std::thread peer{[&] {
        DeviceRank other{*provider, {.rank = 1, .rank_count = 2, .links = small, .introduce = meeting.of(1)}};
        other.close();
    }};
    DeviceRank own{*provider, {.rank = 0, .rank_count = 2, .links = small, .introduce = meeting.of(0)}};
    DeviceBench& bench = own.bench();
    const auto memory = bench.allocate(4000);
    std::vector<float> on_host(1000);
    const auto plans = all_reduce_plans(0);
    const auto why = [&](std::span<const Plan> asked, const DeviceBuffers& buffers) {
        const auto ordered = own.execution().order(asked, request);
        if (!ordered) return refused(ordered, Status::invalid_argument);
        return refused(own.execution().prepare(*ordered, request, buffers), Status::invalid_argument);
    };
    EXPECT_THAT(why(plans, {on_host.data(), memory->data()}), AllOf(HasSubstr("input buffer"), HasSubstr("device 0")));
    EXPECT_THAT(why(plans, {memory->data(), on_host.data()}), HasSubstr("output buffer"));
    const auto average = all_reduce_plans(0, ReduceOp::avg);
    EXPECT_THAT(why(average, {memory->data(), memory->data()}),
                AllOf(HasSubstr("all_reduce by ring"), HasSubstr("avg"), HasSubstr("float32")));
    auto crowded = all_reduce_plans(0);
    crowded[0].lanes.resize(bench.device->facts().independent_streams + 1);
    EXPECT_THAT(why(crowded, {memory->data(), memory->data()}), HasSubstr("lanes"));
    auto remote = all_reduce_plans(0);
    remote[0].lanes[0].steps[0].send_channel = 9;
    EXPECT_THAT(why(remote, {memory->data(), memory->data()}), HasSubstr("channel 9"));
    request.type = DataType::bfloat16;
    request.deterministic = true;
    EXPECT_THAT(why(plans, {memory->data(), memory->data()}), HasSubstr("deterministic"));
    must(bench.stream->synchronize(patience_ms));
    own.close();
    peer.join();
}

TEST_F(DevicePairTest, SaysThatAPeerDoesNotComeAndGivesUp) {
    std::thread peer{[&] {
        DeviceRank other{*provider, {.rank = 1, .rank_count = 2, .links = small, .introduce = meeting.of(1)}};
        other.close();
    }};
    {
        DeviceRank own{*provider, {.rank = 0, .rank_count = 2, .links = small, .introduce = meeting.of(0)}};
        const auto memory = own.bench().allocate(4000);
        const auto plans = all_reduce_plans(0);
        const auto call = must(own.execution().prepare(must(own.execution().order(plans, request)), request,
                                                       {memory->data(), memory->data()}));
        must(own.execution().issue(call, *own.bench().stream));
        const auto done = own.execution().synchronize(*own.bench().stream, 100);
        EXPECT_THAT(refused(done, Status::timeout), HasSubstr("a peer may not have come"));
        own.close();
    }
    peer.join();
    EXPECT_EQ(machine->usage(), emulated::Machine::Usage{});
}

TEST_F(DevicePairTest, SlotsShrinkToTheirCap) {
    on_rank_threads(2, [&](Rank rank) {
        auto bench = DeviceBench{*provider, static_cast<device::DeviceIndex>(rank)};
        must(bench.device->enable_peer(static_cast<device::DeviceIndex>(1 - rank)));
        const auto links =
            must(DeviceLinks::make(*bench.device, rank, 2,
                                   {.channels = 4, .slot = {1 << 20}, .most_slot_bytes = {1 << 18}}, meeting.of(rank)));
        EXPECT_EQ(links->slot_bytes().value, (1U << 18) / (4 * 2));
        must(links->close(meeting.of(rank)));
    });
}

}  // namespace
}  // namespace tenon::support
