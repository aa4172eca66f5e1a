#include "bootstrap/attendance.hpp"

#include <fmt/format.h>

#include <chrono>
#include <map>

#include "bootstrap/background.hpp"
#include "os/thread.hpp"

namespace tenon::bootstrap {
namespace {

constexpr int connect_again_ms = 5;
// The server's own verdict on a meeting that took too long names the missing ranks, so wait a little for it.
constexpr std::uint64_t verdict_grace_ms = 2'000;
constexpr std::string_view awaited_ranks = "the other ranks to come to the rendezvous";
constexpr std::string_view awaited_server =
    "rank 0, which serves the rendezvous (see that it started, on this host and with the same job name, or raise "
    "TENON_INIT_TIMEOUT_MS)";

// The meetings that ranks of this process wait in. The token keeps a forked child out of its parent's.
struct Waiting {
    std::mutex mutex;
    std::map<std::pair<UniqueId, os::ProcessToken>, std::shared_ptr<Attendance>> attendances;
};
Waiting& waiting() {
    static auto* const all = new Waiting;  // never destroyed: threads may still wait while the process ends
    return *all;
}

std::unexpected<Error> server_ended(const os::PeerCredentials& server) {
    return fail(Status::remote_error, fmt::format("the process that serves the rendezvous (process {}) ended or closed "
                                                  "it before the job had met: look for its own error",
                                                  server.process));
}

}  // namespace

Outcome Attendance::attend(const UniqueId& id, const Invitation& invitation, Hello hello,
                           const os::FileDescriptor* arena, os::Deadline deadline) {
    const Rank rank = hello.who.rank;
    auto place = join(id, invitation, std::move(hello), arena);
    if (!place) return std::unexpected(place.error());
    // After joining, so that whatever the server tells this process reaches rank 0. When somebody serves already, rank
    // 0 has come twice, and that server will say so.
    if (invitation.rank_zero_serves && rank == 0)
        if (auto served = serve_in_background(invitation); !served)
            return place->attendance->give_up(rank, served.error());
    Outcome outcome = place->attendance->wait(rank, deadline);
    if (outcome && place->is_taken)
        return fail(
            Status::mismatch,
            fmt::format("rank {} came twice from process {}: give each rank its own number", rank, os::process_id()));
    return outcome;
}

Result<Attendance::Place> Attendance::join(const UniqueId& id, const Invitation& invitation, Hello hello,
                                           const os::FileDescriptor* arena) {
    std::shared_ptr<Attendance> attendance;  // may end here, which must not happen under the lock
    const std::lock_guard lock{waiting().mutex};
    const auto at = waiting().attendances.find({id, os::process_token()});
    if (at != waiting().attendances.end()) {
        attendance = at->second;
    } else {
        auto started = start(id, invitation);
        if (!started) return std::unexpected(started.error());
        attendance = std::move(*started);
    }
    const auto entered = attendance->enter(std::move(hello), arena);
    if (!entered) return std::unexpected(entered.error());
    waiting().attendances[{id, os::process_token()}] = attendance;
    return Place{std::move(attendance), !*entered};
}

Result<std::shared_ptr<Attendance>> Attendance::start(const UniqueId& id, const Invitation& invitation) {
    auto wake = os::WakeSignal::create();
    if (!wake) return std::unexpected(wake.error());
    std::shared_ptr<Attendance> attendance{new Attendance{id, invitation, std::move(*wake)}};
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
    const bool is_new = ranks_.insert(hello.who.rank).second;
    pending_.push_back(std::move(hello));
    wake_.raise();
    return is_new;
}

// Whoever comes after this starts a new Attendance, so it must happen before any rank returns and perhaps meets again.
// It never ends this Attendance: ranks that wait for the outcome, or the one that publishes it, still hold it.
void Attendance::publish(Outcome outcome) {
    const std::lock_guard lock{waiting().mutex};
    const auto at = waiting().attendances.find({id_, os::process_token()});
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

Result<os::LocalSocket> Attendance::reach_server() {
    for (;;) {
        auto socket = os::LocalSocket::connect(invitation_.socket_name, until_ended());
        if (!socket) return std::unexpected(socket.error());
        if (*socket) return std::move(**socket);
        if (!invitation_.rank_zero_serves)
            return fail(Status::remote_error,
                        "nobody serves this unique id any more: its ranks have met or failed to, "
                        "or the process that made it ended; make a new one");
        if (auto go_on = until_ended().check("rank 0"); !go_on) return std::unexpected(go_on.error());
        os::sleep_ms(connect_again_ms);
    }
}

Result<Meeting> Attendance::run() {
    auto socket = reach_server();
    if (!socket) return std::unexpected(socket.error());
    const auto server = socket->peer();
    if (!server) return std::unexpected(server.error());
    server_ = *server;
    reached_.store(true, std::memory_order_release);
    if (server_.user != os::user_id() && server_.user != 0)
        return fail(Status::system_error, fmt::format("the rendezvous is served by user {} (process {}), not by this "
                                                      "user: choose another job name",
                                                      server_.user, server_.process));
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

Result<Attendance::Frame> Attendance::receive_frame(os::LocalSocket& socket) {
    if (auto came = await_frame(socket); !came) return std::unexpected(came.error());
    Frame frame;
    std::array<std::byte, frame_header_bytes> header_bytes;
    auto received = socket.receive(header_bytes, until_ended(), &frame.passed);
    if (!received) return std::unexpected(received.error());
    const auto header = read_frame_header(header_bytes);
    if (!header) return std::unexpected(header.error());
    frame.kind = header->kind;
    frame.payload.resize(header->payload_bytes);
    received = socket.receive(frame.payload, until_ended());
    if (!received) return std::unexpected(received.error());
    return frame;
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

Result<Meeting> Attendance::receive_meeting(os::LocalSocket& socket) {
    Meeting meeting;
    std::size_t arena_count = 0;
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
                arena_count = table->arena_count;
                break;
            }
            case FrameKind::descriptor:
                if (!meeting.segment.valid())
                    meeting.segment = std::move(frame->passed);
                else
                    meeting.arenas.push_back(std::move(frame->passed));
                break;
            case FrameKind::go:
                if (meeting.ranks.empty() || !meeting.segment.valid() || meeting.arenas.size() != arena_count)
                    return fail(Status::internal_error, "the rendezvous sent an incomplete meeting");
                return with_memory(std::move(meeting));
        }
    }
}

}  // namespace tenon::bootstrap
