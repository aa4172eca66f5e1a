// The composition root: joins the transports and the algorithms to the communicator. The one place that names them.
#include "communicator/surroundings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "base/log.hpp"
#include "library/joined_transport.hpp"
#include "library/registry.hpp"
#include "transports/inproc/inproc.hpp"
#include "transports/rings/network_layout.hpp"
#include "transports/shm/shm.hpp"
#include "transports/tcp/introductions.hpp"
#include "transports/tcp/tcp_network.hpp"

namespace tenon {

std::uint64_t segment_bytes(Rank rank_count, std::uint64_t slot_memory_bytes, std::uint64_t control_bytes) {
    return SegmentLayout::of(rank_count, slot_memory_bytes, control_bytes).bytes();
}

std::uint64_t largest_slot_bytes(Rank rank_count, std::uint64_t slot_memory_bytes) {
    return SegmentLayout::of(rank_count, slot_memory_bytes, 0).pair_shape(0).slot_bytes;
}

NetworkSlots network_slots(Rank rank_count, std::uint64_t slot_memory_bytes) {
    const NetworkLayout layout = NetworkLayout::of(rank_count, slot_memory_bytes);
    return {layout.shape(0).slot_bytes, layout.channel_bytes(0), layout.peer_bytes(), layout.fitting_channels()};
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
        // It ends before what it listens on, and that, with all else of the meeting, with it: what is known of it here
        // would keep the deleter, and whatever that holds.
        port = std::shared_ptr<tcp::DataPort>(new tcp::DataPort(*network.listener, network.key),
                                              [listener = network.listener](tcp::DataPort* made) mutable {
                                                  delete made;
                                                  listener.reset();
                                              });
        known = port;
    }
    return port;
}

NetworkLayout network_layout(const HostShare& share) {
    return NetworkLayout::of(share.rank_count, share.slot_memory_bytes);
}

// Joins this rank to those of its peers for whom `is_joined` holds.
Result<std::unique_ptr<Network>> make_network(const NetworkRow& row, const HostShare& share,
                                              const std::shared_ptr<SlotBudget>& slots,
                                              const std::function<bool(Rank)>& is_joined) {
    std::vector<tcp::Peer> peers;
    const NetworkLayout layout = network_layout(share);
    NetworkFacts facts{.rank = share.rank, .rank_count = share.rank_count,
                       .shape_of = [layout](std::uint16_t c) { return layout.shape(c); }, .slots = slots,
                       .peer_bytes = layout.peer_bytes(), .patience_ms = share.network.patience_ms,
                       .known_memory = share.known_memory, .registered_cap_bytes = share.registered_cap_bytes,
                       .rdma = share.rdma, .ucx = share.ucx, .environment = process_environment(),
                       .interface = share.interface};
    for (Rank r = 0; r < share.rank_count; r++) {
        const PeerFacts& peer = share.peers[static_cast<std::size_t>(r)];
        const bool joined = is_joined(r);
        peers.push_back({joined ? peer.address : os::InternetAddress{}, peer.host, peer.interface});
        facts.hosts.push_back(joined || r == share.rank ? peer.host : "");
    }
    const auto links_for = [&](tcp::Purpose purpose) {
        return std::make_unique<tcp::Links>(share.rank, peers, purpose, share.network.key, data_port(share.network),
                                            share.network.patience_ms);
    };
    if (row.make == nullptr)
        return tcp::TcpNetwork::make(std::move(facts), links_for(tcp::Purpose::messages),
                                     share.network.sockets_per_peer);
    auto introductions = tcp::TcpIntroductions::make(links_for(tcp::Purpose::introductions));
    if (!introductions) return std::unexpected(introductions.error());
    facts.introductions = std::move(*introductions);
    return row.make(std::move(facts));
}

// Each pair on its best network; both sides come to the same one.
Result<Networks> make_networks(const HostShare& share, const std::shared_ptr<SlotBudget>& slots) {
    std::vector<std::string_view> names(static_cast<std::size_t>(share.rank_count));
    for (std::size_t r = 0; r < names.size(); r++)
        if (const PeerFacts& peer = share.peers[r]; peer.over_network)
            names[r] = share.network.name.empty() ? best_network(share.network.own, peer.networks) : share.network.name;
    Networks networks{.made = {}, .by_rank = std::vector<Network*>(names.size())};
    for (std::size_t first = 0; first < names.size(); first++) {
        if (names[first].empty() || networks.by_rank[first] != nullptr) continue;
        const auto is_joined = [&](Rank r) { return names[static_cast<std::size_t>(r)] == names[first]; };
        auto row = usable_network(names[first]);
        if (!row) return std::unexpected(row.error());
        auto made = make_network(*row, share, slots, is_joined);
        if (!made) return std::unexpected(made.error());
        for (std::size_t r = first; r < names.size(); r++)
            if (names[r] == names[first]) networks.by_rank[r] = made->get();
        log(LogLevel::info, "rank {} is joined to {} ranks of other hosts over {}", share.rank,
            std::ranges::count(networks.by_rank, made->get()), names[first]);
        networks.made.push_back(std::move(*made));
    }
    return networks;
}

// By rank; the shared memory parts take what they need of the facts.
std::unique_ptr<RingTransport> make_rings(HostShare& share, std::shared_ptr<SlotBudget> slots) {
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
    return std::make_unique<RingTransport>(share.segment, layout, share.rank, share.rank_count, std::move(slots),
                                           reach_of, has_threads ? inproc_shares : shm_shares);
}

}  // namespace

Result<std::unique_ptr<Transport>> make_transport(HostShare share) {
    auto slots = std::make_shared<SlotBudget>(share.slot_memory_bytes);
    if (std::ranges::none_of(share.peers, &PeerFacts::over_network)) return make_rings(share, std::move(slots));
    auto remote = make_networks(share, slots);
    if (!remote) return std::unexpected(remote.error());
    const std::uint64_t remote_slot = network_layout(share).shape(0).slot_bytes;
    auto local = make_rings(share, std::move(slots));
    const std::uint64_t slot = std::min(local->slot_bytes(), remote_slot);
    return std::make_unique<JoinedTransport>(std::move(local), std::move(*remote), slot);
}

}  // namespace tenon
