// The hosts below this one in the tree: who connects over TCP, shows the secret, and is taken in or sent on.
//
// A node takes so many children and sends all others to one of these, by turns: so none has more than a few
// connections, and the tree grows as deep as the logarithm of the number of hosts. Strangers delay nobody for long:
// they are dropped when their patience ends or their proof is wrong, and of so many as are heard at once the oldest
// makes room for who waits at the door. For one thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "bootstrap/frames.hpp"
#include "bootstrap/host_watch.hpp"
#include "bootstrap/packet_check.hpp"
#include "os/handshake.hpp"

namespace tenon::bootstrap {

struct Branch {
    os::TcpSocket socket;
    os::InternetAddress listens;
    HostWatch watch;
    NodeToken node{};
    bool introduced = false;  // it has said who it is
    std::string name{};
    std::vector<Rank> ranks{};  // of that host alone
    FrameReader reader{};
    bool ready = false;
    bool told = false;  // that the meeting is off
    std::optional<PacketCheck> packet_check{};
    bool open() const { return socket.descriptor().valid(); }
    std::string text() const;  // "ranks 3 and 4 on host1 (10.0.0.2:4711)"
};

class Branches {
public:
    static constexpr std::size_t fan_out = 16;
    static constexpr std::size_t most_newcomers = 24;
    // What a node holds to other hosts at any moment: also the way up, and, while packets are tried, a connection more
    // on each edge.
    static constexpr std::size_t most_connections = 2 * (1 + fan_out) + most_newcomers;
    static_assert(most_connections <= 64);
    using Take = std::function<Result<void>(Branch&, Frame&)>;

    Branches(const NodeToken& own, std::string own_host) : own_{own}, own_host_{std::move(own_host)} {}

    // From then on hosts are taken in.
    void open(os::TcpListener listener, const Secret& secret, std::uint64_t patience_ms);
    void close_door();
    bool is_open() const { return listener_.descriptor().valid(); }
    const os::TcpListener& listener() const { return listener_; }
    // A node without ranks takes a single child, which is the root of all hosts with ranks if it stays without.
    void limit_children(std::size_t most) { most_children_ = most; }
    // From then on whoever comes is told so.
    void refuse_newcomers(const Error& why) { refusal_ = write_refusal(why); }

    void watch(std::vector<pollfd>& watched) const;
    // Goes on with all as far as it can without waiting. An error when a child is lost, or out of reach, or says what
    // it must not.
    Result<void> serve(const Take& take);
    std::deque<Branch>& children() { return children_; }
    const std::deque<Branch>& children() const { return children_; }
    // What has not introduced itself when all have come is a connection that its host gave up.
    void drop_unknown();
    bool has_children() const { return !children_.empty(); }
    bool has_newcomers() const { return !newcomers_.empty(); }
    // Who came without the job's secret and was dropped, in words; empty if nobody has.
    const std::string& refused_stranger() const { return refused_stranger_; }
    // This host's address as its children see it; not valid before there is one.
    const os::InternetAddress& seen_as() const { return seen_as_; }

private:
    struct Newcomer {
        os::TcpSocket socket;
        os::Handshake handshake;
        os::Deadline until, makes_room;
        std::string from;
    };
    bool has_room() const;
    void accept_all();
    Result<bool> advance(Newcomer& newcomer);  // true: it is a newcomer no more
    Result<void> admit(Newcomer& newcomer);
    void begin_packet_check(Newcomer& newcomer, const os::InternetAddress& whose);
    Result<void> advance_packet_checks();
    Result<void> read_from(Branch& child, const Take& take);
    Result<void> look_at(Branch& child);
    void drop_stranger(Newcomer& newcomer, std::string_view why);

    const NodeToken own_;
    const std::string own_host_;
    os::TcpListener listener_;
    Secret secret_;
    std::uint64_t patience_ms_ = 0;
    std::size_t most_children_ = fan_out, turn_ = 0;
    std::deque<Newcomer> newcomers_;
    std::deque<Branch> children_;
    Bytes refusal_;
    os::InternetAddress seen_as_;
    bool has_logged_stranger_ = false;
    std::string refused_stranger_;
};

}  // namespace tenon::bootstrap
