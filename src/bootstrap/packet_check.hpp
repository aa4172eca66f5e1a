// Whether packets of full size get through between two hosts. Where a switch or a tunnel on the way carries less than
// the interfaces send, small packets pass, large ones vanish without a word, and a job would stand still at its first
// large message.
//
// The edges of the tree keep to small packets, so that they can tell of it. Beside each, the child makes one more
// connection to its parent, for this alone: both say their host's name, then the child sends one packet of full size,
// and when that has come, the parent does. Who sees that its own is not answered, however often it is sent again, while
// the edge is, has found such a way.
//
// A resumable state machine that never waits; what is wrong with the connection itself ends it without a word. For one
// thread.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "bootstrap/unique_id.hpp"
#include "os/clock.hpp"
#include "os/handshake.hpp"
#include "os/internet.hpp"

namespace tenon::bootstrap {

// What an edge's packets hold: less than any network takes.
inline constexpr int edge_segment_bytes = 536;

class PacketCheck {
public:
    // Between hosts only: nothing is lost within one.
    static bool is_needed(const os::TcpSocket& edge);
    // By the child, at its parent's door. `own_host`: its name.
    PacketCheck(const os::InternetAddress& parent, const Secret& secret, const os::Handshake::Claim& claim,
                std::string own_host);
    // By the parent, with a connection that has proved who it is.
    PacketCheck(os::TcpSocket socket, std::string own_host);

    void watch(std::vector<pollfd>& watched) const;
    // True when it is over. An error when packets of full size do not arrive; `edge` is to the same host. It takes no
    // longer than what is then left for the meeting.
    Result<bool> advance(const os::TcpSocket& edge, std::uint64_t left_ms = std::numeric_limits<std::uint64_t>::max());

private:
    Result<bool> step(const os::TcpSocket& edge);
    Result<bool> shake();
    Result<bool> exchange(const os::TcpSocket& edge);
    Result<void> receive();
    Result<void> send_full_packet();
    Result<void> look_at_answers(const os::TcpSocket& edge);
    bool has_name() const;
    bool has_all() const;

    std::string own_host_;
    os::TcpSocket socket_;
    std::optional<os::Handshake> handshake_{};
    bool is_parent_;
    bool is_connected_ = false, has_said_name_ = false;
    std::uint64_t sent_at_ns_ = 0;  // the packet of full size; 0: not yet
    std::optional<unsigned> sent_again_by_answer_{};  // so often, when the edge was first answered after that
    std::vector<std::byte> arrived_{};
    std::uint64_t begun_at_ns_ = os::now_ns();
};

}  // namespace tenon::bootstrap
