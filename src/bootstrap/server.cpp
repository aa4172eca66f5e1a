#include "bootstrap/server.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "os/memory.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::uint64_t stranger_patience_ms = 10'000;
constexpr std::size_t stranger_limit = 256;
constexpr std::uint64_t linger_ms = 5'000;
constexpr std::uint64_t refusal_send_ms = 100;
constexpr int idle_wait_ms = 60'000;

std::string name_process(const os::PeerCredentials& peer) { return fmt::format("process {}", peer.process); }

}  // namespace

Result<std::unique_ptr<Server>> Server::create(Invitation invitation) {
    auto listener = os::LocalListener::listen(invitation.socket_name);
    if (!listener) return std::unexpected(listener.error());
    if (!*listener) return nullptr;
    auto wake = os::WakeSignal::create();
    if (!wake) return std::unexpected(wake.error());
    return std::unique_ptr<Server>{new Server{std::move(invitation), std::move(**listener), std::move(*wake)}};
}

void Server::stop() {
    stopped_.store(true, std::memory_order_release);
    wake_.raise();
}

void Server::run() {
    auto outcome = gather();
    // Our own process hears last: it may end at what it hears, and this thread with it.
    std::partition(connections_.begin(), connections_.end(),
                   [](const auto& connection) { return connection->peer.process != os::process_id(); });
    if (outcome) outcome = conclude();
    if (!outcome) refuse(std::move(outcome.error()));
    listener_.close();
    for (auto& connection : connections_) connection->socket.close();
    connections_.clear();
    finished_.store(true, std::memory_order_release);
}

Result<void> Server::gather() {
    while (!roll_.complete()) {
        if (stopped_.load(std::memory_order_acquire))
            return fail(Status::remote_error, "the process that serves the rendezvous ended before the job had met");
        if (meeting_deadline_.passed()) return std::unexpected(never_came());
        if (auto served = serve_once(); !served) return served;
    }
    return {};
}

Error Server::never_came() const {
    const std::vector<Rank> missing = roll_.missing();
    return {Status::timeout,
            fmt::format("{} of {} never came to the rendezvous, waited for {} ms: see that {} started, on this host "
                        "and with the same unique id or job name, or raise TENON_INIT_TIMEOUT_MS",
                        name_ranks(missing), roll_.agreement().rank_count, (os::now_ns() - first_came_ns_) / 1'000'000,
                        missing.size() == 1 ? "it was" : "they were")};
}

int Server::wait_ms() const { return connections_.empty() && !roll_.begun() ? idle_wait_ms : os::abort_check_ms; }

Result<void> Server::serve_once() {
    const bool takes_more = stranger_count() < stranger_limit;
    const std::size_t served = connections_.size();
    std::vector<pollfd> watched{{wake_.descriptor().number(), POLLIN, 0},
                                {takes_more ? listener_.descriptor().number() : -1, POLLIN, 0}};
    for (const auto& connection : connections_)
        watched.push_back({connection->socket.descriptor().number(), POLLIN, 0});
    if (auto ready = os::wait_ready(watched, os::Deadline::never(), wait_ms()); !ready)
        return std::unexpected(ready.error());
    wake_.clear();
    for (std::size_t i = 0; i < served; i++)
        if (watched[i + 2].revents != 0)
            if (auto read = read_from(*connections_[i]); !read) return read;
    if (watched[1].revents != 0)
        if (auto accepted = accept_all(); !accepted) return accepted;
    for (auto& connection : connections_)
        if (connection->open() && !connection->known && connection->stranger_until.passed())
            drop_stranger(*connection, "it said nothing");
    std::erase_if(connections_, [](const auto& connection) { return !connection->open(); });
    return {};
}

Result<void> Server::accept_all() {
    while (stranger_count() < stranger_limit) {
        auto socket = listener_.accept();
        if (!socket) return std::unexpected(socket.error());
        if (!*socket) return {};
        const auto peer = (*socket)->peer();
        if (!peer) return std::unexpected(peer.error());
        auto connection =
            std::make_unique<Connection>(std::move(**socket), *peer, os::Deadline::after_ms(stranger_patience_ms));
        if (peer->user != os::user_id() && peer->user != 0) {
            drop_stranger(*connection, fmt::format("it belongs to user {}", peer->user));
            continue;
        }
        connections_.push_back(std::move(connection));
    }
    return {};
}

std::size_t Server::stranger_count() const {
    return static_cast<std::size_t>(
        std::count_if(connections_.begin(), connections_.end(), [](const auto& c) { return c->open() && !c->known; }));
}

void Server::drop_stranger(Connection& connection, std::string_view why) {
    log(has_logged_stranger_ ? LogLevel::debug : LogLevel::warning,
        "a stranger ({}) connected to the rendezvous and was dropped: {}", name_process(connection.peer), why);
    has_logged_stranger_ = true;
    connection.socket.close();
}

// Descriptors are only taken from those who have shown the secret; the system closes a stranger's.
Result<void> Server::read_from(Connection& connection) {
    while (connection.open()) {
        const std::size_t wanted = connection.known ? hello_bytes : proof_bytes;
        os::FileDescriptor passed;
        const auto room = std::span{connection.buffer}.subspan(connection.filled, wanted - connection.filled);
        const auto received = connection.socket.receive_some(room, connection.known ? &passed : nullptr);
        if (!received && received.error().status == Status::remote_error) return lost(connection);
        if (!received) return std::unexpected(received.error());
        if (*received == 0) return {};
        if (passed.valid() && !connection.arena.valid()) connection.arena = std::move(passed);
        connection.filled += *received;
        if (connection.filled < wanted) continue;
        connection.filled = 0;
        if (auto taken = connection.known ? take_hello(connection) : check_proof(connection); !taken) return taken;
    }
    return {};
}

