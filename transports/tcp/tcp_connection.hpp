// One rank's connection to a peer on another host: the Mirrors of the channels in use, and the sockets that frames
// travel by: one, or, where both sides would have more, several.
//
// Small messages and all else that is short go by the first socket, in order. Large messages go by whichever socket has
// the least to do, as they are: none is longer than a slot, so that a slow socket holds up little. The peer's Mirrors
// put them in order again. Further sockets are asked for when the first large message is to be sent.
//
// Until the first socket is there, messages wait in their rings. progress() never waits. A socket that ends without a
// goodbye is an error; after a goodbye (by the first) it just ends.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "transports/mirrors/mirrored.hpp"
#include "transports/tcp/frame_socket.hpp"
#include "transports/tcp/socket_count.hpp"

namespace tenon::tcp {

class TcpConnection final : public MirroredConnection {
public:
    // `agreed` is called, once, when both sides have said that they would have so many sockets, more than one: the
    // further ones should then be made. All of them together keep about `room_bytes` beside the rings.
    TcpConnection(MirrorMemory& memory, std::uint64_t room_bytes, std::function<void()> wanted,
                  std::function<void(unsigned)> agreed)
        : MirroredConnection(memory, std::move(wanted)),
          memory_(memory),
          room_bytes_(room_bytes),
          agreed_(std::move(agreed)) {}
    std::string_view name() const override { return "tcp"; }

    // How many sockets this side would have; before the first is open.
    void want_sockets(unsigned count) { wanted_ = count; }
    // The first one first. The same reference until the connection ends.
    FrameSocket& open(unsigned index, os::TcpSocket socket);
    bool is_open() const { return stage_ == Stage::open; }
    // How many there are, including those that have ended.
    unsigned socket_count() const { return count_; }
    // An error where the host at the other end is out of reach; where that is doubtful, progress() knocks.
    Result<void> check_reach(std::uint64_t patience_ms);
    // Has something been sent, while there is no socket yet?
    bool waits_for_socket() const { return stage_ == Stage::closed && has_something_to_send(); }

    // Until then, progress() need not look for what may have come.
    void something_came();
    // True when nothing that was sent waits for a socket.
    Result<bool> progress();
    // The same, and then a goodbye, and until the peer's host has it all.
    Result<bool> finish_sending();

    std::span<const std::unique_ptr<FrameSocket>> sockets() const { return std::span{sockets_}.first(count_); }

private:
    enum class Stage { closed, open, ended };

    FrameSocket& first() const { return *sockets_[0]; }
    Error of_socket(unsigned index, const Error& error) const;

    Result<bool> send();
    void fill();
    bool fill_from(Mirror& mirror);
    FrameSocket* free_socket() const;
    bool has_something_to_send() const;
    bool owes_word_on_sockets() const {
        return peer_wants_ != 0 && !said_wanted_ && !says_goodbye_ && !peer_said_goodbye_;
    }
    bool say_wanted();
    void knock();
    void agree();
    Result<void> drop_credits();

    Result<void> receive();
    Result<bool> receive_by(unsigned index);
    Result<FrameSocket::Place> begin_frame(const FrameHead& head, unsigned index);
    Result<FrameSocket::Place> begin_message(const FrameHead& head);
    Result<void> take_peers_wish(const FrameHead& head);
    Result<void> take_ends();

    MirrorMemory& memory_;
    std::uint64_t room_bytes_;
    std::function<void(unsigned)> agreed_;
    Stage stage_ = Stage::closed;
    std::array<std::unique_ptr<FrameSocket>, most_sockets> sockets_;  // in the order of opening
    unsigned count_ = 0;
    unsigned wanted_ = 1, peer_wants_ = 0;  // 0: it has not said
    std::optional<Error> end_;              // of a socket, that is not explained yet
    bool said_wanted_ = false, says_goodbye_ = false, may_not_send_ = false, peer_said_goodbye_ = false;
};

}  // namespace tenon::tcp
