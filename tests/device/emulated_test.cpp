// What only emulated devices have: virtual time, the hardware's rules enforced, a machine that processes share.
#include <gmock/gmock.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "os/process.hpp"
#include "tests/device/devices.hpp"
#include "transports/device_link/emulated/timeline.hpp"

namespace tenon::support {
namespace {

using device::LinkClass;
using emulated::Machine;
using emulated::MachineDescription;
using ::testing::HasSubstr;

constexpr std::uint64_t task_ns = 2'000, latency_ns = 700;
constexpr std::uint64_t link_bytes_per_second = 100'000'000'000;  // 10 us for each of these:
constexpr std::size_t ten_us_bytes = 1'000'000;

class EmulatedTest : public ::testing::Test {
protected:
    void use(const MachineDescription& description) {
        machine = must(Machine::create(description));
        provider = emulated_devices(machine);
        empty = machine->usage();
    }
    static MachineDescription three_devices() {
        MachineDescription description =
            MachineDescription::uniform(3, {LinkClass::server, link_bytes_per_second, latency_ns});
        for (std::uint32_t d = 0; d < 3; d++)
            description.links[d * 4] = {LinkClass::same, 10 * link_bytes_per_second, 0};
        description.task_ns = task_ns;
        return description;
    }
    void SetUp() override { use(three_devices()); }

    DeviceBench open(device::DeviceIndex index) {
        DeviceBench bench{*provider, index};
        for (device::DeviceIndex peer = 0; peer < machine->device_count(); peer++)
            must(bench.device->enable_peer(peer));
        return bench;
    }
    // The virtual time that what `body` enqueues takes.
    static std::uint64_t time_of(DeviceBench& bench, const std::function<void()>& body) {
        const auto before = must(bench.device->create_event()), after = must(bench.device->create_event());
        must(bench.stream->record(*before));
        body();
        must(bench.stream->record(*after));
        must(bench.stream->synchronize(patience_ms));
        return must(after->ns_since(*before)) - task_ns;
    }

