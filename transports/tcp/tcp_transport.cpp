#include "transports/tcp/tcp_transport.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace tenon::tcp {
namespace {

// With so few sockets, asking each costs less than asking which.
constexpr std::size_t few_sockets = 2;

}  // namespace

Result<std::unique_ptr<TcpTransport>> TcpTransport::make(Rank rank, std::vector<Peer> peers, const os::Secret& key,
                                                         std::shared_ptr<DataPort> port, std::uint64_t patience_ms,
                                                         std::uint64_t slot_memory_cap_bytes, ShapeOf shape_of) {
    auto poller = os::Poller::create();
    if (!poller) return std::unexpected(poller.error());
    return std::unique_ptr<TcpTransport>(new TcpTransport(rank, std::move(peers), key, std::move(port), patience_ms,
                                                          slot_memory_cap_bytes, std::move(shape_of),
                                                          std::move(*poller)));
}

TcpTransport::TcpTransport(Rank rank, std::vector<Peer> peers, const os::Secret& key, std::shared_ptr<DataPort> port,
                           std::uint64_t patience_ms, std::uint64_t slot_memory_cap_bytes, ShapeOf shape_of,
                           os::Poller poller)
    : rank_(rank),
      peers_(std::move(peers)),
      key_(key),
      port_(std::move(port)),
      patience_ms_(patience_ms),
      slot_memory_cap_(slot_memory_cap_bytes),
      shape_of_(std::move(shape_of)),
      poller_(std::move(poller)),
      connections_(peers_.size()) {}

Connection& TcpTransport::connection(Rank peer) {
    TENON_ASSERT(peer >= 0 && static_cast<std::size_t>(peer) < peers_.size() && peer != rank_, "no such peer");
    const std::scoped_lock lock(connecting_);
    auto& made = connections_[static_cast<std::size_t>(peer)];
    if (made == nullptr) {
        const Peer& facts = peers_[static_cast<std::size_t>(peer)];
        made = std::make_unique<TcpConnection>(
            TcpConnection::Ends{rank_, peer, facts.address, facts.host, patience_ms_, key_},
            [this](std::uint16_t channel) { return make_mirror(channel); },
            [this](TcpConnection& wanted) { new_.push_back(&wanted); });
    }
    return *made;
}

Result<std::unique_ptr<Mirror>> TcpTransport::make_mirror(std::uint16_t channel) {
    const RingShape shape = shape_of_(channel);
    const std::uint64_t bytes = 2 * shape.bytes();
    if (slot_memory_ + bytes > slot_memory_cap_)
        return fail(Status::system_error,
                    fmt::format("rank {}: one more channel to another host, of {} bytes, would exceed the {} bytes of "
                                "slots that a rank may have for them in a communicator; raise TENON_SLOT_MEMORY_BYTES "
                                "on every rank",
                                rank_, bytes, slot_memory_cap_));
    auto made = Mirror::make(shape, channel);
    if (made) slot_memory_ += bytes;
    return made;
}

// All at once: those that connect start to, those that are to be accepted are awaited.
Result<void> TcpTransport::begin_new() {
    for (TcpConnection* c : std::exchange(new_, {}))
        if (auto ok = begin(*c); !ok) return ok;
    return awaited_.empty() ? Result<void>{} : take_arrivals();
}

Result<void> TcpTransport::begin(TcpConnection& connection) {
    if (connection.connects()) {
        if (auto ok = connection.start_connecting(); !ok) return ok;
        if (auto ok = poller_.watch(connection.socket().descriptor(), &connection); !ok) return ok;
        active_.push_back({&connection});
        return {};
    }
    if (connection.has_begun()) return {};  // it came while somebody else was awaited
    awaited_.push_back(&connection);
    return awaited_.size() == 1 ? poller_.watch(port_->descriptor(), nullptr) : Result<void>{};
}

Result<void> TcpTransport::take_arrivals() {
    for (;;) {
        auto arrival = port_->take(rank_);
        if (!arrival) return std::unexpected(arrival.error());
        if (!*arrival) return {};
        const Rank from = (*arrival)->from;
        if (from < 0 || from >= rank_ || !peers_[static_cast<std::size_t>(from)].address.valid())
            return fail(Status::remote_error, fmt::format("rank {}: who knows the job's secret claims to be rank {}, "
                                                          "which does not connect to it",
                                                          rank_, from));
        auto& peer = static_cast<TcpConnection&>(connection(from));
        if (auto ok = peer.accept(std::move((*arrival)->socket)); !ok) return ok;
        if (auto ok = poller_.watch(peer.socket().descriptor(), &peer); !ok) return ok;
        active_.push_back({&peer});
        if (std::erase(awaited_, &peer) != 0 && awaited_.empty())
            if (auto ok = poller_.forget(port_->descriptor()); !ok) return ok;
    }
}

Result<void> TcpTransport::find_readable() {
    if (active_.size() <= few_sockets) return {};
    for (Active& a : active_) a.may_have_come = false;
    auto ready = poller_.ready(0);
    if (!ready) return std::unexpected(ready.error());
    for (void* const tag : *ready)
        for (Active& a : active_) a.may_have_come |= a.connection == tag;
    return {};
}

Result<bool> TcpTransport::progress() {
    if (!new_.empty() || !awaited_.empty())
        if (auto ok = begin_new(); !ok) return std::unexpected(ok.error());
    if (auto ok = find_readable(); !ok) return std::unexpected(ok.error());
    bool all_gone = true;
    for (TcpConnection* const c : awaited_) all_gone &= *c->progress(false);
    for (const Active& a : active_) {
        auto gone = a.connection->progress(a.may_have_come);
        if (!gone) return gone;
        all_gone &= *gone;
    }
    return all_gone;
}

Result<bool> TcpTransport::finish_sending() {
    auto moved = progress();
    if (!moved || !*moved) return moved;
    bool all_gone = true;
    for (const Active& a : active_) {
        auto gone = a.connection->finish_sending();
        if (!gone) return gone;
        all_gone &= *gone;
    }
    return all_gone;
}

}  // namespace tenon::tcp
