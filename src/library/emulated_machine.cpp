#include "library/emulated_machine.hpp"

#include <fmt/format.h>

#include "os/memory.hpp"
#include "os/process.hpp"

namespace tenon {
namespace {

emulated::MachineDescription usual_machine() {
    auto description = emulated::MachineDescription::cloud_matrix_server();
    description.memory = {512 << 20};  // of each device; only what is used takes any
    return description;
}

}  // namespace

Result<std::shared_ptr<emulated::Machine>> emulated_machine(const Config& config) {
    if (config.emulated_machine.empty()) return emulated::Machine::create(usual_machine());
    const auto explained = [](const Error& error) {
        return fail(error.status, fmt::format("TENON_EMULATED_MACHINE: {}; start the processes with tenon run "
                                              "--emulated-devices",
                                              error.message));
    };
    const auto file = os::open_shared_memory(config.emulated_machine);
    if (!file) return explained(file.error());
    auto machine = emulated::Machine::attach(*file);
    if (!machine) return explained(machine.error());
    return machine;
}

Result<SharedMachine> share_emulated_machine() { return share_emulated_machine(usual_machine()); }

Result<SharedMachine> share_emulated_machine(const emulated::MachineDescription& description) {
    auto machine = emulated::Machine::create(description);
    if (!machine) return std::unexpected(machine.error());
    auto path = fmt::format("/proc/{}/fd/{}", os::process_id(), (*machine)->file().number());
    return SharedMachine{std::move(*machine), std::move(path)};
}

}  // namespace tenon
