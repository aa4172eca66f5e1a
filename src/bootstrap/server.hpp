// Serves one meeting on one host: admits the host's ranks, and, with the servers ("nodes") of the other hosts, judges
// whether all agree, and gives each process the outcome.
//
// run() is one thread's; stop() and finished() may be called from any. The nodes form a tree. The root is the node of
// the process that made the id, or, by a job's name, the one to which rank 0 came; all others pass upwards what they
// hear. The outcome comes down in two steps, so that all have the same: the table, which each node hands out; and, when
// all have said that they did, "go". Every known process gets either the meeting or the same refusal; by an id that was
// made for it, a refusing node stays a little for ranks that come late.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "bootstrap/branches.hpp"
#include "bootstrap/lobby.hpp"
#include "bootstrap/place.hpp"
#include "bootstrap/roll_call.hpp"
#include "bootstrap/uplink.hpp"

namespace tenon::bootstrap {

// What is to be served, and as whom.
struct Post {
    Invitation invitation;
    NetworkSettings network{};
    bool made_id = false;  // the root; other hosts come to its door, if it has one
    os::TcpListener door{};
};

class Server {
public:
    // Null when the socket's name is taken: somebody serves already.
    static Result<std::unique_ptr<Server>> create(Post post);

    void run();
    void stop();
    bool finished() const { return finished_.load(std::memory_order_acquire); }

private:
    Server(Post post, Place place, const NodeToken& node, os::LocalListener listener, os::WakeSignal wake);

    Result<void> gather();
    Result<void> conclude();
    void refuse(Error why);

    bool is_root() const { return !uplink_; }
    Result<void> become_root();
    Result<void> serve_once();
    int wait_ms() const;
    Result<void> check_time() const;
    Error never_came() const;
    std::string who_was_refused() const;
    Error never_joined() const;
    void shorten(std::uint64_t patience_ms);

    Result<void> take_hello(Guest& guest, const Hello& hello);
    Result<void> lost(const Guest& guest) const;
    Result<void> take_from_branch(Branch& branch, Frame& frame);
    Result<void> take_host(Branch& branch, const Frame& frame);
    Result<void> take_note(const Frame& frame);
    Result<void> take_ranks(Branch& branch, const Frame& frame);
    Result<void> serve_uplink();
    Result<void> take_from_above(const Frame& frame);
    Result<void> pass_up();
    Result<void> send_up(const Bytes& frame);
    void complete_address(Introduction& who) const;
    HostNetwork own_network() const;

    Result<void> make_table();
    std::vector<const os::FileDescriptor*> arenas() const;
    std::vector<std::pair<const os::TcpSocket*, std::int32_t>> links() const;
    Result<void> hand_out();
    Result<void> hand_out_to(Guest& guest, const os::FileDescriptor& segment, bool takes_links);
    Result<void> wait_until_all_are_ready();
    void send_go();
    os::Deadline sending() const { return meeting_deadline_.or_abort(stopped_); }

    Result<void> verdict_from_above(Error own);
    void tell_branches();
    void close_to_newcomers(std::uint64_t hold_ms);
    void close_door();
    void count_as_told(const Guest& guest);
    void close_when_all_are_told();
    void tell(Guest& guest);
    void linger();

    const Post post_;
    const Place place_;
    const NodeToken node_;
    const std::string host_;
    os::WakeSignal wake_;
    Lobby lobby_;
    Branches branches_;
    std::optional<Uplink> uplink_;       // none: this is the root
    std::optional<RootRecord> in_file_;  // what this root wrote into a file
    os::InternetAddress own_address_;    // how other hosts reach this one, as far as it is known
    RollCall roll_;                      // of the job at the root, otherwise of this host
    std::vector<Hello> to_introduce_;    // ranks of this host that the parent does not know of yet
    std::vector<Bytes> notes_to_pass_up_, to_pass_up_;
    bool has_introduced_host_ = false;
    std::int32_t arena_count_ = 0;
    std::optional<Table> table_;
    Bytes table_frame_;
    bool may_go_ = false, refused_from_above_ = false, is_ready_ = false;
    os::Deadline meeting_deadline_ = os::Deadline::never();
    std::uint64_t first_came_ns_ = 0;
    std::optional<Error> refusal_;
    bool holds_back_ = false;  // the refusal, from the processes of this host
    std::set<Rank> told_;
    std::atomic<bool> stopped_{false}, finished_{false};
};

}  // namespace tenon::bootstrap
