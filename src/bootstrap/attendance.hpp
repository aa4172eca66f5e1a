// One process's part in one meeting, shared by those of its threads that are ranks: one connection, one outcome.
//
// Thread-safe. A thread of its own talks to the server; ranks only hand in their hello and wait, each with its own
// deadline and abort flag. The first that gives up ends the meeting for this process, and so, by the closed connection,
// for the job. An Attendance lives until its last rank has left; its thread ends with it at the latest.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "bootstrap/frames.hpp"
#include "os/socket.hpp"

namespace tenon::bootstrap {

using Outcome = Result<std::shared_ptr<const Meeting>>;

class Attendance {
public:
    // Hands in a rank's hello and waits for the outcome. Ranks that come while others of this process and host wait
    // under the same UniqueId join them.
    static Outcome attend(const UniqueId& id, const Invitation& invitation, Hello hello,
                          const os::FileDescriptor* arena, os::Deadline deadline, const NetworkSettings& network);
    ~Attendance();

private:
    struct Place {  // a rank's, in an Attendance
        std::shared_ptr<Attendance> attendance;
        bool is_taken;  // another thread came with the same rank
    };
    Attendance(UniqueId id, Invitation invitation, NetworkSettings network, os::TcpListener listener,
               os::WakeSignal wake)
        : id_{id},
          invitation_{std::move(invitation)},
          network_{std::move(network)},
          listener_{std::move(listener)},
          wake_{std::move(wake)} {}
    using Key = std::tuple<UniqueId, std::string, os::ProcessToken>;
    struct Waiting;
    static Waiting& waiting();
    Key key() const { return {id_, network_.host_id, os::process_token()}; }
    static Result<std::shared_ptr<Attendance>> start(const UniqueId& id, const Invitation& invitation,
                                                     const NetworkSettings& network);
    static Result<Place> join(const UniqueId& id, const Invitation& invitation, Hello hello,
                              const os::FileDescriptor* arena, const NetworkSettings& network);
    Result<bool> enter(Hello hello, const os::FileDescriptor* arena);  // false: the rank is here already
    Outcome wait(Rank rank, os::Deadline deadline);
    Outcome give_up(Rank rank, const Error& why);
    void publish(Outcome outcome);

    Result<Meeting> run();
    Result<os::LocalSocket> reach_server();
    Result<void> send_hellos(os::LocalSocket& socket);
    Result<void> await_frame(os::LocalSocket& socket);
    Result<Frame> receive_frame(os::LocalSocket& socket);
    Result<Meeting> receive_meeting(os::LocalSocket& socket);
    Result<Meeting> complete(Meeting meeting, std::vector<HostLink> links);
    os::Deadline until_ended() const { return os::Deadline::never().or_abort(ended_); }

    const UniqueId id_;
    const Invitation invitation_;
    const NetworkSettings network_;
    os::TcpListener listener_;  // for data; not valid where it takes none
    FrameReader reader_;
    os::WakeSignal wake_;
    os::PeerCredentials server_{};
    os::FileDescriptor server_watch_;  // not valid where the system has none, or the server is this process
    std::atomic<bool> ended_{false}, reached_{false};

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    std::vector<Hello> pending_;
    std::set<Rank> ranks_;
    os::FileDescriptor arena_;  // until it is sent
    bool has_arena_ = false;
    std::optional<Outcome> outcome_;

    std::thread thread_;
};

}  // namespace tenon::bootstrap