    std::shared_ptr<Machine> machine;
    std::unique_ptr<device::Provider> provider;
    Machine::Usage empty;
};

TEST_F(EmulatedTest, ACopyTakesItsTaskTheLinkAndTheLatency) {
    auto here = open(0), there = open(1);
    const auto own = here.allocate(ten_us_bytes), theirs = there.allocate(ten_us_bytes);
    const auto write = [&] { must(here.stream->copy(theirs->data(), own->data(), {ten_us_bytes})); };
    const auto read = [&] { must(here.stream->copy(own->data(), theirs->data(), {ten_us_bytes})); };
    const auto local = [&] { must(here.stream->copy(own->data(), own->data(), {ten_us_bytes})); };
    EXPECT_EQ(time_of(here, write), task_ns + 10'000 + latency_ns);
    EXPECT_EQ(time_of(here, read), task_ns + 10'000 + 2 * latency_ns);
    EXPECT_EQ(time_of(here, local), task_ns + 1'000);
}

TEST_F(EmulatedTest, ANotifyCarriesTheTime) {
    auto here = open(0), there = open(1);
    const auto memory = here.allocate(ten_us_bytes), theirs = there.allocate(ten_us_bytes);
    const auto notify = must(there.device->create_notify());
    const auto imported = must(here.device->import_notify(must(notify->share({}))));
    must(here.stream->copy(theirs->data(), memory->data(), {ten_us_bytes}));
    must(here.stream->record(*imported));
    const auto waiting = [&] { must(there.stream->wait(*notify)); };
    // The other stream's clock was at its first record's end.
    EXPECT_EQ(time_of(there, waiting) + task_ns, 2 * task_ns + 10'000 + 2 * latency_ns);
}

TEST_F(EmulatedTest, TransfersOverOneLinkSerialiseAndOverTwoDoNot) {
    auto here = open(0), second = open(0), there = open(1), elsewhere = open(2);
    const auto own = here.allocate(ten_us_bytes);
    const auto theirs = there.allocate(2 * ten_us_bytes), others = elsewhere.allocate(ten_us_bytes);
    const auto together = [&](std::byte* one, std::byte* other) {
        std::uint64_t times[2] = {};
        std::thread beside{[&] {
            times[1] = time_of(second, [&] { must(second.stream->copy(other, own->data(), {ten_us_bytes})); });
        }};
        times[0] = time_of(here, [&] { must(here.stream->copy(one, own->data(), {ten_us_bytes})); });
        beside.join();
        return std::max(times[0], times[1]);
    };
    EXPECT_EQ(together(theirs->data(), others->data()), task_ns + 10'000 + latency_ns);
    EXPECT_EQ(together(theirs->data(), theirs->data() + ten_us_bytes), task_ns + 20'000 + latency_ns);
}

TEST_F(EmulatedTest, ATimelineTakesTheFirstGapThatIsLongEnough) {
    emulated::Timeline line;
    EXPECT_EQ(line.reserve(100, 10), 100U);
    EXPECT_EQ(line.reserve(100, 10), 110U);
    EXPECT_EQ(line.reserve(200, 10), 200U);
    EXPECT_EQ(line.reserve(0, 100), 0U) << "what comes later may be earlier in virtual time";
    EXPECT_EQ(line.reserve(0, 90), 210U);
    EXPECT_EQ(line.reserve(0, 80), 120U);
    EXPECT_EQ(line.reserve(0, 1), 300U) << "all is one interval now";
    for (std::uint64_t i = 0; i < 1000; i++) EXPECT_EQ(line.reserve(1000 + 20 * i, 10), 1000 + 20 * i);
    EXPECT_EQ(line.reserve(50'000, 10), 50'000U);
}

TEST_F(EmulatedTest, ReducesInItsOwnMemoryOnly) {
    auto here = open(0), there = open(1);
    const auto own = here.allocate(64), theirs = there.allocate(64);
    EXPECT_THAT(refused(here.stream->reduce(own->data(), theirs->data(), {4}, DataType::float32, ReduceOp::sum),
                        Status::invalid_argument),
                HasSubstr("own memory"));
    refused(here.stream->reduce(theirs->data(), own->data(), {4}, DataType::float32, ReduceOp::sum),
            Status::invalid_argument);
}

TEST_F(EmulatedTest, ReducesFromPeersWhereThatIsSaid) {
    MachineDescription description = three_devices();
    description.reduces_from_peers = true;
    use(description);
    auto here = open(0), there = open(1);
    const auto own = here.allocate(4), theirs = there.allocate(4);
    here.put(own->data(), std::vector<std::byte>(4, std::byte{1}));
    there.put(theirs->data(), std::vector<std::byte>(4, std::byte{2}));
    must(here.stream->reduce(own->data(), theirs->data(), {4}, DataType::int8, ReduceOp::sum));
    EXPECT_EQ(here.get(own->data(), 4), std::vector<std::byte>(4, std::byte{3}));
}

TEST_F(EmulatedTest, ReachesOnlyPeersThatWereEnabled) {
    DeviceBench here{*provider, 0};
    auto there = open(1);
    const auto own = here.allocate(64), theirs = there.allocate(64);
    EXPECT_THAT(refused(here.stream->copy(theirs->data(), own->data(), {64}), Status::device_error),
                HasSubstr("enable_peer(1)"));
    const auto shared = must(there.device->share(theirs->data(), {64}, {}));
    EXPECT_THAT(refused(here.device->import_memory(shared->key()), Status::device_error), HasSubstr("enable_peer(1)"));
    refused(here.device->enable_peer(3), Status::invalid_argument);
    EXPECT_EQ(machine->usage().imports, 0U);
}

TEST_F(EmulatedTest, DevicesWithoutALinkDoNotReachEachOther) {
    MachineDescription description = three_devices();
    description.links[0 * 3 + 1].link_class = LinkClass::none;
    use(description);
    DeviceBench here{*provider, 0};
    EXPECT_THAT(refused(here.device->enable_peer(1), Status::device_error), HasSubstr("0 and 1"));
}

TEST_F(EmulatedTest, RefusesWhatReachesPastAnAllocation) {
    auto here = open(0);
    auto memory = here.allocate(1024);
    refused(here.stream->copy(memory->data(), memory->data() + 512, {1024}), Status::invalid_argument);
    std::byte* const freed = memory->data();
    memory.reset();
    refused(here.stream->copy(freed, freed, {8}), Status::invalid_argument);
}

TEST_F(EmulatedTest, TheExporterClosesAfterTheImporters) {
    auto here = open(0), there = open(1);
    const auto memory = here.allocate(64);
    auto shared = must(here.device->share(memory->data(), {64}, {}));
    auto imported = must(there.device->import_memory(shared->key()));
    EXPECT_THAT(refused(shared->close(), Status::invalid_usage), HasSubstr("importers close before"));
    imported.reset();
    must(shared->close());
    refused(there.device->import_memory(shared->key()), Status::invalid_argument);
}

TEST_F(EmulatedTest, OnlyProcessesThatWereNamedImport) {
    auto here = open(0), there = open(1);
    const auto memory = here.allocate(64);
    const device::ProcessNumber other = os::parent_process_id();
    // The exporter itself always may; another process is in tests/device/emulated_process_test.cpp.
    const auto shared = must(here.device->share(memory->data(), {64}, std::span{&other, 1}));
    EXPECT_NE(must(there.device->import_memory(shared->key())), nullptr);
}

TEST_F(EmulatedTest, MemoryReachesOtherServersWhereItWasAllocatedForThat) {
    MachineDescription description = three_devices();
    description.server_of = {0, 0, 1};
    use(description);
    auto here = open(0), far = open(2);
    const auto near_memory = here.allocate(64);
    const auto far_memory = must(here.device->allocate({.bytes = {64}, .reach = device::Reach::supernode}));
    const auto within = must(here.device->share(near_memory->data(), {64}, {}));
    const auto beyond = must(here.device->share(far_memory->data(), {64}, {}));
    EXPECT_THAT(refused(far.device->import_memory(within->key()), Status::device_error), HasSubstr("Reach::supernode"));
    EXPECT_NE(must(far.device->import_memory(beyond->key())), nullptr);
}

TEST_F(EmulatedTest, ASignalThatWouldBeLostIsAnError) {
    auto here = open(0);
    const auto notify = must(here.device->create_notify());
    must(here.stream->record(*notify));
    must(here.stream->record(*notify));
    EXPECT_THAT(refused(here.stream->synchronize(patience_ms), Status::device_error), HasSubstr("a signal is lost"));
    EXPECT_THAT(refused(here.stream->record(*notify), Status::device_error), HasSubstr("a signal is lost"))
        << "the stream does nothing more";
}

TEST_F(EmulatedTest, NothingIsLeftBehind) {
    {
        auto here = open(0), there = open(1);
        const auto memory = here.allocate(64);
        const auto shared = must(here.device->share(memory->data(), {64}, {}));
        const auto imported = must(there.device->import_memory(shared->key()));
        const auto notify = must(here.device->create_notify());
        const auto imported_notify = must(there.device->import_notify(must(notify->share({}))));
        EXPECT_EQ(machine->usage(), (Machine::Usage{.allocations = 1, .shares = 2, .imports = 2, .notifies = 1}));
    }
    EXPECT_EQ(machine->usage(), empty);
}

TEST_F(EmulatedTest, MemoryIsUsedAgain) {
    auto here = open(0);
    const std::uint64_t third = machine->memory_of_each().value / 3;
    for (int i = 0; i < 10; i++) {
        const auto first = here.allocate(third);
        auto second = here.allocate(third);
        second.reset();
        const auto again = here.allocate(third), last = here.allocate(third / 2);
        refused(here.device->allocate({.bytes = {third}}), Status::device_error);
    }
    EXPECT_EQ(machine->usage().allocations, 0U);
}

TEST_F(EmulatedTest, AttachesToAMachineByItsFile) {
    const auto second = must(Machine::attach(machine->file()));
    const auto other = emulated_devices(second);
    auto here = open(0);
    DeviceBench there{*other, 1};
    must(there.device->enable_peer(0));
    const auto memory = here.allocate(1000);
    const auto shared = must(here.device->share(memory->data(), {1000}, {}));
    const auto imported = must(there.device->import_memory(shared->key()));
    EXPECT_NE(imported->data(), memory->data());
    there.put(imported->data(), numbered_bytes(1000, 4));
    EXPECT_EQ(here.get(memory->data(), 1000), numbered_bytes(1000, 4));
    const auto none = must(os::create_shared_memory("no machine", {4096}));
    refused(Machine::attach(none), Status::mismatch);
}

TEST(EmulatedDescriptions, ACloudMatrixServerHas16Dies) {
    const MachineDescription server = MachineDescription::cloud_matrix_server();
    ASSERT_EQ(server.server_of.size(), 16U);
    EXPECT_EQ(server.links[0 * 16 + 1].link_class, LinkClass::package);
    EXPECT_EQ(server.links[1 * 16 + 2].link_class, LinkClass::server);
    EXPECT_EQ(server.links[3 * 16 + 3].link_class, LinkClass::same);
}

}  // namespace
}  // namespace tenon::support
