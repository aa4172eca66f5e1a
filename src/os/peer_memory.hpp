// Reading and writing another process's memory by its addresses (process_vm_readv, process_vm_writev).
//
// The system decides who may (ptrace rules: the same user, no restricting security module; containers often forbid it).
// So try once with a known value before relying on it. All bytes or an error; after an error some may have been copied.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "tenon/plugin/types.hpp"

namespace tenon::os {

Result<void> read_peer_memory(pid_t process, std::uint64_t address, std::span<std::byte> into);
Result<void> write_peer_memory(pid_t process, std::uint64_t address, std::span<const std::byte> from);

}  // namespace tenon::os
