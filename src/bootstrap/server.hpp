// Serves one meeting: admits the ranks, judges whether they agree, and gives each process the outcome.
//
// run() is one thread's; stop() and finished() may be called from any. All connections are served at once, so that a
// stranger who connects and says nothing, or garbage, delays nobody: strangers are dropped when their patience ends or
// their proof is wrong, and only so many are kept. Every known process gets either the meeting or the same refusal;
// a refusing server stays a little for ranks that come late (by a job's name, for rank 0).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "bootstrap/roll_call.hpp"
#include "os/socket.hpp"

namespace tenon::bootstrap {

class Server {
public:
    // Null when the socket's name is taken: somebody serves already.
    static Result<std::unique_ptr<Server>> create(Invitation invitation);

    void run();
    void stop();
    bool finished() const { return finished_.load(std::memory_order_acquire); }

private:
    struct Connection {
        os::LocalSocket socket;
        os::PeerCredentials peer;
        os::Deadline stranger_until;
        bool known = false;  // has shown the secret
        HelloBytes buffer{};
        std::size_t filled = 0;
        std::vector<Rank> ranks{};
        os::FileDescriptor arena{};
        bool open() const { return socket.descriptor().valid(); }
    };

    Server(Invitation invitation, os::LocalListener listener, os::WakeSignal wake)
        : invitation_{std::move(invitation)}, listener_{std::move(listener)}, wake_{std::move(wake)} {}

    Result<void> gather();
    Result<void> conclude();
    void refuse(Error why);

    Result<void> serve_once();
    int wait_ms() const;
    Result<void> accept_all();
    Result<void> read_from(Connection& connection);
    Result<void> check_proof(Connection& connection);
    Result<void> take_hello(Connection& connection);
    Result<void> lost(Connection& connection);
    void drop_stranger(Connection& connection, std::string_view why);
    std::size_t stranger_count() const;
    Error never_came() const;

    std::vector<const os::FileDescriptor*> assign_arenas();
    Result<void> send_outcome(Connection& connection, std::span<const std::byte> table,
                              const os::FileDescriptor& segment, std::span<const os::FileDescriptor* const> arenas);
    void count_as_told(const Connection& connection);
    void close_when_all_are_told();
    void tell(Connection& connection);

    const Invitation invitation_;
    os::LocalListener listener_;
    os::WakeSignal wake_;
    std::vector<std::unique_ptr<Connection>> connections_;
    RollCall roll_;
    os::Deadline meeting_deadline_ = os::Deadline::never();
    std::uint64_t first_came_ns_ = 0;
    std::optional<Error> refusal_;
    std::set<Rank> told_;
    bool told_own_process_ = false;
    bool has_logged_stranger_ = false;
    std::atomic<bool> stopped_{false}, finished_{false};
};

}  // namespace tenon::bootstrap
