#include "transports/tcp/tcp_transport.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace tenon::tcp {
namespace {

// With so few sockets, asking each costs less than asking which.
constexpr std::size_t few_sockets = 2;
constexpr std::uint64_t look_every_ns = 250'000'000;
constexpr int looks_between_clocks = 16;

}  // namespace

Result<std::unique_ptr<Network>> TcpTransport::make(NetworkFacts facts, std::unique_ptr<Links> links) {
    auto poller = os::Poller::create();
    if (!poller) return std::unexpected(poller.error());
    return std::unique_ptr<Network>(new TcpTransport(std::move(facts), std::move(links), std::move(*poller)));
}

TcpTransport::TcpTransport(NetworkFacts facts, std::unique_ptr<Links> links, os::Poller poller)
    : facts_(std::move(facts)),
      links_(std::move(links)),
      poller_(std::move(poller)),
      memory_(facts_.rank, facts_.shape_of, facts_.slot_memory_cap_bytes),
      connections_(static_cast<std::size_t>(facts_.rank_count)) {}

Connection& TcpTransport::connection(Rank peer) { return connection_to(peer); }

TcpConnection& TcpTransport::connection_to(Rank peer) {
    TENON_ASSERT(peer >= 0 && peer < facts_.rank_count && peer != facts_.rank, "no such peer");
    const std::scoped_lock lock(connecting_);
    auto& made = connections_[static_cast<std::size_t>(peer)];
    if (made == nullptr)
        made = std::make_unique<TcpConnection>(memory_, [this, peer] { links_->want(peer); });
    return *made;
}

Result<void> TcpTransport::take_up_new() {
    for (;;) {
        auto opened = links_->next();
        if (!opened) return std::unexpected(opened.error());
        if (!*opened) return {};
        TcpConnection& connection = connection_to((*opened)->peer);
        connection.open(std::move((*opened)->socket));
        if (auto ok = poller_.watch(connection.socket().descriptor(), &connection); !ok) return ok;
        active_.push_back({&connection, (*opened)->peer});
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
    if (links_->pending())
        if (auto ok = take_up_new(); !ok) return std::unexpected(ok.error());
    if (auto ok = find_readable(); !ok) return std::unexpected(ok.error());
    bool all_gone = !links_->pending() || !something_waits();
    for (const Active& a : active_) {
        const auto gone = a.connection->progress(a.may_have_come);
        if (!gone) return std::unexpected(links_->lost(a.peer, gone.error()));
        all_gone &= *gone;
    }
    if (auto ok = look_whether_peers_answer(); !ok) return std::unexpected(ok.error());
    return all_gone;
}

Result<void> TcpTransport::look_whether_peers_answer() {
    if (++since_last_look_ < looks_between_clocks) return {};
    since_last_look_ = 0;
    const std::uint64_t now = os::now_ns();
    if (now - last_look_ns_ < look_every_ns) return {};
    last_look_ns_ = now;
    for (const Active& a : active_)
        if (a.connection->is_open())
            if (auto ok = a.connection->socket().check_reach(facts_.patience_ms); !ok)
                return std::unexpected(links_->lost(a.peer, ok.error()));
    return {};
}

// Has something been sent to a peer whose socket is not there yet?
bool TcpTransport::something_waits() {
    const std::scoped_lock lock(connecting_);
    return std::ranges::any_of(connections_, [](const auto& c) { return c != nullptr && c->waits_for_socket(); });
}

Result<bool> TcpTransport::finish_sending() {
    auto moved = progress();
    if (!moved || !*moved) return moved;
    // A peer that has wanted this rank too must not find it gone.
    bool all_gone = !links_->pending();
    std::optional<Error> first;
    for (const Active& a : active_) {  // of all: what is lost at one must not keep the others from their goodbye
        const auto gone = a.connection->finish_sending();
        if (gone) all_gone &= *gone;
        else if (!first) first = links_->lost(a.peer, gone.error());
    }
    if (first) return std::unexpected(*first);
    return all_gone;
}

}  // namespace tenon::tcp
