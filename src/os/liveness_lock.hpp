// Says whether a process still lives: it holds a lock on one byte of a file that all of them share.
//
// The kernel drops the lock when the process dies, however it dies; a forked child does not inherit it. No thread, no
// heartbeat, and no process number that might be reused.
//
// Two rules come with the kernel's record locks (fcntl F_SETLK):
// - they belong to the process and the file: closing ANY descriptor of that file drops all of the process's locks on
//   it. So keep one descriptor of the file per process, and close it last.
// - is_held never sees the caller's own locks: ranks of one process cannot ask about each other, and need not.
#pragma once

#include <cstdint>

#include "os/file_descriptor.hpp"

namespace tenon::os::liveness_lock {

// Does not wait; an error when another process holds the byte. `file` must be open for writing.
Result<void> hold(const FileDescriptor& file, std::uint64_t byte);
Result<void> release(const FileDescriptor& file, std::uint64_t byte);
// Whether another process holds the byte now.
Result<bool> is_held(const FileDescriptor& file, std::uint64_t byte);

}  // namespace tenon::os::liveness_lock
