// One rank's connection to a peer on another host: a socket, and the Mirrors of the channels in use.
//
// Until the socket is there, messages wait in their rings. progress() never waits. A socket that ends without a goodbye
// is an error; after a goodbye it just ends.
#pragma once

#include <array>
#include <optional>

#include "os/internet.hpp"
#include "transports/mirrors/mirrored.hpp"

namespace tenon::tcp {

class TcpConnection final : public MirroredConnection {
public:
    using MirroredConnection::MirroredConnection;
    std::string_view name() const override { return "tcp"; }

    void open(os::TcpSocket socket);
    const os::TcpSocket& socket() const { return socket_; }
    bool is_open() const { return stage_ == Stage::open; }
    // Has something been sent, while there is no socket yet?
    bool waits_for_socket() { return stage_ == Stage::closed && has_something_to_send(); }

    // Until then, progress() need not look for what may have come.
    void something_came() { something_came_ = true; }
    // True when nothing that was sent waits for the socket.
    Result<bool> progress();
    // The same, and then a goodbye, and until the peer's host has it all.
    Result<bool> finish_sending();

private:
    enum class Stage { closed, open, ended };
    struct Queued {
        FrameHead head;
        const std::byte* bytes;
        Mirror::PackedRoom room;
    };
    static constexpr std::size_t queue_length = 16, inbox_bytes = 16 << 10;

    Result<bool> move();
    Result<bool> send_queued();
    void fill_queue();
    bool has_something_to_send();
    Result<void> receive_what_came();
    Result<std::size_t> receive_once();
    Result<void> parse_inbox();
    Result<void> begin_frame();
    Result<void> ended(const Error& error);
    Result<void> drop_credits();

    os::TcpSocket socket_;
    Stage stage_ = Stage::closed;

    // Leaving: the frames that wait for the socket, and how much of the first has gone.
    std::array<Queued, queue_length> queue_;
    std::size_t first_queued_ = 0, queued_ = 0, first_sent_ = 0;
    bool says_goodbye_ = false, may_not_send_ = false;
    bool something_came_ = true;

    // Arriving: bytes of which no frame has been made yet, and the frame that is incomplete.
    std::array<std::byte, inbox_bytes> inbox_;
    std::size_t inbox_begin_ = 0, inbox_end_ = 0;
    std::optional<FrameHead> arriving_;
    Mirror* arriving_at_ = nullptr;
    std::byte* arriving_to_ = nullptr;  // the rest of it
    std::size_t arriving_left_ = 0;
    bool peer_said_goodbye_ = false;
};

}  // namespace tenon::tcp
