// Emulated devices and processes: whitelists, and what a process leaves that was killed.
#include <gmock/gmock.h>

#include <csignal>

#include "os/process.hpp"
#include "tests/device/process_pair.hpp"

namespace tenon::support {
namespace {

using emulated::Machine;
using emulated::MachineDescription;

std::shared_ptr<Machine> two_devices(std::uint32_t notify_limit) {
    MachineDescription description = MachineDescription::uniform(2, {device::LinkClass::server, 100'000'000'000, 700});
    description.notify_limit = notify_limit;
    return must(Machine::create(description));
}

class WhitelistTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(, WhitelistTest, ::testing::Values("emulated", "emulated_acl"),
                         [](const auto& given) { return given.param; });

TEST_P(WhitelistTest, OnlyProcessesThatWereNamedImport) {
    run_pair(GetParam(), [](PairedProcess& process) {
        DeviceBench bench{process.provider()};
        device::ProcessNumber theirs = 0;
        const device::ProcessNumber own = process.provider().process();
        process.send(std::as_bytes(std::span{&own, 1}));
        process.receive(std::as_writable_bytes(std::span{&theirs, 1}));
        const auto memory = bench.allocate(64);
        const device::ProcessNumber stranger = os::parent_process_id();
        const auto meant = must(bench.device->share(memory->data(), {64}, std::span{&theirs, 1}));
        const auto not_meant = must(bench.device->share(memory->data(), {64}, std::span{&stranger, 1}));
        {
            const auto imported = must(bench.device->import_memory(process.swap(meant->key())));
            const std::string why =
                refused(bench.device->import_memory(process.swap(not_meant->key())), Status::device_error);
            EXPECT_THAT(why,
                        ::testing::AnyOf(::testing::HasSubstr("process " + std::to_string(own) + " may not import"),
                                         ::testing::HasSubstr("the exporter must name this one")));
        }
        process.meet();
        {
            const auto notify = must(bench.device->create_notify());
            const auto key = must(notify->share(std::span{&theirs, 1}));
            const auto imported = must(bench.device->import_notify(process.swap(key)));
            process.meet();
        }
        process.meet();
    });
}

TEST(EmulatedProcessTest, WhatAKilledProcessHadIsTakenBack) {
    constexpr std::uint32_t notify_limit = 4;
    const auto machine = two_devices(notify_limit);
    {
        RankProcesses processes{1, [&](RankProcess& process) {
                                    const auto provider = emulated_devices(machine);
                                    DeviceBench bench{*provider};
                                    const auto memory = bench.allocate(machine->memory_of_each().value);
                                    std::vector<std::unique_ptr<device::Notify>> notifies;
                                    for (std::uint32_t n = 0; n < notify_limit; n++)
                                        notifies.push_back(must(bench.device->create_notify()));
                                    process.tell("has all");
                                    return process.hear();
                                }};
        ASSERT_EQ(processes.hear(0), "has all");
        processes.send_signal(0, SIGKILL);
        EXPECT_EQ(processes.wait(0).signal, SIGKILL);
    }
    EXPECT_EQ(machine->usage().notifies, notify_limit);
    const auto provider = emulated_devices(machine);
    DeviceBench bench{*provider};
    EXPECT_NE(bench.allocate(machine->memory_of_each().value), nullptr);
    EXPECT_NE(must(bench.device->create_notify()), nullptr);
}

}  // namespace
}  // namespace tenon::support
