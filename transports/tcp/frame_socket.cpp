#include "transports/tcp/frame_socket.hpp"

#include <algorithm>
#include <utility>

namespace tenon::tcp {

// Of what is given, three eighths hold frames that leave.
FrameSocket::Room FrameSocket::room_within(std::uint64_t bytes) {
    const std::size_t frames = std::clamp<std::uint64_t>(bytes * 3 / 8 / sizeof(Leaving), least_frames, most_frames);
    const std::uint64_t left = bytes - std::min<std::uint64_t>(bytes, frames * sizeof(Leaving));
    return {frames, std::clamp<std::uint64_t>(left, least_inbox_bytes, most_inbox_bytes)};
}

Result<bool> FrameSocket::send() {
    std::array<iovec, 2 * most_frames> parts;
    std::size_t count = 0, skipped = first_sent_, wanted = 0;
    const auto add = [&](const void* bytes, std::size_t length) {
        const std::size_t gone = std::min(skipped, length);
        skipped -= gone;
        if (gone == length) return;
        wanted += length - gone;
        auto* const start = const_cast<std::byte*>(static_cast<const std::byte*>(bytes)) + gone;
        if (count != 0 && static_cast<std::byte*>(parts[count - 1].iov_base) + parts[count - 1].iov_len == start)
            parts[count - 1].iov_len += length - gone;
        else
            parts[count++] = {start, length - gone};
    };
    for (const Leaving& frame : leaving()) {
        add(&frame.head, sizeof(FrameHead));
        add(frame.bytes, frame.head.length);
    }
    const auto sent = socket_.send_some(std::span{parts}.first(count));
    if (!sent) return std::unexpected(sent.error());
    first_sent_ += *sent;
    while (has_leaving() && first_sent_ >= sizeof(FrameHead) + queue_[first_leaving_].head.length)
        first_sent_ -= sizeof(FrameHead) + queue_[first_leaving_++].head.length;
    return *sent == wanted;
}

// What is there now: first the rest of the frame that is incomplete, then whatever follows it.
Result<std::size_t> FrameSocket::receive_once() {
    const iovec inbox{inbox_.data() + inbox_end_, inbox_.size() - inbox_end_};
    const std::size_t left = arriving_ ? arriving_->left : 0;
    const iovec parts[] = {{left == 0 ? nullptr : arriving_->place.to, left}, inbox};
    const auto received = socket_.receive_some(std::span{parts}.subspan(left == 0 ? 1 : 0));
    if (!received) return received;
    const std::size_t of_frame = std::min(*received, left);
    if (arriving_) {
        arriving_->place.to += of_frame;
        arriving_->left -= of_frame;
    }
    inbox_end_ += *received - of_frame;
    return received;
}

void FrameSocket::take_part_from_inbox() {
    const std::size_t part = std::min(inbox_end_ - inbox_begin_, arriving_->left);
    if (part == 0) return;
    std::memcpy(arriving_->place.to, inbox_.data() + inbox_begin_, part);
    arriving_->place.to += part;
    arriving_->left -= part;
    inbox_begin_ += part;
}

void FrameSocket::end_frame() {
    const auto& [head, place, _] = *arriving_;
    if (head.kind == FrameKind::striped) place.mirror->end_striped(head, place.stripe);
    else place.mirror->end_incoming(head);
    arriving_.reset();
}

void FrameSocket::make_room() {
    if (inbox_begin_ == 0) return;
    std::memmove(inbox_.data(), inbox_.data() + inbox_begin_, inbox_end_ - inbox_begin_);
    inbox_end_ -= std::exchange(inbox_begin_, 0);
}

}  // namespace tenon::tcp
