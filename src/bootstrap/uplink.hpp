// The way up: a node's connection to its parent in the tree. It finds the root, lets itself be sent on, and joins; then
// frames go both ways.
//
// A resumable state machine: advance() goes on as far as it can without waiting (looking up a host's name is the
// exception). Every address is tried for a short time, which grows from round to round, so that a foreign service that
// says nothing costs little, and a busy root is reached at last. Once the root has sent this host on, somebody must be
// heard of in time, the root or who it named: else the meeting is lost. For one thread.
#pragma once

#include <deque>

#include "bootstrap/frames.hpp"
#include "bootstrap/host_watch.hpp"
#include "bootstrap/packet_check.hpp"
#include "bootstrap/place.hpp"
#include "bootstrap/pmix.hpp"
#include "os/handshake.hpp"

namespace tenon::bootstrap {

class Uplink {
public:
    Uplink(const Invitation& invitation, Place place, const NetworkSettings& network, std::string own_host);

    // What to wait for, and for how long at most.
    void watch(std::vector<pollfd>& watched) const;
    int wait_ms() const;
    // A frame from the parent once joined, if one has come whole. Errors are final: the job's refusal, a lost parent,
    // a root that is there no more, another version. `left_ms`: for the meeting.
    Result<std::optional<Frame>> advance(std::uint64_t left_ms);

    bool has_joined() const { return stage_ == Stage::joined; }
    // And large packets get through to the parent, as far as can be told.
    bool is_checked() const { return has_joined() && !packet_check_; }
    // The parent is out of reach: nothing can be told it any more.
    bool is_lost() const { return is_lost_; }
    Result<void> send(std::span<const std::byte> frame, os::Deadline deadline) {
        return watch_.send(socket_, frame, deadline);
    }
    // The parent may give the edge to others from here on: nothing is sent but what they expect.
    void stop_knocking() { may_knock_ = false; }
    const os::TcpSocket& socket() const { return socket_; }
    const NodeToken& parent() const { return parent_.node; }
    const os::InternetAddress& parent_address() const { return to_.address; }
    const Secret& secret() const { return secret_; }  // of the handshakes of this meeting
    // Where this host's own children are to come: opened before the parent is told of it.
    bool has_door() const { return door_.descriptor().valid(); }
    os::TcpListener take_door() { return std::move(door_); }
    const os::InternetAddress& listens() const { return listens_; }
    // What went wrong last, and what may help: why it has not joined.
    std::string obstacle() const;

private:
    enum class Stage { resting, connecting, shaking, awaiting_welcome, joined };
    struct Target {
        os::InternetAddress address{};
        bool has_derived_port = false;
        std::string whose{};  // of a host that is not the root: "host1, to which the root has sent it"
    };
    struct Problem {
        std::string why = "nothing was tried yet";
        Target at{};                 // no address where it came to none
        os::InternetAddress from{};  // not valid where it did not come to a socket
    };

    Result<void> next_target();
    void refill();
    Result<Place> current_place();
    Result<Place> place_from_rank_zero();
    Result<void> begin_handshake();
    Result<void> open_door();
    Result<void> take_welcome(Frame frame);
    Result<void> advance_packet_check(std::uint64_t left_ms);
    Secret door_secret() const;
    Result<bool> step();             // false: nothing more can be done now
    bool try_next(const std::string& why);  // true
    bool not_accepted();                    // true
    void go_on();
    void heard();
    Result<void> check_heard() const;
    std::string parent_text() const;
    std::string way_of(const Problem& problem) const;
    std::string in_words(const Problem& problem) const;
    Result<void> count_unreachable(const std::string& why);

    const Place place_;
    const std::string place_text_, interface_, own_host_;
    const std::uint64_t meeting_, patience_ms_;
    const bool may_come_later_;  // the root need not listen yet

    Secret secret_;
    Stage stage_ = Stage::resting;
    std::deque<Target> targets_;
    std::optional<AddressQuestion> question_;  // where rank 0 tells its address through PMIx
    Target to_{};
    os::TcpSocket socket_;
    std::optional<os::Handshake> handshake_;
    std::optional<PacketCheck> packet_check_;
    FrameReader reader_;
    os::Deadline until_ = os::Deadline::after_ms(0);  // of the rest, or of the try
    int rounds_ = 0, unreachable_ = 0;
    Problem last_problem_{};
    std::optional<Problem> refused_by_;  // who did not accept our secret
    Welcome parent_{};
    HostWatch watch_;
    bool is_lost_ = false, may_knock_ = true;
    // Once the root has sent this host on: where it is, and until when it, or who it named, is to be heard of again.
    std::optional<Target> root_;
    os::Deadline lost_at_ = os::Deadline::never();
    int heard_in_round_ = 0;
    os::TcpListener door_;
    os::InternetAddress listens_;
};

}  // namespace tenon::bootstrap