Result<void> Server::check_proof(Connection& connection) {
    const auto version = read_proof(std::span{connection.buffer}.first<proof_bytes>(), invitation_.secret);
    if (!version) {
        drop_stranger(connection, "it does not know the job's secret");
        return {};
    }
    connection.known = true;
    if (*version == wire_version) return {};
    return fail(Status::mismatch, fmt::format("{} speaks version {} of the rendezvous, process {} version {}: use one "
                                              "build of Tenon in all processes of the job",
                                              name_process(connection.peer), *version, os::process_id(), wire_version));
}

Result<void> Server::take_hello(Connection& connection) {
    const auto hello = read_hello(connection.buffer);
    if (!hello) return std::unexpected(hello.error());
    connection.ranks.push_back(hello->who.rank);
    if (refusal_) {
        count_as_told(connection);
        close_when_all_are_told();
        tell(connection);
        return {};
    }
    if (!roll_.begun()) first_came_ns_ = os::now_ns();
    const os::Deadline patience = os::Deadline::after_ms(hello->patience_ms);
    if (patience.time_ns() < meeting_deadline_.time_ns()) meeting_deadline_ = patience;
    if (hello->offers_arena && !connection.arena.valid())
        return fail(Status::internal_error, fmt::format("rank {} offered memory but sent none", hello->who.rank));
    return roll_.enter(*hello);
}

Result<void> Server::lost(Connection& connection) {
    connection.socket.close();
    if (!connection.known) {
        drop_stranger(connection, "it left before it said who it is");
        return {};
    }
    if (refusal_) return {};
    const std::string who = connection.ranks.empty() ? "a rank" : name_ranks(connection.ranks);
    return fail(Status::remote_error, fmt::format("{} ({}) left before the job had met: look for its own error", who,
                                                  name_process(connection.peer)));
}

std::vector<const os::FileDescriptor*> Server::assign_arenas() {
    std::vector<const os::FileDescriptor*> arenas;
    for (const auto& connection : connections_) {
        if (!connection->arena.valid() || connection->ranks.empty()) continue;
        for (const Rank rank : connection->ranks)
            roll_.ranks()[static_cast<std::size_t>(rank)].arena = static_cast<std::int32_t>(arenas.size());
        arenas.push_back(&connection->arena);
    }
    return arenas;
}

Result<void> Server::send_outcome(Connection& connection, std::span<const std::byte> table,
                                  const os::FileDescriptor& segment,
                                  std::span<const os::FileDescriptor* const> arenas) {
    const os::Deadline deadline = meeting_deadline_.or_abort(stopped_);
    const auto passing = write_frame(FrameKind::descriptor);
    auto sent = connection.socket.send(table, deadline);
    if (sent) sent = connection.socket.send(passing, deadline, &segment);
    for (std::size_t i = 0; sent && i < arenas.size(); i++) sent = connection.socket.send(passing, deadline, arenas[i]);
    if (sent) return {};
    return fail(sent.error().status,
                fmt::format("{} ({}) did not take what the rendezvous sent: {}", name_ranks(connection.ranks),
                            name_process(connection.peer), sent.error().message));
}

Result<void> Server::conclude() {
    listener_.close();
    auto segment = os::create_shared_memory("tenon-segment", roll_.agreement().segment);
    if (!segment) return std::unexpected(segment.error());
    const auto arenas = assign_arenas();
    const auto table = write_table(roll_.ranks(), arenas.size());
    for (auto& connection : connections_)
        if (!connection->ranks.empty())
            if (auto sent = send_outcome(*connection, table, *segment, arenas); !sent) return sent;
    segment->close();
    const auto go = write_frame(FrameKind::go);
    for (auto& connection : connections_) {
        connection->arena.close();
        // Who is gone by now has had the outcome, and is missed by the liveness checks from here on.
        if (!connection->ranks.empty())
            static_cast<void>(connection->socket.send(go, meeting_deadline_.or_abort(stopped_)));
    }
    log(LogLevel::debug, "{} ranks in {} processes have met", roll_.agreement().rank_count, connections_.size());
    return {};
}

void Server::refuse(Error why) {
    refusal_ = std::move(why);
    std::vector<Connection*> known;
    for (auto& connection : connections_)
        if (connection->known && connection->open()) known.push_back(connection.get());
    for (const Connection* connection : known) count_as_told(*connection);
    close_when_all_are_told();
    for (Connection* connection : known) tell(*connection);
    const os::Deadline until = os::Deadline::after_ms(linger_ms).or_abort(stopped_);
    while (listener_.descriptor().valid() && until.check("ranks that come late"))
        if (!serve_once()) return;
}

void Server::count_as_told(const Connection& connection) {
    told_.insert(connection.ranks.begin(), connection.ranks.end());
    told_own_process_ |= connection.peer.process == os::process_id();
}

// Before the last is told, so that whoever meets again by the job's name does not find this server. By a name it is
// rank 0 that serves, from its own process: once that knows, rank 0 may serve anew, and the others wait for it.
void Server::close_when_all_are_told() {
    const auto expected = static_cast<std::size_t>(roll_.begun() ? roll_.agreement().rank_count : rank_count_limit);
    if (invitation_.rank_zero_serves ? told_own_process_ : told_.size() >= expected) listener_.close();
}

void Server::tell(Connection& connection) {
    // A peer that is gone, or that does not read, needs no answer.
    static_cast<void>(connection.socket.send(write_refusal(*refusal_), os::Deadline::after_ms(refusal_send_ms)));
    connection.socket.close();
}

}  // namespace tenon::bootstrap
