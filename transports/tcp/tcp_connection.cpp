#include "transports/tcp/tcp_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/assert.hpp"

namespace tenon::tcp {
namespace {

std::unexpected<Error> broken(std::string_view what) {
    return fail(Status::remote_error, fmt::format("sent what breaks the protocol: {}", what));
}

}  // namespace

// ---- the sockets --------------------------------------------------------------------------------------------------

FrameSocket& TcpConnection::open(unsigned index, os::TcpSocket socket) {
    TENON_ASSERT((index == 0) == (count_ == 0) && count_ < most_sockets, "the first socket is the first, and of few");
    if (index == 0) stage_ = Stage::open;
    const FrameSocket::Room room = FrameSocket::room_within(room_bytes_ / wanted_);
    memory_.count(room.bytes());
    sockets_[count_] = std::make_unique<FrameSocket>(room);
    sockets_[count_]->open(std::move(socket));
    return *sockets_[count_++];
}

void TcpConnection::something_came() {
    for (const auto& socket : sockets()) socket->something_came();
}

Error TcpConnection::of_socket(unsigned index, const Error& error) const {
    if (count_ == 1) return error;
    return {error.status, fmt::format("socket {} of {} between them: {}", index, count_, error.message)};
}

Result<void> TcpConnection::check_reach(std::uint64_t patience_ms) {
    for (unsigned i = 0; i < count_; i++) {
        if (!sockets_[i]->is_open()) continue;
        const auto reach = sockets_[i]->socket().reach(patience_ms);
        if (!reach) return std::unexpected(of_socket(i, reach.error()));
        if (i == 0 && *reach == os::TcpSocket::Reach::doubtful) knock();
    }
    return {};
}

// Nothing is on the way by this socket. After a goodbye nothing may follow.
void TcpConnection::knock() {
    auto* const room = first().next_room();
    if (stage_ != Stage::open || may_not_send_ || says_goodbye_ || room == nullptr) return;
    room->head = {.kind = FrameKind::knock};
    first().add();
}

Result<bool> TcpConnection::progress() {
    if (end_ && !peer_said_goodbye_ && !first().is_open()) return std::unexpected(*end_);
    Result<bool> all_gone = false;
    if (stage_ == Stage::open && !may_not_send_) {
        all_gone = send();
        if (!all_gone) {
            // What the peer has sent before may still be there to be read, and explain it.
            if (all_gone.error().status != Status::remote_error) return all_gone;
            may_not_send_ = true;
            all_gone = false;
        }
    }
    if (stage_ != Stage::closed)
        if (auto received = receive(); !received) return std::unexpected(received.error());
    if (stage_ == Stage::open) return all_gone;
    if (stage_ == Stage::ended)
        if (auto ok = drop_credits(); !ok) return std::unexpected(ok.error());
    return !has_something_to_send();
}

Result<bool> TcpConnection::finish_sending() {
    something_came();
    auto sent = progress();
    if (!sent || !*sent || stage_ != Stage::open) return sent;
    if (!std::exchange(says_goodbye_, true)) {
        auto* const room = first().next_room();
        TENON_ASSERT(room != nullptr, "all has gone");
        room->head = {.kind = FrameKind::goodbye};
        first().add();
        return false;
    }
    if (may_not_send_) return true;
    for (const auto& socket : sockets()) {
        if (!socket->is_open()) continue;
        const auto left = socket->socket().unacknowledged_bytes();
        if (!left) return std::unexpected(left.error());
        if (*left != 0) return false;
    }
    return true;
}

// ---- leaving ------------------------------------------------------------------------------------------------------

bool TcpConnection::has_something_to_send() const {
    return owes_word_on_sockets() || std::ranges::any_of(sockets(), [](const auto& s) { return s->has_leaving(); }) ||
           std::ranges::any_of(mirrors(), [](const Mirror* m) { return m->has_outgoing(); });
}

// True when all has gone.
Result<bool> TcpConnection::send() {
    static_assert(most_sockets <= 32);
    std::uint32_t full = 0;
    for (;;) {
        fill();
        bool went = false;
        for (unsigned i = 0; i < count_; i++) {
            if (!sockets_[i]->has_leaving() || (full >> i & 1) != 0) continue;
            const auto sent = sockets_[i]->is_open() ? sockets_[i]->send() : Result<bool>{false};
            if (!sent) return std::unexpected(of_socket(i, sent.error()));
            if (*sent) went = true;
            else full |= 1U << i;
        }
        if (!went) return full == 0;
    }
}

void TcpConnection::fill() {
    if (owes_word_on_sockets()) static_cast<void>(say_wanted());
    for (Mirror* m : mirrors())
        while (fill_from(*m)) {}
}

// False when nothing of it can leave now.
bool TcpConnection::fill_from(Mirror& mirror) {
    FrameSocket* by = &first();
    const bool is_striped = wanted_ > 1 && mirror.is_large_next();
    if (is_striped) {
        if (!say_wanted()) return false;
        mirror.stripe_outgoing();
        by = free_socket();
    }
    auto* const room = (by != nullptr ? by : &first())->next_room();
    if (room == nullptr) return false;
    const auto outgoing = by != nullptr ? mirror.next_outgoing(room->room) : mirror.next_credit();
    if (!outgoing) return false;
    room->head = outgoing->head;
    room->bytes = outgoing->bytes;
    (by != nullptr ? by : &first())->add();
    return true;
}

// That of which the peer's host has the most already, of several the last, since the first has the credits; none while
// a large message waits in each for room.
FrameSocket* TcpConnection::free_socket() const {
    if (count_ == 1) return &first();
    FrameSocket* best = nullptr;
    std::size_t least = SIZE_MAX;
    for (const auto& socket : std::views::reverse(sockets())) {
        const auto is_striped = [](const FrameSocket::Leaving& l) { return l.head.kind == FrameKind::striped; };
        if (!socket->is_open() || std::ranges::any_of(socket->leaving(), is_striped)) continue;
        const std::size_t waits = socket->socket().unacknowledged_bytes().value_or(SIZE_MAX - 1);
        if (waits >= least) continue;
        least = waits;
        best = socket.get();
    }
    return best;
}

bool TcpConnection::say_wanted() {
    if (said_wanted_) return true;
    auto* const room = first().next_room();
    if (room == nullptr) return false;
    room->head = {.kind = FrameKind::sockets, .number = wanted_};
    first().add();
    said_wanted_ = true;
    agree();
    return true;
}

void TcpConnection::agree() {
    const unsigned count = std::min(wanted_, peer_wants_);
    if (said_wanted_ && count > 1) agreed_(count);
}

// A peer that is gone needs none; messages it should have had.
Result<void> TcpConnection::drop_credits() {
    const auto is_message = [](FrameKind kind) {
        return kind == FrameKind::packed || kind == FrameKind::medium || kind == FrameKind::large ||
               kind == FrameKind::striped;
    };
    bool is_missed = false;
    for (const auto& socket : sockets()) {
        for (const auto& leaving : socket->leaving()) is_missed |= is_message(leaving.head.kind);
        socket->drop_leaving();
    }
    Mirror::PackedRoom room;
    for (Mirror* m : mirrors())
        while (const auto outgoing = m->next_outgoing(room)) is_missed |= is_message(outgoing->head.kind);
    if (is_missed) return fail(Status::remote_error, "it has destroyed its communicator");
    return {};
}

// ---- arriving -----------------------------------------------------------------------------------------------------

Result<void> TcpConnection::receive() {
    for (unsigned i = 0; i < count_; i++) {
        // What comes by further sockets means nothing before the peer has said, by the first, that it uses them.
        if (!sockets_[i]->is_open() || (i > 0 && peer_wants_ == 0)) continue;
        if (!sockets_[i]->look_for_what_came() && !may_not_send_) continue;
        if (auto received = receive_by(i); !received) return std::unexpected(received.error());
    }
    return end_ ? take_ends() : Result<void>{};
}

// False when there may be more.
Result<bool> TcpConnection::receive_by(unsigned index) {
    FrameSocket& socket = *sockets_[index];
    auto received = socket.receive([&](const FrameHead& head) { return begin_frame(head, index); });
    if (received) return received;
    if (!socket.has_ended()) return std::unexpected(of_socket(index, received.error()));
    if (!end_) end_ = of_socket(index, received.error());
    socket.close();
    return true;
}

// The goodbye that explains a socket's end may lie in the first socket.
Result<void> TcpConnection::take_ends() {
    if (!peer_said_goodbye_ && first().is_open()) {
        const auto is_all = receive_by(0);
        if (!is_all) return std::unexpected(is_all.error());
        if (!*is_all) return {};
    }
    if (!peer_said_goodbye_) return std::unexpected(*end_);
    if (!first().is_open()) stage_ = Stage::ended;
    return {};
}

Result<FrameSocket::Place> TcpConnection::begin_frame(const FrameHead& head, unsigned index) {
    if (head.kind == FrameKind::striped && head.channel < max_channels) return begin_message(head);
    if (index != 0) return broken("a frame by a socket that is not for it");
    if (head.kind == FrameKind::goodbye) {
        peer_said_goodbye_ = true;
        return FrameSocket::Place{};
    }
    if (head.kind == FrameKind::knock) return FrameSocket::Place{};
    if (head.kind == FrameKind::sockets) {
        if (auto taken = take_peers_wish(head); !taken) return std::unexpected(taken.error());
        return FrameSocket::Place{};
    }
    if (head.kind < FrameKind::packed || head.kind > FrameKind::credit || head.channel >= max_channels)
        return broken("a frame of no known kind");
    return begin_message(head);
}

Result<FrameSocket::Place> TcpConnection::begin_message(const FrameHead& head) {
    auto at = mirror(head.channel);
    if (!at) return std::unexpected(at.error());
    if (peer_wants_ > 1) (*at)->expect_stripes();
    if (head.kind == FrameKind::striped) {
        const auto stripe = (*at)->begin_striped(head);
        if (!stripe) return std::unexpected(stripe.error());
        return FrameSocket::Place{*at, stripe->to, *stripe};
    }
    const auto to = (*at)->begin_incoming(head);
    if (!to) return std::unexpected(to.error());
    return FrameSocket::Place{*at, *to, {}};
}

Result<void> TcpConnection::take_peers_wish(const FrameHead& head) {
    if (peer_wants_ != 0 || head.number == 0 || head.number > most_sockets || head.length != 0)
        return broken("a number of sockets that it may not ask for");
    peer_wants_ = head.number;
    agree();
    return {};
}

}  // namespace tenon::tcp
