#include "transports/tcp/links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "base/log.hpp"

namespace tenon::tcp {
namespace {

constexpr std::uint64_t further_soon_ms = 1'000, told_after_ms = 1'000, warned_after_ms = 10'000;
// A system forgets a connection for which it has no room after it has said so twice, which it does a second apart.
constexpr std::uint64_t forgotten_after_ms = 1'000;

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

void Links::want(Rank peer, unsigned number) {
    TENON_ASSERT(peer >= 0 && peer < peer_count() && peer != own_ && this->peer(peer).address.valid(), "no such peer");
    TENON_ASSERT(number < most_sockets, "a pair has few sockets");
    new_.push_back({peer, number});
}

void Links::want_further(Rank peer, unsigned count) {
    for (unsigned number = 1; number < count; number++) want(peer, number);
}

bool Links::lacks_first() const {
    const auto is_first = [](const Wanted& wanted) { return wanted.number == 0; };
    return std::ranges::any_of(new_, is_first) || std::ranges::any_of(awaited_, is_first) ||
           std::ranges::any_of(calls_, is_first, &Call::wanted);
}

Error Links::lost(Rank peer, const Error& error) const {
    const Peer& facts = this->peer(peer);
    return {error.status, fmt::format("rank {} on {} has lost its connection to rank {} on {} ({}): {}", own_,
                                      this->peer(own_).host, peer, facts.host, facts.address.text(), error.message)};
}

Error Links::unreachable(Rank peer, const Error& error) const {
    const Peer& facts = this->peer(peer);
    if (error.status != Status::remote_error && error.status != Status::timeout)
        return {error.status,
                fmt::format("rank {} on {} cannot connect to rank {} on {} at {}: {}", own_, this->peer(own_).host,
                            peer, facts.host, facts.address.text(), error.message)};
    const std::string_view meaning =
        error.status == Status::remote_error
            ? "a firewall refuses connections there, or its process has ended"
            : "packets on the way there or back vanish: a firewall drops them, or no route leads there from here";
    return {error.status,
            fmt::format("rank {} on {} cannot reach rank {} on {} at {}{}: {}; {}{}; let these hosts connect to each "
                        "other at any TCP port, or choose the interface that joins them (TENON_SOCKET_INTERFACE)",
                        own_, this->peer(own_).host, peer, facts.host, facts.address.text(),
                        facts.interface.empty() ? "" : " over its " + facts.interface, error.message, meaning,
                        is_own(facts.address) ? "; the address is one of this host, too" : "")};
}

// What both hosts have, such as docker0's 172.17.0.1.
bool Links::is_own(const os::InternetAddress& address) {
    const auto interfaces = os::network_interfaces();
    return interfaces && std::ranges::any_of(*interfaces, [&](const auto& i) { return i.address.same_host(address); });
}

void Links::begin(const Wanted& wanted) {
    if (own_ < wanted.peer) {
        calls_.push_back({.wanted = wanted,
                          .connecting = Connecting{peer(wanted.peer).address, patience_ms_},
                          .warn_at = os::Deadline::after_ms(warned_after_ms)});
    } else if (!has_come(wanted)) {
        awaited_.push_back(wanted);
        further_soon_until_ = os::Deadline::after_ms(further_soon_ms);
    }
}

// True when both sides have proved who they are.
Result<bool> Links::advance(Call& call) {
    if (call.handshake) return call.handshake->advance(call.socket);
    auto socket = call.connecting.advance();
    if (!socket) return std::unexpected(socket.error());
    if (!*socket) {
        if (call.connecting.host_is_there()) warn_of_closed_door(call);
        return false;
    }
    call.socket = std::move(**socket);
    if (auto set = call.socket.set_probes(patience_ms_); !set) return std::unexpected(set.error());
    call.may_be_forgotten_at = os::Deadline::after_ms(forgotten_after_ms);
    const Claim claim{own_, call.wanted.peer, purpose_, call.wanted.number};
    call.handshake = os::Handshake::connecting(key_, wire_version, to_bytes(claim));
    return call.handshake->advance(call.socket);
}

// The rest takes the peer's attention, so it may come late, while its host's system says that it has what was sent. One
// that had no room for this connection says nothing either: then it is made anew.
Result<void> Links::look(Call& call) {
    const auto reach = call.socket.reach(patience_ms_);
    if (reach && *reach == os::TcpSocket::Reach::answers) return {};
    const auto lost = reach ? Result<void>{} : std::unexpected(reach.error());
    if (call.handshake->has_begun()) return lost;
    if (!call.question) call.question.emplace(peer(call.wanted.peer).address);
    if (lost || !call.question->is_answered()) return lost;
    connect_anew(call);
    return {};
}

// Where the process has ended, that is refused.
void Links::connect_anew(Call& call) {
    call.connecting = Connecting{peer(call.wanted.peer).address, patience_ms_};
    call.handshake.reset();
    call.question.reset();
}

// Once it has forgotten a connection, the peer's system refuses what comes over it.
bool Links::was_forgotten(const Call& call, const Error& why) {
    return why.status == Status::remote_error && call.handshake && !call.handshake->has_begun() &&
           call.may_be_forgotten_at.passed();
}

void Links::warn_of_closed_door(Call& call) {
    if (!call.warn_at.passed()) return;
    call.warn_at = os::Deadline::never();
    const Peer& facts = peer(call.wanted.peer);
    log(LogLevel::warning,
        "rank {} on {} cannot connect to rank {} on {} at {} yet, and goes on trying: its host answers, but does not "
        "let it in; either a firewall drops it, or the process there has more connections to accept than its system "
        "holds (net.core.somaxconn), and does something else",
        own_, peer(own_).host, call.wanted.peer, facts.host, facts.address.text());
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
    const Wanted wanted{from, (*arrival)->number};
    if (wanted.number < most_sockets && has_come(wanted))
        return std::unexpected(lost(from, {Status::remote_error, "it has connected a second time"}));
    const bool may_be_further = purpose_ == Purpose::messages && wanted.number < most_sockets && has_come({from, 0});
    if (wanted.number > 0 && !may_be_further)
        return std::unexpected(lost(from, {Status::remote_error, "it has connected out of turn"}));
    came_[static_cast<std::size_t>(from)] |= 1U << wanted.number;
    std::erase(awaited_, wanted);
    if (auto set = (*arrival)->socket.set_probes(patience_ms_); !set) return std::unexpected(lost(from, set.error()));
    return Opened{from, wanted.number, std::move((*arrival)->socket)};
}

// Whether to go on without it.
bool Links::may_fail(const Wanted& wanted, const Error& why) {
    if (wanted.number == 0) return false;
    failed_further_.push_back({wanted, why, os::Deadline::after_ms(told_after_ms)});
    return true;
}

void Links::tell_of_failed(const std::function<bool(Rank)>& is_there) {
    std::erase_if(failed_further_, [&](const Failed& failed) {
        if (!failed.tell_at.passed()) return false;
        const auto& [peer, number] = failed.wanted;
        if (is_there(peer))
            log(LogLevel::info,
                "rank {} on {} could not make socket {} to rank {} on {}: {}; it uses those that there are", own_,
                this->peer(own_).host, number, peer, this->peer(peer).host, failed.why.message);
        return true;
    });
}

Result<std::optional<Links::Opened>> Links::next() {
    if (failed_) return std::unexpected(*failed_);
    for (const Wanted& wanted : std::exchange(new_, {})) begin(wanted);
    const bool looks = !calls_.empty() && look_.is_due();
    for (auto call = calls_.begin(); call != calls_.end();) {
        auto open = advance(*call);
        if (!open && was_forgotten(*call, open.error())) {
            connect_anew(*call);
            open = false;
        }
        if (open && !*open && looks && call->handshake)
            if (const auto there = look(*call); !there) open = std::unexpected(there.error());
        if (!open && !may_fail(call->wanted, open.error())) {
            const Rank peer = call->wanted.peer;
            failed_ = call->handshake ? lost(peer, open.error()) : unreachable(peer, open.error());
            return std::unexpected(*failed_);
        }
        if (open && !*open) {
            ++call;
            continue;
        }
        Opened opened{call->wanted.peer, call->wanted.number, std::move(call->socket)};
        call = calls_.erase(call);
        if (open) return opened;
    }
    // What a peer that is away has not made yet can be done without, and is looked for now and then only.
    const bool is_urgent = lacks_first() || !further_soon_until_.passed();
    if (awaited_.empty() || (!is_urgent && !further_.is_due())) return std::nullopt;
    return take_arrival();
}

}  // namespace tenon::tcp
