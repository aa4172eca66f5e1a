#include "bootstrap/attendance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "base/log.hpp"
#include "bootstrap/background.hpp"
#include "bootstrap/interfaces.hpp"
#include "bootstrap/place.hpp"
#include "bootstrap/pmix.hpp"
#include "os/thread.hpp"

namespace tenon::bootstrap {
namespace {

constexpr int connect_again_ms = 5;
// The server's own verdict on a meeting that took too long names the missing ranks, so wait a little for it.
constexpr std::uint64_t verdict_grace_ms = 2'000;
constexpr std::string_view awaited_ranks = "the other ranks to come to the rendezvous";
constexpr std::string_view awaited_server = "the process that serves the rendezvous on this host";

std::unexpected<Error> server_ended(const os::PeerCredentials& server) {
    return fail(Status::remote_error, fmt::format("the process that serves the rendezvous (process {}) ended or closed "
                                                  "it before the job had met: look for its own error",
                                                  server.process));
}

// At an interface that was asked for; otherwise at all addresses, of which the node tells others the right one.
Result<std::optional<os::TcpListener>> listen_for_data(const std::string& interface) {
    if (interface.empty()) return listen_everywhere(0);
    const auto own = own_interface(interface);
    if (!own) return std::unexpected(own.error());
    return os::TcpListener::listen((*own)->address.with_port(0));
}

// Only the address of the launcher's rank 0 is ever asked for. But mpirun takes a process for lost that ends without
// having been a client of PMIx where another of its host has been one: so all are, whoever asks.
Result<void> put_up_own_address(const Invitation& invitation, const NetworkSettings& network) {
    if (invitation.place != place_told_by_pmix) return {};
    const auto own = own_interface(network.interface);
    if (!own) return std::unexpected(own.error());
    if (*own) return put_up_address((*own)->address.host_text());
    log(LogLevel::warning, "other hosts cannot reach this one: it has no network interface");
    return {};
}

// A job on one host works with no network at all.
Result<os::TcpListener> data_listener(const Invitation& invitation, const NetworkSettings& network) {
    if (invitation.place.empty() && !network.takes_data) return os::TcpListener{};
    auto listener = listen_for_data(network.interface);
    if (!listener) return std::unexpected(listener.error());
    if (*listener) return std::move(**listener);
    return fail(Status::system_error, "this host has no free port on which to take data");
}

}  // namespace

// The meetings that ranks of this process wait in. The token keeps a forked child out of its parent's.
struct Attendance::Waiting {
    std::mutex mutex;
    std::map<Key, std::shared_ptr<Attendance>> attendances;
};
Attendance::Waiting& Attendance::waiting() {
    static auto* const all = new Waiting;  // never destroyed: threads may still wait while the process ends
    return *all;
}

Outcome Attendance::attend(const UniqueId& id, const Invitation& invitation, Hello hello,
                           const os::FileDescriptor* arena, os::Deadline deadline, const NetworkSettings& network) {
    const Rank rank = hello.who.rank;
    if (auto put = put_up_own_address(invitation, network); !put) return std::unexpected(put.error());
    auto place = join(id, invitation, std::move(hello), arena, network);
    if (!place) return std::unexpected(place.error());
    Outcome outcome = place->attendance->wait(rank, deadline);
    if (outcome && place->is_taken)
        return fail(Status::mismatch, fmt::format("rank {} came twice from process {}: give each rank its own number",
                                                  rank, os::process_id()));
    return outcome;
}

Result<Attendance::Place> Attendance::join(const UniqueId& id, const Invitation& invitation, Hello hello,
                                           const os::FileDescriptor* arena, const NetworkSettings& network) {
    std::shared_ptr<Attendance> attendance;  // may end here, which must not happen under the lock
    const std::lock_guard lock{waiting().mutex};
    const auto at = waiting().attendances.find({id, network.host_id, os::process_token()});
    if (at != waiting().attendances.end()) {
        attendance = at->second;
    } else {
        auto started = start(id, invitation, network);
        if (!started) return std::unexpected(started.error());
        attendance = std::move(*started);
    }
    const auto entered = attendance->enter(std::move(hello), arena);
    if (!entered) return std::unexpected(entered.error());
    waiting().attendances[attendance->key()] = attendance;
    return Place{std::move(attendance), !*entered};
}

Result<std::shared_ptr<Attendance>> Attendance::start(const UniqueId& id, const Invitation& invitation,
                                                      const NetworkSettings& network) {
    auto listener = data_listener(invitation, network);
    if (!listener) return std::unexpected(listener.error());
    auto wake = os::WakeSignal::create();
    if (!wake) return std::unexpected(wake.error());
    std::shared_ptr<Attendance> attendance{
        new Attendance{id, invitation, network, std::move(*listener), std::move(*wake)}};
    auto thread = os::start_thread([self = attendance.get()] {
        auto met = self->run();
        if (met)
            self->publish(std::make_shared<const Meeting>(std::move(*met)));
        else
            self->publish(std::unexpected(std::move(met.error())));
    });
    if (!thread) return std::unexpected(thread.error());
    attendance->thread_ = std::move(*thread);
    return attendance;
}

Attendance::~Attendance() {
    ended_.store(true, std::memory_order_release);
    wake_.raise();
    if (thread_.joinable()) thread_.join();
}

Result<bool> Attendance::enter(Hello hello, const os::FileDescriptor* arena) {
    const std::lock_guard lock{mutex_};
    if (arena != nullptr && !has_arena_) {
        auto copy = arena->duplicate();
        if (!copy) return std::unexpected(copy.error());
        arena_ = std::move(*copy);
        has_arena_ = true;
    }
    hello.who.address = listener_.address();
    hello.who.networks = network_.networks;
    const bool is_new = ranks_.insert(hello.who.rank).second;
    pending_.push_back(std::move(hello));
    wake_.raise();
    return is_new;
}

// Whoever comes after this starts a new Attendance, so it must happen before any rank returns and perhaps meets again.
// It never ends this Attendance: ranks that wait for the outcome, or the one that publishes it, still hold it.
void Attendance::publish(Outcome outcome) {
    const std::lock_guard lock{waiting().mutex};
    const auto at = waiting().attendances.find(key());
    if (at != waiting().attendances.end() && at->second.get() == this) waiting().attendances.erase(at);
    const std::lock_guard own_lock{mutex_};
    if (!outcome_) outcome_ = std::move(outcome);
    changed_.notify_all();
}

Outcome Attendance::wait(Rank rank, os::Deadline deadline) {
    for (;;) {
        {
            std::unique_lock lock{mutex_};
            const auto slice = std::chrono::milliseconds{os::abort_check_ms};
            if (changed_.wait_for(lock, slice, [&] { return outcome_.has_value(); })) return *outcome_;
        }
        const bool reached = reached_.load(std::memory_order_acquire);
        const os::Deadline last = reached ? deadline.later_by_ms(verdict_grace_ms) : deadline;
        if (const auto go_on = last.check(reached ? awaited_ranks : awaited_server); !go_on)
            return give_up(rank, go_on.error());
    }
}

Outcome Attendance::give_up(Rank rank, const Error& why) {
    const std::string who = fmt::format("rank {} (process {})", rank, os::process_id());
    publish(fail(Status::remote_error, fmt::format("{} gave up: {}", who, why.message)));
    ended_.store(true, std::memory_order_release);
    wake_.raise();
    return fail(why.status, fmt::format("{}: {}", who, why.message));
}

// The first process that comes to a host serves it. Only who made an id can serve it where there is no network.
Result<os::LocalSocket> Attendance::reach_server() {
    for (;;) {
        auto socket = os::LocalSocket::connect(invitation_.socket_name(network_.host_id), until_ended());
        if (!socket) return std::unexpected(socket.error());
        if (*socket) return std::move(**socket);
        if (!invitation_.is_by_job && invitation_.place.empty())
            return fail(Status::remote_error,
                        "nobody serves this unique id any more: its ranks have met or failed to, "
                        "or the process that made it ended; make a new one");
        const auto served = serve_in_background({.invitation = invitation_, .network = network_});
        if (!served) return std::unexpected(served.error());
        if (auto go_on = until_ended().check("the rendezvous"); !go_on) return std::unexpected(go_on.error());
        if (!*served) os::sleep_ms(connect_again_ms);  // somebody was faster
    }
}

Result<Meeting> Attendance::run() {
    auto socket = reach_server();
    if (!socket) return std::unexpected(socket.error());
    const auto server = socket->peer();
    if (!server) return std::unexpected(server.error());
    server_ = *server;
    reached_.store(true, std::memory_order_release);
    if (server_.user != os::user_id())
        return fail(Status::system_error,
                    fmt::format("the rendezvous is served by user {} (process {}), not by this one, {}: run all ranks "
                                "as one user, or choose another job name",
                                server_.user, server_.process, os::user_id()));
    if (server_.process != 0 && server_.process != os::process_id()) {
        auto watch = os::watch_process(server_.process);
        if (watch) server_watch_ = std::move(*watch);
        // A system without pidfd still closes the socket when the process ends.
        else if (watch.error().status == Status::remote_error)
            return server_ended(server_);
    }
    auto sent = socket->send(write_proof(invitation_.secret), until_ended());
    // A server that refuses may have closed already; its reason is still there to be read.
    if (!sent && sent.error().status != Status::remote_error) return std::unexpected(sent.error());
    return receive_meeting(*socket);
}

Result<void> Attendance::send_hellos(os::LocalSocket& socket) {
    std::vector<Hello> hellos;
    os::FileDescriptor arena;
    {
        const std::lock_guard lock{mutex_};
        hellos.swap(pending_);
        for (const Hello& hello : hellos)
            if (hello.offers_arena && arena_.valid()) arena = std::move(arena_);
    }
    for (const Hello& hello : hellos) {
        const bool passes = hello.offers_arena && arena.valid();
        auto sent = socket.send(write_hello(hello), until_ended(), passes ? &arena : nullptr);
        if (passes) arena.close();
        if (!sent) return sent;
    }
    return {};
}

// Until the server has sent something; meanwhile ranks of this process may still come.
Result<void> Attendance::await_frame(os::LocalSocket& socket) {
    for (;;) {
        if (auto sent = send_hellos(socket); !sent && sent.error().status != Status::remote_error) return sent;
        if (auto go_on = until_ended().check("the rendezvous"); !go_on) return go_on;
        pollfd watched[] = {{socket.descriptor().number(), POLLIN, 0},
                            {wake_.descriptor().number(), POLLIN, 0},
                            {server_watch_.number(), POLLIN, 0}};
        if (auto ready = os::wait_ready(watched, until_ended()); !ready) return std::unexpected(ready.error());
        if (watched[0].revents != 0) return {};
        if (watched[1].revents != 0) wake_.clear();
        if (watched[2].revents != 0) return server_ended(server_);
    }
}

Result<Frame> Attendance::receive_frame(os::LocalSocket& socket) {
    for (;;) {
        if (auto came = await_frame(socket); !came) return std::unexpected(came.error());
        auto frame = reader_.read(socket, true);
        if (!frame) return std::unexpected(frame.error());
        if (*frame) return std::move(**frame);
    }
}

namespace {

// Mapped once: ranks of one process see the same bytes at the same addresses.
Result<Meeting> with_memory(Meeting meeting) {
    const auto size = os::shared_memory_bytes(meeting.segment);
    if (!size) return std::unexpected(size.error());
    auto memory = os::Mapping::shared(meeting.segment, *size);
    if (!memory) return std::unexpected(memory.error());
    meeting.memory = std::move(*memory);
    return meeting;
}

}  // namespace

Result<Meeting> Attendance::complete(Meeting meeting, std::vector<HostLink> links) {
    const auto incomplete = fail(Status::internal_error, "the rendezvous sent an incomplete meeting");
    {
        const std::lock_guard lock{mutex_};
        const Rank own = ranks_.empty() ? -1 : *ranks_.begin();
        if (own < 0 || static_cast<std::size_t>(own) >= meeting.ranks.size()) return incomplete;
        const std::int32_t host = meeting.ranks[static_cast<std::size_t>(own)].host;
        std::int32_t arena_count = 0;
        for (const Introduction& who : meeting.ranks)
            if (who.host == host) arena_count = std::max(arena_count, who.arena + 1);
        if (!meeting.segment.valid() || meeting.arenas.size() != static_cast<std::size_t>(arena_count))
            return incomplete;
    }
    meeting.listener = std::move(listener_);
    if (!links.empty()) meeting.links = std::make_unique<std::vector<HostLink>>(std::move(links));
    return with_memory(std::move(meeting));
}

Result<Meeting> Attendance::receive_meeting(os::LocalSocket& socket) {
    Meeting meeting;
    std::vector<HostLink> links;
    for (;;) {
        auto frame = receive_frame(socket);
        if (!frame && frame.error().status == Status::remote_error) return server_ended(server_);
        if (!frame) return std::unexpected(frame.error());
        switch (frame->kind) {
            case FrameKind::refusal:
                return std::unexpected(read_refusal(frame->payload));
            case FrameKind::table: {
                auto table = read_table(frame->payload);
                if (!table) return std::unexpected(table.error());
                meeting.ranks = std::move(table->ranks);
                for (TableHost& host : table->hosts) {
                    meeting.hosts.push_back(std::move(host.name));
                    meeting.networks.push_back(std::move(host.network));
                }
                meeting.preferences = std::move(table->preferences);
                meeting.key = table->key;
                break;
            }
            case FrameKind::segment:
                meeting.segment = std::move(frame->passed);
                break;
            case FrameKind::arena:
                meeting.arenas.push_back(std::move(frame->passed));
                break;
            case FrameKind::link: {
                const auto host = read_link(frame->payload);
                if (!host) return std::unexpected(host.error());
                frame->passed.keep_from_children();
                links.push_back({os::TcpSocket{std::move(frame->passed)}, *host});
                break;
            }
            case FrameKind::go:
                return complete(std::move(meeting), std::move(links));
            default:
                return fail(Status::internal_error, "the rendezvous sent what only hosts send each other");
        }
    }
}

}  // namespace tenon::bootstrap
