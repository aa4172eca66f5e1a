// What a communicator needs of the parts that only the composition root may name: the algorithms that there are and the
// transports that join ranks. Defined in src/library.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bootstrap/meeting.hpp"
#include "communicator/device_stream.hpp"
#include "config/config.hpp"
#include "os/file_descriptor.hpp"
#include "os/handshake.hpp"
#include "os/internet.hpp"
#include "os/process.hpp"
#include "tenon/plugin/algorithm.hpp"
#include "tenon/plugin/network.hpp"
#include "tenon/plugin/transport.hpp"

namespace tenon {

struct PeerFacts {
    pid_t process = 0;
    bool same_process = false;
    os::FileDescriptor arena{};  // the memory that the peer's process shares; not valid in the same process
    bool kernel_copies = false;
    bool over_network = false;        // shares no memory with this rank, or shall not
    os::InternetAddress address{};    // where its process takes data connections
    NetworkSet networks = 0;          // what its process could use, as networks_here() said there
    std::string host{};               // its name, for messages
    std::string interface {};         // that has this address there, where it is known
};

// What joins a rank to others over a network.
struct NetworkShare {
    std::shared_ptr<const os::TcpListener> listener{};  // where this process takes data connections
    os::Secret key{};                                   // that they are proved with
    std::uint64_t patience_ms = 0;
    std::string name{};                                 // which network; empty: for each peer the best
    NetworkSet own = 0;                                 // what this process could use
    std::optional<std::uint32_t> sockets_per_peer{};    // where it has sockets; nothing: it decides
};

// A rank among the others: those of its host around one memory segment.
struct HostShare {
    std::byte* segment = nullptr;
    std::uint64_t control_bytes = 0;  // at the start of the segment, the communicator's own
    Rank rank = 0;
    Rank rank_count = 1;
    std::uint64_t slot_memory_bytes = 0;
    std::vector<PeerFacts> peers{};
    NetworkShare network{};  // where some peers are over_network
    std::shared_ptr<KnownMemory> known_memory{};
    std::uint64_t registered_cap_bytes = 0;
    RdmaChoices rdma{};
    UcxChoices ucx{};
    std::string interface {};  // that TENON_SOCKET_INTERFACE has led to; empty where it is not set
};

std::uint64_t segment_bytes(Rank rank_count, std::uint64_t slot_memory_bytes, std::uint64_t control_bytes);
std::uint64_t largest_slot_bytes(Rank rank_count, std::uint64_t slot_memory_bytes);
// What each peer on another host costs a rank.
struct NetworkSlots {
    std::uint64_t slot_bytes, channel_bytes;
    std::uint64_t peer_bytes;  // at most, beside its channels
    std::size_t channels;      // that every peer may have at once
};
NetworkSlots network_slots(Rank rank_count, std::uint64_t slot_memory_bytes);
Result<std::unique_ptr<Transport>> make_transport(HostShare share);
// The networks beside tcp that this process could use where TENON_NETWORK leaves the choice to Tenon; looked up once.
NetworkSet networks_here(const Config& config);
// Why Tenon does not choose a network though the system shows hardware for it, such as too little memory that may be
// pinned; empty where nothing is refused.
std::string refused_networks(const Config& config);
// Why this process cannot use the network that the configuration names; empty where it can.
std::string network_obstacle(const Config& config);
// The device of this name, such as "cuda:0": whoever opens it again while it is open gets the same. Not to be called
// before a fork.
Result<std::shared_ptr<OpenDevice>> open_device(const std::string& name);
// How many devices of a kind there are, such as "cuda"; an error says why none can be used.
Result<device::DeviceIndex> count_devices(const std::string& kind);
// With those of the plugins that the configuration names, which are loaded on first use.
Result<std::span<const Algorithm>> known_algorithms(const Config& config);

}  // namespace tenon
