#include "transports/tcp/tcp_connection.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tenon::tcp {
namespace {

// How much one call of progress() may take in, so that the rank gets to what has come.
constexpr std::size_t most_bytes_at_once = 1 << 20;

}  // namespace

// ---- the socket ---------------------------------------------------------------------------------------------------

void TcpConnection::open(os::TcpSocket socket) {
    socket_ = std::move(socket);
    stage_ = Stage::open;
}

Result<bool> TcpConnection::progress() {
    if (stage_ == Stage::open) {
        const auto all_gone = move();
        if (!all_gone || stage_ == Stage::open) return all_gone;
    }
    if (stage_ == Stage::ended)
        if (auto ok = drop_credits(); !ok) return std::unexpected(ok.error());
    return !has_something_to_send();
}

// A peer that is gone needs none; messages it should have had.
Result<void> TcpConnection::drop_credits() {
    for (; has_something_to_send(); first_queued_ = queued_)
        for (std::size_t i = first_queued_; i < queued_; i++)
            if (queue_[i].head.kind != FrameKind::credit && queue_[i].head.kind != FrameKind::goodbye)
                return fail(Status::remote_error, "it has destroyed its communicator");
    return {};
}

// Sends and receives; true when all has gone.
Result<bool> TcpConnection::move() {
    Result<bool> all_gone = false;
    if (!may_not_send_) {
        all_gone = send_queued();
        if (!all_gone) {
            // What the peer has sent before may still be there to be read, and explain it.
            if (all_gone.error().status != Status::remote_error) return all_gone;
            may_not_send_ = true;
            all_gone = false;
        }
    }
    if (!std::exchange(something_came_, false) && !may_not_send_) return all_gone;
    if (auto received = receive_what_came(); !received) return std::unexpected(received.error());
    return all_gone;
}

// The socket has come to its end.
Result<void> TcpConnection::ended(const Error& error) {
    if (error.status != Status::remote_error || !peer_said_goodbye_) return std::unexpected(error);
    stage_ = Stage::ended;
    socket_.close();
    return {};
}

// ---- leaving ------------------------------------------------------------------------------------------------------

void TcpConnection::fill_queue() {
    if (first_queued_ == queued_) first_queued_ = queued_ = 0;
    for (Mirror* m : mirrors())
        while (queued_ < queue_length) {
            Queued& next = queue_[queued_];
            auto outgoing = m->next_outgoing(next.room);
            if (!outgoing) break;
            next.head = outgoing->head;
            next.bytes = outgoing->bytes;
            queued_++;
        }
}

bool TcpConnection::has_something_to_send() {
    if (first_queued_ == queued_) fill_queue();
    return first_queued_ != queued_;
}

// True when all has gone.
Result<bool> TcpConnection::send_queued() {
    while (has_something_to_send()) {
        std::array<iovec, 2 * queue_length> parts;
        std::size_t count = 0, skipped = first_sent_, wanted = 0;
        const auto add = [&](const void* bytes, std::size_t length) {
            const std::size_t gone = std::min(skipped, length);
            skipped -= gone;
            if (gone == length) return;
            parts[count++] = {const_cast<std::byte*>(static_cast<const std::byte*>(bytes)) + gone, length - gone};
            wanted += length - gone;
        };
        for (std::size_t i = first_queued_; i < queued_; i++) {
            add(&queue_[i].head, sizeof(FrameHead));
            add(queue_[i].bytes, queue_[i].head.length);
        }
        const auto sent = socket_.send_some(std::span{parts}.first(count));
        if (!sent) return std::unexpected(sent.error());
        first_sent_ += *sent;
        while (first_queued_ < queued_ && first_sent_ >= sizeof(FrameHead) + queue_[first_queued_].head.length)
            first_sent_ -= sizeof(FrameHead) + queue_[first_queued_++].head.length;
        if (*sent < wanted) return false;
    }
    return true;
}

Result<bool> TcpConnection::finish_sending() {
    something_came();
    auto sent = progress();
    if (!sent || !*sent || stage_ != Stage::open) return sent;
    if (!says_goodbye_) {
        says_goodbye_ = true;
        queue_[queued_++].head = {.kind = FrameKind::goodbye};
        return false;
    }
    const auto left = socket_.unacknowledged_bytes();
    if (!left) return std::unexpected(left.error());
    return *left == 0 || may_not_send_;
}

// ---- arriving -----------------------------------------------------------------------------------------------------

Result<void> TcpConnection::receive_what_came() {
    for (std::size_t taken = 0; taken < most_bytes_at_once && stage_ == Stage::open;) {
        const std::size_t wanted = arriving_left_ + (inbox_bytes - inbox_end_);
        const auto received = receive_once();
        if (!received) return ended(received.error());
        taken += *received;
        if (auto parsed = parse_inbox(); !parsed) return parsed;
        if (*received < wanted) break;
    }
    return {};
}

// What is there now: first the rest of the frame that is incomplete, then whatever follows it.
Result<std::size_t> TcpConnection::receive_once() {
    const iovec parts[] = {{arriving_to_, arriving_left_}, {inbox_.data() + inbox_end_, inbox_bytes - inbox_end_}};
    const auto received = socket_.receive_some(std::span{parts}.subspan(arriving_left_ == 0 ? 1 : 0));
    if (!received) return received;
    const std::size_t of_frame = std::min(*received, arriving_left_);
    arriving_to_ += of_frame;
    arriving_left_ -= of_frame;
    inbox_end_ += *received - of_frame;
    return received;
}

Result<void> TcpConnection::parse_inbox() {
    for (;;) {
        if (arriving_ && arriving_left_ == 0) {
            arriving_at_->end_incoming(*arriving_);
            arriving_.reset();
        }
        const std::size_t there = inbox_end_ - inbox_begin_;
        if (arriving_) {
            const std::size_t part = std::min(there, arriving_left_);
            if (part == 0) break;
            std::memcpy(arriving_to_, inbox_.data() + inbox_begin_, part);
            arriving_to_ += part;
            arriving_left_ -= part;
            inbox_begin_ += part;
        } else {
            if (there < sizeof(FrameHead)) break;
            if (auto begun = begin_frame(); !begun) return begun;
        }
    }
    std::memmove(inbox_.data(), inbox_.data() + inbox_begin_, inbox_end_ - inbox_begin_);
    inbox_end_ -= std::exchange(inbox_begin_, 0);
    return {};
}

Result<void> TcpConnection::begin_frame() {
    FrameHead head;
    std::memcpy(&head, inbox_.data() + inbox_begin_, sizeof head);
    inbox_begin_ += sizeof head;
    if (head.kind == FrameKind::goodbye) {
        peer_said_goodbye_ = true;
        return {};
    }
    if (head.kind < FrameKind::packed || head.kind > FrameKind::credit || head.channel >= max_channels)
        return fail(Status::remote_error, "sent what breaks the protocol: a frame of no known kind");
    auto at = mirror(head.channel);
    if (!at) return std::unexpected(at.error());
    auto to = (*at)->begin_incoming(head);
    if (!to) return std::unexpected(to.error());
    arriving_ = head;
    arriving_at_ = *at;
    arriving_to_ = *to;
    arriving_left_ = head.length;
    return {};
}

}  // namespace tenon::tcp
