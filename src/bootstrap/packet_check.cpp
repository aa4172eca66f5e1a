#include "bootstrap/packet_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/log.hpp"
#include "bootstrap/bytes.hpp"
#include "bootstrap/interfaces.hpp"
#include "bootstrap/wire.hpp"

namespace tenon::bootstrap {
namespace {

// Only a peer that answers nothing at all lets it last so long.
constexpr std::uint64_t most_ms = 10'000;
constexpr std::uint64_t send_ms = 100;  // there is room for a packet in a new connection
// By then the system has waited for more than a second: 0.2, 0.4 and 0.8 s at least.
constexpr unsigned lost_after = 3;
// Since the edge was heard of again: what was sent before that may have been lost with everything else.
constexpr unsigned lost_after_answer = 2;
constexpr std::size_t name_bytes = 4 + host_name_limit;
constexpr std::size_t head_bytes = 4;  // of the packet of full size: how long it is
constexpr std::size_t largest_packet = 1 << 16;

}  // namespace

bool PacketCheck::is_needed(const os::TcpSocket& edge) {
    const auto own = edge.local_address(), peer = edge.peer_address();
    return own && peer && !own->same_host(*peer);
}

PacketCheck::PacketCheck(const os::InternetAddress& parent, const Secret& secret, const os::Handshake::Claim& claim,
                         std::string own_host)
    : own_host_{std::move(own_host)},
      handshake_{os::Handshake::connecting(secret, wire_version, claim)},
      is_parent_{false} {
    if (auto socket = os::TcpSocket::start_connecting(parent)) socket_ = std::move(*socket);
}

PacketCheck::PacketCheck(os::TcpSocket socket, std::string own_host)
    : own_host_{std::move(own_host)},
      socket_{std::move(socket)},
      is_parent_{true},
      is_connected_{true} {}

void PacketCheck::watch(std::vector<pollfd>& watched) const {
    const short events = !is_connected_ ? POLLOUT : handshake_ ? handshake_->awaits() : POLLIN;
    if (socket_.descriptor().valid()) watched.push_back({socket_.descriptor().number(), events, 0});
}

Result<bool> PacketCheck::advance(const os::TcpSocket& edge, std::uint64_t left_ms) {
    if (!socket_.descriptor().valid()) return true;
    if (const std::uint64_t waited_ms = (os::now_ns() - begun_at_ns_) / 1'000'000;
        waited_ms >= std::min(most_ms, left_ms)) {
        const auto peer = edge.peer_address();
        log(LogLevel::info,
            "host {} does not know whether packets of full size get through to {}: the connection to try it has not "
            "ended in {} ms; see that no firewall drops it",
            own_host_, peer ? peer->host_text() : "another host", waited_ms);
        return true;
    }
    auto done = step(edge);
    if (!done && done.error().status == Status::mismatch) return done;
    return done ? done : true;
}

Result<bool> PacketCheck::step(const os::TcpSocket& edge) {
    if (!is_connected_ || handshake_) {
        const auto shaken = shake();
        if (!shaken || !*shaken) return shaken;
    }
    return exchange(edge);
}

Result<bool> PacketCheck::shake() {
    if (!is_connected_) {
        pollfd watched{socket_.descriptor().number(), POLLOUT, 0};
        const auto ready = os::wait_ready(std::span{&watched, 1}, os::Deadline::never(), 0);
        if (!ready || !*ready) return ready;
        if (auto connected = socket_.finish_connecting(); !connected) return std::unexpected(connected.error());
        is_connected_ = true;
    }
    const auto shaken = handshake_->advance(socket_);
    // Another version is the edge's to tell.
    if (!shaken) return fail(Status::remote_error, shaken.error().message);
    if (*shaken) handshake_.reset();
    return shaken;
}

bool PacketCheck::has_name() const { return arrived_.size() >= name_bytes; }

bool PacketCheck::has_all() const {
    if (arrived_.size() < name_bytes + head_bytes) return false;
    const auto length = ByteReader{std::span{arrived_}.subspan(name_bytes)}.get<std::uint32_t>();
    return arrived_.size() >= name_bytes + length;
}

Result<bool> PacketCheck::exchange(const os::TcpSocket& edge) {
    if (!has_said_name_) {
        std::vector<std::byte> name(name_bytes);
        ByteWriter{name}.put_text(own_host_, host_name_limit);
        if (auto sent = socket_.send(name, os::Deadline::after_ms(send_ms)); !sent)
            return std::unexpected(sent.error());
        has_said_name_ = true;
    }
    const auto received = receive();
    if (!received) return std::unexpected(received.error());
    // The parent's packet says that the child's has come.
    if (has_all() && !is_parent_) return true;
    if (!(is_parent_ ? has_all() : has_name())) return false;
    if (sent_at_ns_ == 0)
        if (auto sent = send_full_packet(); !sent) return std::unexpected(sent.error());
    if (auto answered = look_at_answers(edge); !answered) return std::unexpected(answered.error());
    return false;
}

Result<void> PacketCheck::receive() {
    std::array<std::byte, 4096> bytes;
    while (arrived_.size() <= largest_packet + name_bytes) {
        const auto got = socket_.receive_some(bytes);
        if (!got) return std::unexpected(got.error());
        if (*got == 0) return {};
        arrived_.insert(arrived_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*got));
    }
    return fail(Status::remote_error, "it sent too much");
}

// In one piece, so that no network card cuts it into several.
Result<void> PacketCheck::send_full_packet() {
    const auto segment = socket_.segment_bytes();
    if (!segment) return std::unexpected(segment.error());
    std::vector<std::byte> packet(std::clamp(*segment, head_bytes, largest_packet));
    ByteWriter{packet}.put(static_cast<std::uint32_t>(packet.size()));
    sent_at_ns_ = os::now_ns();
    return socket_.send(packet, os::Deadline::after_ms(send_ms));
}

Result<void> PacketCheck::look_at_answers(const os::TcpSocket& edge) {
    const auto answers = socket_.answers(), of_edge = edge.answers();
    if (!answers || !of_edge) return {};
    const std::uint64_t sent_ago_ms = (os::now_ns() - sent_at_ns_) / 1'000'000;
    if (of_edge->silent_ms >= sent_ago_ms) return {};  // the host may be out of reach altogether
    if (!sent_again_by_answer_) sent_again_by_answer_ = answers->sent_again;
    if (answers->sent_again < std::max(lost_after, *sent_again_by_answer_ + lost_after_answer)) return {};
    const auto own = socket_.local_address(), peer = socket_.peer_address();
    const HostNetwork network = own ? network_of(*own) : HostNetwork{};
    const std::uint32_t bytes = socket_.path_mtu().value_or(network.mtu);
    const std::string peer_host = ByteReader{arrived_}.get_text(host_name_limit);
    return fail(
        Status::mismatch,
        fmt::format("host {} ({}, {}) sends {} bytes a packet to host {} ({}), but what lies between does not "
                    "carry so much: small packets arrive, and those of {} bytes vanish; give the interfaces of "
                    "the hosts the MTU that the network has (ip link set dev {} mtu 1500), or the network theirs",
                    own_host_, network.interface, own ? own->host_text() : "", bytes, peer_host,
                    peer ? peer->host_text() : "", bytes, network.interface));
}

}  // namespace tenon::bootstrap
