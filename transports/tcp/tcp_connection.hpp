// One rank's connection to a peer on another host: a socket, and the Mirrors of the channels in use.
//
// The lower rank of a pair connects and the higher accepts; both begin when they first bind an end. Until the socket is
// there, messages wait in their rings. progress() never waits. A socket that ends without a goodbye is an error that
// names both ranks; after a goodbye it just ends.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "os/clock.hpp"
#include "os/handshake.hpp"
#include "os/internet.hpp"
#include "tenon/plugin/plan.hpp"
#include "tenon/plugin/transport.hpp"
#include "transports/tcp/mirror.hpp"

namespace tenon::tcp {

// Who a connecting rank says it is, under the handshake's proof.
struct Claim {
    Rank from = no_rank, to = no_rank;
};
os::Handshake::Claim to_bytes(const Claim& claim);
Claim claim_of(const os::Handshake::Claim& bytes);

class TcpConnection final : public Connection {
public:
    struct Ends {
        Rank own, peer;
        os::InternetAddress address;  // the peer's
        std::string host;             // the peer's name, for messages
        std::uint64_t patience_ms;
        os::Secret key;
    };
    // Says how large the rings of a channel are, and counts their memory; an error where there is no room for them.
    using MakeMirror = std::function<Result<std::unique_ptr<Mirror>>(std::uint16_t channel)>;
    // `wanted` is called, once, when an end is first asked for, so that there should be a socket.
    TcpConnection(Ends ends, MakeMirror make_mirror, std::function<void(TcpConnection&)> wanted);

    Result<SendEnd*> send_end(std::uint16_t channel) override;
    Result<ReceiveEnd*> receive_end(std::uint16_t channel) override;
    std::optional<Exposure> expose(const void* bytes, std::size_t length) const override;
    bool peer_addresses(const Exposure&) const override { return true; }
    std::byte* address_of(const Exposure&, std::size_t) override { return nullptr; }
    Result<void> read(void* to, const Exposure& from, std::size_t length) override;
    Result<void> write(const Exposure& to, const void* from, std::size_t length) override;
    std::string_view name() const override { return "tcp"; }

    bool connects() const { return ends_.own < ends_.peer; }
    bool has_begun() const { return stage_ != Stage::idle; }
    // The lower rank's part.
    Result<void> start_connecting();
    // The higher rank's, once the peer has come and proved who it is.
    Result<void> accept(os::TcpSocket socket);
    const os::TcpSocket& socket() const { return socket_; }

    // True when nothing that was sent waits for the socket. `may_have_come`: look for what has.
    Result<bool> progress(bool may_have_come);
    // The same, and then a goodbye, and until the peer's host has it all.
    Result<bool> finish_sending();

private:
    enum class Stage { idle, connecting, shaking, open, ended };
    struct Queued {
        FrameHead head;
        const std::byte* bytes;
        Mirror::PackedRoom room;
    };
    static constexpr std::size_t queue_length = 16, inbox_bytes = 16 << 10;

    void want();
    Result<Mirror*> mirror(std::uint16_t channel);
    Result<void> advance_connecting();
    Result<void> move(bool may_have_come);
    Result<bool> send_queued();
    void fill_queue();
    bool has_something_to_send();
    Result<void> receive_what_came();
    Result<std::size_t> receive_once();
    Result<void> parse_inbox();
    Result<void> begin_frame();
    Result<void> ended(const Error& error);
    Result<void> drop_credits();
    Error lost(const Error& error) const;

    Ends ends_;
    MakeMirror make_mirror_;
    std::function<void(TcpConnection&)> wanted_;
    std::array<std::unique_ptr<Mirror>, max_channels> mirrors_;
    std::vector<Mirror*> used_;  // in the order of first use
    os::TcpSocket socket_;
    Stage stage_ = Stage::idle;
    std::optional<os::Handshake> handshake_;
    os::Deadline connect_until_ = os::Deadline::never();

    // Leaving: the frames that wait for the socket, and how much of the first has gone.
    std::array<Queued, queue_length> queue_;
    std::size_t first_queued_ = 0, queued_ = 0, first_sent_ = 0;
    bool says_goodbye_ = false, may_not_send_ = false;

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
