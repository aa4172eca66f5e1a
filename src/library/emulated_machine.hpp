// The emulated devices that a process sees: those that what started it has made, or its own.
#pragma once

#include <memory>
#include <string>

#include "config/config.hpp"
#include "transports/device_link/emulated/machine.hpp"

namespace tenon {

// 16 devices, joined like the dies of a server of a CloudMatrix384.
Result<std::shared_ptr<emulated::Machine>> emulated_machine(const Config& config);
// Makes such devices for processes that this one starts. They live as long as the machine; the path, which names it
// while this process lives, is the value of TENON_EMULATED_MACHINE for them.
struct SharedMachine {
    std::shared_ptr<emulated::Machine> machine;
    std::string path;
};
Result<SharedMachine> share_emulated_machine();
Result<SharedMachine> share_emulated_machine(const emulated::MachineDescription& description);

}  // namespace tenon
