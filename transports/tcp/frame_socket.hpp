// One of the sockets between two ranks: the frames that leave by it, in order, and those that arrive.
//
// Nothing here waits. Frames hold no bytes of bulk messages: these are sent from and received to where they belong.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "os/internet.hpp"
#include "os/poller.hpp"
#include "transports/mirrors/mirror.hpp"

namespace tenon::tcp {

class FrameSocket {
public:
    // How many frames may wait to leave, and how much may come beside what goes straight to its place.
    struct Room {
        std::size_t frames, inbox_bytes;
        std::uint64_t bytes() const { return frames * sizeof(Leaving) + inbox_bytes; }
    };
    // That takes no more, as far as there is one.
    static Room room_within(std::uint64_t bytes);
    explicit FrameSocket(const Room& room) : queue_(room.frames), inbox_(room.inbox_bytes) {}
    const os::TcpSocket& socket() const { return socket_; }
    void open(os::TcpSocket socket) { socket_ = std::move(socket); }
    void close() { socket_.close(); }
    bool is_open() const { return socket_.descriptor().valid(); }

    // ---- leaving
    struct Leaving {
        const std::byte* bytes;
        FrameHead head;
        Mirror::PackedRoom room;  // behind the head: with a small message, the two leave as one piece
    };
    static_assert(offsetof(Leaving, room) == offsetof(Leaving, head) + sizeof(FrameHead));
    // Where to put the next frame to leave; null when there is no room. It leaves once it is added.
    Leaving* next_room() {
        if (first_leaving_ == leaving_) first_leaving_ = leaving_ = 0;
        return leaving_ < queue_.size() ? &queue_[leaving_] : nullptr;
    }
    void add() { leaving_++; }
    bool has_leaving() const { return first_leaving_ != leaving_; }
    std::span<const Leaving> leaving() const {
        return std::span{queue_}.subspan(first_leaving_, leaving_ - first_leaving_);
    }
    void drop_leaving() { first_leaving_ = leaving_; }
    // True when all has gone.
    Result<bool> send();

    // Before a rank sleeps: who waits for room in this socket is woken when there is some.
    void watch_for_room(const os::Poller& poller) {
        if (is_open() && has_leaving() != is_watched_for_room_ &&
            poller.watch_for_room(socket_.descriptor(), this, has_leaving()))
            is_watched_for_room_ = has_leaving();
    }

    // ---- arriving
    // Until then receive() need not be called.
    void something_came() { something_came_ = true; }
    bool look_for_what_came() { return std::exchange(something_came_, false); }
    // Where the bytes of a frame go that has begun to arrive, and what to say when they are all there.
    struct Place {
        Mirror* mirror = nullptr;
        std::byte* to = nullptr;
        Mirror::Stripe stripe{};
    };
    // Takes in what is there, up to some bytes; `begin(head)` gives a Result<Place> for each frame. False when there
    // may be more. The socket's end is an error, kept apart by has_ended().
    template <class Begin>
    Result<bool> receive(const Begin& begin);
    bool has_ended() const { return has_ended_; }

private:
    static constexpr std::size_t most_frames = 16, most_inbox_bytes = 16 << 10;
    static constexpr std::size_t least_frames = 2, least_inbox_bytes = 1280;
    static_assert(sizeof(FrameHead) + packed_bytes <= least_inbox_bytes);
    // How much one call may take in, so that the rank gets to what has come.
    static constexpr std::size_t most_bytes_at_once = 1 << 20;
    struct Arriving {
        FrameHead head;
        Place place;
        std::size_t left;
    };

    Result<std::size_t> receive_once();
    template <class Begin>
    Result<void> parse(const Begin& begin);
    void end_frame();
    void take_part_from_inbox();
    void make_room();

    os::TcpSocket socket_;
    std::vector<Leaving> queue_;
    std::size_t first_leaving_ = 0, leaving_ = 0, first_sent_ = 0;  // how much of the first has gone

    // Bytes of which no frame has been made yet, and the frame that is incomplete.
    std::vector<std::byte> inbox_;
    std::size_t inbox_begin_ = 0, inbox_end_ = 0;
    std::optional<Arriving> arriving_;
    bool something_came_ = true, has_ended_ = false, is_watched_for_room_ = false;
};

template <class Begin>
Result<bool> FrameSocket::receive(const Begin& begin) {
    for (std::size_t taken = 0; taken < most_bytes_at_once;) {
        const std::size_t wanted = (arriving_ ? arriving_->left : 0) + (inbox_.size() - inbox_end_);
        const auto received = receive_once();
        if (!received) {
            has_ended_ = received.error().status == Status::remote_error;
            return std::unexpected(received.error());
        }
        taken += *received;
        if (auto parsed = parse(begin); !parsed) return std::unexpected(parsed.error());
        if (*received < wanted) return true;
    }
    return false;
}

template <class Begin>
Result<void> FrameSocket::parse(const Begin& begin) {
    for (;;) {
        if (arriving_) {
            take_part_from_inbox();
            if (arriving_->left != 0) break;
            end_frame();
        }
        if (inbox_end_ - inbox_begin_ < sizeof(FrameHead)) break;
        FrameHead head;
        std::memcpy(&head, inbox_.data() + inbox_begin_, sizeof head);
        inbox_begin_ += sizeof head;
        const Result<Place> place = begin(head);
        if (!place) return std::unexpected(place.error());
        if (place->mirror != nullptr) arriving_ = Arriving{head, *place, head.length};
    }
    make_room();
    return {};
}

}  // namespace tenon::tcp
