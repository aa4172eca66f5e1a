#include "transports/tcp/tcp_network.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "os/process.hpp"

namespace tenon::tcp {
namespace {

// With so few sockets, asking each costs less than asking which.
constexpr std::size_t few_sockets = 2;
constexpr std::uint64_t look_every_ns = os::TcpSocket::reach_look_every_ms * 1'000'000;

}  // namespace

Result<std::unique_ptr<Network>> TcpNetwork::make(NetworkFacts facts, std::unique_ptr<Links> links,
                                                  std::optional<unsigned> sockets) {
    auto poller = os::Poller::create();
    if (!poller) return std::unexpected(poller.error());
    return std::unique_ptr<Network>(new TcpNetwork(std::move(facts), std::move(links), sockets, std::move(*poller)));
}

TcpNetwork::TcpNetwork(NetworkFacts facts, std::unique_ptr<Links> links, std::optional<unsigned> sockets,
                       os::Poller poller)
    : facts_(std::move(facts)),
      links_(std::move(links)),
      poller_(std::move(poller)),
      memory_(facts_.rank, facts_.shape_of, facts_.slots),
      connections_(static_cast<std::size_t>(facts_.rank_count)),
      sockets_(sockets),
      look_(look_every_ns) {}

Connection& TcpNetwork::connection(Rank peer) { return connection_to(peer); }

TcpConnection& TcpNetwork::connection_to(Rank peer) {
    TENON_ASSERT(peer >= 0 && peer < facts_.rank_count && peer != facts_.rank, "no such peer");
    const std::scoped_lock lock(connecting_);
    auto& made = connections_[static_cast<std::size_t>(peer)];
    if (made == nullptr)
        made = std::make_unique<TcpConnection>(
            memory_, facts_.peer_bytes, [this, peer] { links_->want(peer); },
            [this, peer](unsigned count) { links_->want_further(peer, count); });
    return *made;
}

Result<void> TcpNetwork::take_up_new() {
    for (;;) {
        auto opened = links_->next();
        if (!opened) return std::unexpected(opened.error());
        if (!*opened) return {};
        TcpConnection& connection = connection_to((*opened)->peer);
        if ((*opened)->number == 0) {
            connection.want_sockets(sockets_over((*opened)->socket));
            active_.push_back({&connection, (*opened)->peer});
        }
        FrameSocket& socket = connection.open((*opened)->number, std::move((*opened)->socket));
        if (auto ok = poller_.watch(socket.socket().descriptor(), &socket); !ok) return ok;
        socket_count_++;
    }
}

unsigned TcpNetwork::sockets_over(const os::TcpSocket& socket) {
    if (sockets_) return *sockets_;
    const auto own = socket.local_address();
    if (!own) return 1;
    const auto [at, is_new] = usual_sockets_.try_emplace(own->host_text());
    if (is_new) at->second = usual_sockets(os::link_with(*own), links_->joined_count(), os::descriptor_limit());
    return at->second;
}

Result<void> TcpNetwork::find_readable() {
    if (socket_count_ <= few_sockets) {
        for (const Active& a : active_) a.connection->something_came();
        return {};
    }
    auto ready = poller_.ready(0);
    if (!ready) return std::unexpected(ready.error());
    for (void* const tag : *ready) static_cast<FrameSocket*>(tag)->something_came();
    return {};
}

Result<bool> TcpNetwork::progress() {
    if (links_->pending())
        if (auto ok = take_up_new(); !ok) return std::unexpected(ok.error());
    if (auto ok = find_readable(); !ok) return std::unexpected(ok.error());
    const bool waits = links_->lacks_first() && something_waits();
    if (look_.is_due())
        if (auto ok = check_reach(); !ok) return std::unexpected(ok.error());
    auto all_gone = ask_all(active_, [this](const Active& a) { return named(a, a.connection->progress()); });
    if (all_gone && waits) all_gone = false;
    return all_gone;
}

int TcpNetwork::wait_descriptor() const {
    look_.slept();
    for (const Active& a : active_)
        for (const auto& socket : a.connection->sockets()) socket->watch_for_room(poller_);
    return poller_.descriptor().number();
}

// What has gone wrong is said of both ranks.
Result<bool> TcpNetwork::named(const Active& a, Result<bool> said) const {
    if (!said) said = std::unexpected(links_->lost(a.peer, said.error()));
    return said;
}

Result<void> TcpNetwork::check_reach() {
    for (const Active& a : active_)
        if (a.connection->is_open())
            if (auto ok = a.connection->check_reach(facts_.patience_ms); !ok)
                return std::unexpected(links_->lost(a.peer, ok.error()));
    links_->tell_of_failed([this](Rank peer) { return connection_to(peer).is_open(); });
    return {};
}

// Has something been sent to a peer whose socket is not there yet?
bool TcpNetwork::something_waits() {
    const std::scoped_lock lock(connecting_);
    return std::ranges::any_of(connections_, [](const auto& c) { return c != nullptr && c->waits_for_socket(); });
}

Result<bool> TcpNetwork::finish_sending() {
    const auto moved = progress();
    if (moved && !*moved) return false;
    // Also where one peer is lost: the others must have their goodbye.
    auto finished = ask_all(active_, [this](const Active& a) { return named(a, a.connection->finish_sending()); });
    if (!moved) return moved;
    // A peer that has wanted this rank too must not find it gone; further sockets it need not have.
    if (finished && links_->lacks_first()) finished = false;
    return finished;
}

}  // namespace tenon::tcp
