// How the ranks of a job find each other: everyone calls meet with the same UniqueId, and gets the table of all ranks,
// the hosts they are on, and on each host one shared memory segment and the memory (arenas) that its processes offer to
// each other. Two ranks are on one host where they have touched the same memory, whatever their hosts are called.
//
//   create_unique_id (in any process)  or  unique_id_for_job (in all);   meet (every rank, from a thread of its own)
//
// Thread-safe; ranks may be threads of one process, which then share one connection and one Meeting. A meeting either
// succeeds for all or fails for all that came: when ranks contradict each other, one is missing at the deadline, leaves
// or aborts, each gets an error that says who and what to do. Nothing stays behind: no file, socket or thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <vector>

#include "bootstrap/unique_id.hpp"
#include "os/clock.hpp"
#include "os/file_descriptor.hpp"
#include "os/internet.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace tenon {

// What all ranks must say alike, and what they should.
struct Agreement {
    Rank rank_count = 1;
    ByteCount segment{};          // the size of the shared segment
    std::string build{};          // library version and build tag
    std::string configuration{};  // "NAME=value" lines; compared whole, explained from its first KiB
    std::string preferences{};    // such lines too, of what works where it differs, but seldom is meant
};

// Networks that a process could use instead of sockets: bits whose meaning meet does not need to know.
using NetworkSet = std::uint32_t;

// Who a rank is. meet fills it in.
struct Introduction {
    Rank rank = 0;
    pid_t process = 0;
    os::ProcessToken process_token{};
    os::CoreSet cores{};
    std::int32_t arena = -1;        // which of its host's Meeting::arenas is this rank's process's; -1 for none
    std::int32_t host = 0;          // which of Meeting::hosts
    os::InternetAddress address{};  // where its process takes data connections; not valid where it takes none
    NetworkSet networks = 0;        // as its NetworkSettings said
    std::uint64_t preferences = 0;  // a digest: which of Meeting::preferences are its own
};

// Over what a host talks to others, as far as it is known.
struct HostNetwork {
    std::string interface {};
    os::InternetAddress address{};
    std::uint32_t mtu = 0;         // 0: unknown
    std::uint32_t speed_mbps = 0;  // the same
};

// What a rank needs to know to meet others over a network.
struct NetworkSettings {
    std::string interface {};          // TENON_SOCKET_INTERFACE
    std::string host_id{};             // ranks with different ones never share memory; TENON_HOST_ID
    std::uint64_t patience_ms = 3000;  // within how long a host that is out of reach is noticed
    bool takes_data = false;           // wants a data listener also where the job is on one host
    NetworkSet networks = 0;           // what this process could use
    std::string obstacle{};            // why this rank cannot use the network: an error for all, if the job needs one
};

// One edge of the tree over the hosts, which carries what the hosts tell each other while the job runs.
struct HostLink {
    os::TcpSocket socket;
    std::int32_t host = 0;  // at the other end
};

// Shared by the ranks of a process that met together on one host.
struct Meeting {
    std::vector<Introduction> ranks;         // by rank
    std::vector<std::string> hosts;          // their names, for messages; numbered in the order of their lowest ranks
    std::vector<HostNetwork> networks;       // by host
    std::map<std::uint64_t, std::string> preferences;  // by digest, in the bounds of the wire
    os::Secret key;                          // of this meeting's data connections, made for it
    os::FileDescriptor segment;              // of this host: zero at first, Agreement::segment bytes; never shrinks
    os::Mapping memory;                      // the segment, for all ranks of this process
    std::vector<os::FileDescriptor> arenas;  // of this host's processes
    os::TcpListener listener;                // where this process takes data connections, for all of its ranks
    // This host's edges of the tree, for whoever relays: only in the process of the host's lowest rank, and there null
    // where the job has one host. Taken by that rank.
    std::unique_ptr<std::vector<HostLink>> links;
};

// Serves one meeting from a background thread of this process, which ends when the job has met or failed to, or with
// the process. The time for meeting counts from the first rank that comes.
Result<UniqueId> create_unique_id(const NetworkSettings& network = {});

// `arena` is shared memory of this process that peers may map, or null; the ranks of a process offer the same one, and
// it is borrowed only during the call. An abort or the deadline ends the wait, for the ranks that came already as well.
Result<std::shared_ptr<const Meeting>> meet(const UniqueId& id, Rank rank, const Agreement& agreement,
                                            const os::FileDescriptor* arena, os::Deadline deadline,
                                            const NetworkSettings& network = {});

}  // namespace tenon
