#include "transports/tcp/links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace tenon::tcp {
namespace {

constexpr std::uint64_t least_connect_patience_ms = 10'000;

}  // namespace

Links::Links(Rank own, std::vector<Peer> peers, Purpose purpose, const os::Secret& key, std::shared_ptr<DataPort> port,
             std::uint64_t patience_ms)
    : own_(own),
      peers_(std::move(peers)),
      purpose_(purpose),
      key_(key),
      port_(std::move(port)),
      patience_ms_(patience_ms),
      came_(peers_.size()) {}

void Links::want(Rank peer) {
    TENON_ASSERT(peer >= 0 && peer < peer_count() && peer != own_ && this->peer(peer).address.valid(), "no such peer");
    new_.push_back(peer);
}

Error Links::lost(Rank peer, const Error& error) const {
    const Peer& facts = this->peer(peer);
    return {error.status, fmt::format("rank {} has lost its connection to rank {} on {} ({}): {}", own_, peer,
                                      facts.host, facts.address.text(), error.message)};
}

Result<void> Links::begin(Rank peer) {
    if (own_ > peer) {
        if (!came_[static_cast<std::size_t>(peer)]) awaited_.push_back(peer);
        return {};
    }
    auto socket = os::TcpSocket::start_connecting(this->peer(peer).address);
    if (!socket) return std::unexpected(lost(peer, socket.error()));
    const auto until = os::Deadline::after_ms(std::max(least_connect_patience_ms, patience_ms_));
    calls_.push_back({peer, std::move(*socket), until});
    return {};
}

// True when both sides have proved who they are.
Result<bool> Links::advance(Call& call) {
    if (auto in_time = call.until.check("it to accept the connection"); !in_time)
        return std::unexpected(in_time.error());
    if (!call.handshake) {
        pollfd watched{call.socket.descriptor().number(), POLLOUT, 0};
        const auto ready = os::wait_ready(std::span{&watched, 1}, os::Deadline::never(), 0);
        if (!ready || !*ready) return ready;
        if (auto done = call.socket.finish_connecting(); !done) return std::unexpected(done.error());
        if (auto set = call.socket.set_patience(patience_ms_); !set) return std::unexpected(set.error());
        call.handshake = os::Handshake::connecting(key_, wire_version, to_bytes({own_, call.peer, purpose_}));
    }
    return call.handshake->advance(call.socket);
}

Result<std::optional<Links::Opened>> Links::take_arrival() {
    auto arrival = port_->take(own_, purpose_);
    if (!arrival) return std::unexpected(arrival.error());
    if (!*arrival) return std::nullopt;
    const Rank from = (*arrival)->from;
    if (from < 0 || from >= own_ || !peer(from).address.valid())
        return fail(Status::remote_error, fmt::format("rank {}: who knows the job's secret claims to be rank {}, which "
                                                      "does not connect to it",
                                                      own_, from));
    if (came_[static_cast<std::size_t>(from)])
        return std::unexpected(lost(from, {Status::remote_error, "it has connected a second time"}));
    came_[static_cast<std::size_t>(from)] = true;
    std::erase(awaited_, from);
    if (auto set = (*arrival)->socket.set_patience(patience_ms_); !set) return std::unexpected(lost(from, set.error()));
    return Opened{from, std::move((*arrival)->socket)};
}

Result<std::optional<Links::Opened>> Links::next() {
    for (const Rank peer : std::exchange(new_, {}))
        if (auto begun = begin(peer); !begun) return std::unexpected(begun.error());
    for (auto call = calls_.begin(); call != calls_.end(); ++call) {
        const auto open = advance(*call);
        if (!open) return std::unexpected(lost(call->peer, open.error()));
        if (!*open) continue;
        Opened opened{call->peer, std::move(call->socket)};
        calls_.erase(call);
        return opened;
    }
    if (awaited_.empty()) return std::nullopt;
    return take_arrival();
}

}  // namespace tenon::tcp
