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

// Whether the system seems to allow it between processes of one user: the calls exist here and no security module
// restricts them to a process's children. Looked at once.
bool peer_memory_is_readable();

Result<void> read_peer_memory(pid_t process, std::uint64_t address, std::span<std::byte> into);
Result<void> write_peer_memory(pid_t process, std::uint64_t address, std::span<const std::byte> from);

}  // namespace tenon::os
