// The composition root: joins the transports and the algorithms to the communicator. The one place that names them.
#include "communicator/surroundings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "algorithms/patterns/manifest.hpp"
#include "library/joined_transport.hpp"
#include "library/plugins.hpp"
#include "library/registry.hpp"
#include "os/process.hpp"
#include "os/shared_library.hpp"
#include "transports/inproc/inproc.hpp"
#include "transports/shm/shm.hpp"
#include "transports/tcp/introductions.hpp"
#include "transports/tcp/tcp_network.hpp"

namespace tenon {
namespace {

std::vector<Algorithm> built_in() {
    std::vector<Algorithm> rows;
    for (const auto manifest :
         {all_reduce_algorithms(), all_gather_algorithms(), reduce_scatter_algorithms(), all_to_all_algorithms(),
          broadcast_algorithms(), reduce_algorithms(), gather_algorithms(), scatter_algorithms(), barrier_algorithms()})
        rows.insert(rows.end(), manifest.begin(), manifest.end());
    return rows;
}

// Made here and not by its row: it needs no introductions, but the sockets themselves.
NetworkRow built_in_network() {
    return {.name = "tcp", .summary = "sockets; large messages go from buffer to buffer without a copy here"};
}

// Never freed: communicators may outlive static objects. The plugins of the first communicator are the process's.
struct Registry {
    std::mutex mutex;
    std::vector<Algorithm> rows = built_in();
    std::vector<NetworkRow> networks = {built_in_network()};
    std::vector<std::string> plugins;
    std::vector<Algorithm> rows_before_plugins;  // others may hold them: they stay where they are
};
Registry& registry() {
    static auto* const made = new Registry;
    return *made;
}

}  // namespace

std::span<const Algorithm> algorithms() { return registry().rows; }

std::vector<const Algorithm*> algorithms_of(Collective collective) {
    std::vector<const Algorithm*> found;
    for (const Algorithm& a : algorithms())
        if (a.collective == collective) found.push_back(&a);
    return found;
}

const Algorithm* find_algorithm(Collective collective, std::string_view name) {
    for (const Algorithm& a : algorithms())
        if (a.collective == collective && a.name == name) return &a;
    return nullptr;
}

Result<std::span<const Algorithm>> known_algorithms(const Config& config) {
    Registry& r = registry();
    const std::scoped_lock lock(r.mutex);
    if (config.plugins == r.plugins) return r.rows;
    if (!r.plugins.empty())
        return fail(Status::invalid_usage,
                    "TENON_PLUGINS has changed since this process made its first communicator; set it before");
    auto brought = load_plugins(config.plugins, {.algorithms = r.rows, .networks = r.networks});
    if (!brought) return std::unexpected(brought.error());
    r.networks.insert(r.networks.end(), brought->networks.begin(), brought->networks.end());
    std::vector<Algorithm> grown = r.rows;
    grown.insert(grown.end(), brought->algorithms.begin(), brought->algorithms.end());
    r.rows_before_plugins = std::exchange(r.rows, std::move(grown));
    r.plugins = config.plugins;
    return r.rows;
}

std::uint64_t segment_bytes(Rank rank_count, std::uint64_t slot_memory_bytes, std::uint64_t control_bytes) {
    return SegmentLayout::of(rank_count, slot_memory_bytes, control_bytes).bytes();
}

std::uint64_t largest_slot_bytes(Rank rank_count, std::uint64_t slot_memory_bytes) {
    return SegmentLayout::of(rank_count, slot_memory_bytes, 0).pair_shape(0).slot_bytes;
}

namespace {

// Ranks of a process that met together share their listener, and so the port.
std::shared_ptr<tcp::DataPort> data_port(const NetworkShare& network) {
    static std::mutex mutex;
    static auto* const ports = new std::map<const os::TcpListener*, std::weak_ptr<tcp::DataPort>>;
    const std::scoped_lock lock(mutex);
    std::erase_if(*ports, [](const auto& entry) { return entry.second.expired(); });
    auto& known = (*ports)[network.listener.get()];
    auto port = known.lock();
    if (port == nullptr) {
        // It ends before what it listens on.
        port = std::shared_ptr<tcp::DataPort>(new tcp::DataPort(*network.listener, network.key),
                                              [listener = network.listener](tcp::DataPort* made) { delete made; });
        known = port;
    }
    return port;
}

// Half of what a ring between processes may take, since a rank holds both of a pair's rings here.
SegmentLayout network_layout(const HostShare& share) {
    return SegmentLayout::of(share.rank_count, share.slot_memory_bytes / 2, 0);
}

// Where the module of a network lies that comes with this library, if there is such a one: beside it, in tenon/.
std::optional<std::string> own_module(std::string_view name) {
    static const char here = 0;
    const bool is_word = std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
    std::string path = fmt::format("{}/tenon/libtenon_{}.so", os::folder_of(&here), name);
    return is_word && std::filesystem::exists(path) ? std::optional(std::move(path)) : std::nullopt;
}

// A copy, since others may load plugins meanwhile. Networks that come with the library are loaded when they are asked
// for.
Result<NetworkRow> network_named(std::string_view name) {
    Registry& r = registry();
    const std::scoped_lock lock(r.mutex);
    const auto find = [&] { return std::ranges::find(r.networks, name, &NetworkRow::name); };
    if (find() == r.networks.end())
        if (const auto path = own_module(name)) {
            auto brought = load_plugins({&*path, 1}, {.algorithms = r.rows, .networks = r.networks});
            if (!brought) return std::unexpected(brought.error());
            r.networks.insert(r.networks.end(), brought->networks.begin(), brought->networks.end());
        }
    if (const auto at = find(); at != r.networks.end()) return *at;
    std::vector<std::string_view> known;
    for (const NetworkRow& row : r.networks) known.push_back(row.name);
    return fail(Status::invalid_argument,
                fmt::format("TENON_NETWORK={}: there is no such network here; there are: {}, and the modules in the "
                            "folder tenon beside libtenon",
                            name, fmt::join(known, ", ")));
}

Result<std::unique_ptr<Network>> make_network(const HostShare& share) {
    auto row = network_named(share.network.name.empty() ? "tcp" : share.network.name);
    if (!row) return std::unexpected(row.error());
    std::vector<tcp::Peer> peers;
    NetworkFacts facts{.rank = share.rank, .rank_count = share.rank_count,
                       .shape_of = [layout = network_layout(share)](std::uint16_t c) { return layout.pair_shape(c); },
                       .slot_memory_cap_bytes = share.slot_memory_bytes, .patience_ms = share.network.patience_ms};
    for (const PeerFacts& peer : share.peers) {
        peers.push_back({peer.over_network ? peer.address : os::InternetAddress{}, peer.host});
        facts.hosts.push_back(peers.back().host);
    }
    const auto links_for = [&](tcp::Purpose purpose) {
        return std::make_unique<tcp::Links>(share.rank, peers, purpose, share.network.key, data_port(share.network),
                                            share.network.patience_ms);
    };
    if (row->make == nullptr) return tcp::TcpNetwork::make(std::move(facts), links_for(tcp::Purpose::messages));
    if (const std::string why = row->obstacle(); !why.empty())
        return fail(Status::system_error, fmt::format("TENON_NETWORK={}: {}", row->name, why));
    auto introductions = tcp::TcpIntroductions::make(links_for(tcp::Purpose::introductions));
    if (!introductions) return std::unexpected(introductions.error());
    facts.introductions = std::move(*introductions);
    return row->make(std::move(facts));
}

// By rank; the shared memory parts take what they need of the facts.
std::unique_ptr<RingTransport> make_rings(HostShare& share) {
    const auto layout = SegmentLayout::of(share.rank_count, share.slot_memory_bytes, share.control_bytes);
    bool has_threads = false;
    for (Rank r = 0; r < share.rank_count; r++)
        if (r != share.rank) has_threads |= share.peers[static_cast<std::size_t>(r)].same_process;
    auto peers = std::make_shared<std::vector<PeerFacts>>(std::move(share.peers));
    const auto reach_of = [peers](Rank peer) -> std::unique_ptr<Reach> {
        PeerFacts& facts = (*peers)[static_cast<std::size_t>(peer)];
        if (facts.same_process) return inproc_reach();
        return shm_reach({facts.process, std::move(facts.arena), facts.kernel_copies});
    };
    return std::make_unique<RingTransport>(share.segment, layout, share.rank, share.rank_count,
                                           share.slot_memory_bytes, reach_of, has_threads ? inproc_shares : shm_shares);
}

}  // namespace

Result<std::unique_ptr<Transport>> make_transport(HostShare share) {
    std::vector<bool> is_remote;
    for (const PeerFacts& facts : share.peers) is_remote.push_back(facts.over_network);
    if (std::ranges::find(is_remote, true) == is_remote.end()) return make_rings(share);
    auto remote = make_network(share);
    if (!remote) return std::unexpected(remote.error());
    const std::uint64_t remote_slot = network_layout(share).pair_shape(0).slot_bytes;
    auto local = make_rings(share);
    const std::uint64_t slot = std::min(local->slot_bytes(), remote_slot);
    return std::make_unique<JoinedTransport>(std::move(local), std::move(*remote), std::move(is_remote), slot);
}

}  // namespace tenon
