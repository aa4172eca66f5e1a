// How the ranks of a job on one host find each other: everyone calls meet with the same UniqueId, and gets the table of
// all ranks, one shared memory segment, and the memory (arenas) that processes offer to their peers.
//
//   create_unique_id (in any process)  or  unique_id_for_job (in all);   meet (every rank, from a thread of its own)
//
// Thread-safe; ranks may be threads of one process, which then share one connection and one Meeting. A meeting either
// succeeds for all or fails for all that came: when ranks contradict each other, one is missing at the deadline, leaves
// or aborts, each gets an error that says who and what to do. Nothing stays behind: no file, socket or thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "bootstrap/unique_id.hpp"
#include "os/clock.hpp"
#include "os/file_descriptor.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace tenon {

// What all ranks must say alike.
struct Agreement {
    Rank rank_count = 1;
    ByteCount segment{};          // the size of the shared segment
    std::string build{};          // library version and build tag
    std::string configuration{};  // "NAME=value" lines; compared whole, explained from its first KiB
};

// Who a rank is. meet fills it in.
struct Introduction {
    Rank rank = 0;
    pid_t process = 0;
    os::ProcessToken process_token{};
    os::CoreSet cores{};
    std::int32_t arena = -1;  // which of Meeting::arenas is this rank's process's; -1 for none
};

// Shared by the ranks of a process that met together.
struct Meeting {
    std::vector<Introduction> ranks;  // by rank
    os::FileDescriptor segment;       // zero at first, Agreement::segment bytes; never shrinks
    os::Mapping memory;               // the segment, for all ranks of this process
    std::vector<os::FileDescriptor> arenas;
};

// Serves one meeting from a background thread of this process, which ends when the job has met or failed to, or with
// the process. The time for meeting counts from the first rank that comes.
Result<UniqueId> create_unique_id();

// `arena` is shared memory of this process that peers may map, or null; the ranks of a process offer the same one, and
// it is borrowed only during the call. An abort or the deadline ends the wait, for the ranks that came already as well.
Result<std::shared_ptr<const Meeting>> meet(const UniqueId& id, Rank rank, const Agreement& agreement,
                                            const os::FileDescriptor* arena, os::Deadline deadline);

}  // namespace tenon
