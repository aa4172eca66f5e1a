#include "transports/tcp/links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace tenon::tcp {
namespace {

constexpr std::uint64_t least_connect_patience_ms = 10'000, try_again_after_ms = 20;

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
    return {error.status, fmt::format("rank {} on {} has lost its connection to rank {} on {} ({}): {}", own_,
                                      this->peer(own_).host, peer, facts.host, facts.address.text(), error.message)};
}

Result<void> Links::begin(Rank peer) {
    if (own_ > peer) {
        if (!came_[static_cast<std::size_t>(peer)]) awaited_.push_back(peer);
        return {};
    }
    const auto until = os::Deadline::after_ms(std::max(least_connect_patience_ms, patience_ms_));
    calls_.push_back({.peer = peer, .socket = {}, .until = until, .again_at = os::Deadline::after_ms(0)});
    return {};
}

// True when both sides have proved who they are. A peer that cannot be reached may be, a moment later.
Result<bool> Links::advance(Call& call) {
    // Once the socket is there, its system's probes say whether the host lives; its rank may come late.
    if (call.handshake) return call.handshake->advance(call.socket);
    if (call.until.passed())
        return fail(Status::remote_error, fmt::format("it did not answer in {} ms{}{}",
                                                      std::max(least_connect_patience_ms, patience_ms_),
                                                      call.last_problem.empty() ? "" : ": ", call.last_problem));
    auto connected = connect(call);
    if (connected || connected.error().status != Status::timeout) return connected;
    call.last_problem = connected.error().message;
    call.again_at = os::Deadline::after_ms(try_again_after_ms);
    return false;
}

Result<bool> Links::connect(Call& call) {
    if (call.again_at) {
        if (!call.again_at->passed()) return false;
        call.again_at.reset();
        auto socket = os::TcpSocket::start_connecting(this->peer(call.peer).address);
        if (!socket) return std::unexpected(socket.error());
        call.socket = std::move(*socket);
    }
    pollfd watched{call.socket.descriptor().number(), POLLOUT, 0};
    const auto ready = os::wait_ready(std::span{&watched, 1}, os::Deadline::never(), 0);
    if (!ready || !*ready) return ready;
    if (auto done = call.socket.finish_connecting(); !done) return std::unexpected(done.error());
    if (auto set = call.socket.set_probes(patience_ms_); !set) return std::unexpected(set.error());
    call.handshake = os::Handshake::connecting(key_, wire_version, to_bytes({own_, call.peer, purpose_}));
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
    if (auto set = (*arrival)->socket.set_probes(patience_ms_); !set) return std::unexpected(lost(from, set.error()));
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
