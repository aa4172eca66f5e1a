#include "tests/device/process_pair.hpp"

#include <gmock/gmock.h>

#include "tests/device/acl_machine.hpp"

namespace tenon::support {
namespace {

constexpr std::string_view skipped = "skipped: ";

std::string run_one(int rank, os::LocalSocket& socket, Result<std::unique_ptr<device::Provider>> provider,
                    const std::function<void(PairedProcess&)>& body) {
    if (!provider) return std::string{skipped} + provider.error().message;
    try {
        PairedProcess process{rank, socket, **provider};
        body(process);
    } catch (const std::exception& problem) {
        return problem.what();
    }
    return ::testing::Test::HasFailure() ? "an expectation failed (see above)" : "";
}

}  // namespace

void PairedProcess::send(std::span<const std::byte> bytes) const {
    must(socket_->send(bytes, os::Deadline::after_ms(patience_ms)));
}

void PairedProcess::receive(std::span<std::byte> bytes) const {
    must(socket_->receive(bytes, os::Deadline::after_ms(patience_ms)));
}

device::Key PairedProcess::swap(const device::Key& own) const {
    device::Key theirs;
    send(own.bytes);
    receive(theirs.bytes);
    return theirs;
}

void PairedProcess::meet() const { swap({}); }

void run_pair(const std::string& provider, const std::function<void(PairedProcess&)>& body) {
    std::shared_ptr<emulated::Machine> machine;
    if (provider == "emulated") {
        const device::Link link{device::LinkClass::server, 100'000'000'000, 700};
        machine = must(emulated::Machine::create(emulated::MachineDescription::uniform(2, link)));
    }
    std::optional<AclMachine> acl;
    if (provider == "emulated_acl") acl.emplace();
    auto sockets = must(os::LocalSocket::pair());
    RankProcesses processes{2, [&](RankProcess& process) {
                                os::LocalSocket& own = process.rank() == 0 ? sockets.first : sockets.second;
                                // Only this process's: to close it would shut it for the other, too.
                                const os::FileDescriptor others =
                                    (process.rank() == 0 ? sockets.second : sockets.first).release();
                                if (machine) return run_one(process.rank(), own, emulated_devices(machine), body);
                                if (acl) {
                                    const auto result = run_one(process.rank(), own, acl->provider(), body);
                                    return result + emulated_acl().misuse();
                                }
                                return run_one(process.rank(), own, make_device_provider(provider), body);
                            }};
    { const os::FileDescriptor first = sockets.first.release(), second = sockets.second.release(); }
    const auto results = processes.results();
    if (results[0].starts_with(skipped)) GTEST_SKIP() << results[0];
    EXPECT_THAT(results, ::testing::Each(""));
    if (machine) {
        EXPECT_EQ(machine->usage(), emulated::Machine::Usage{}) << "something was left behind";
    }
    if (acl) acl->expect_nothing_left();
}

}  // namespace tenon::support
