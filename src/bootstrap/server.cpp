#include "bootstrap/server.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "bootstrap/interfaces.hpp"
#include "os/memory.hpp"

namespace tenon::bootstrap {
namespace {

constexpr int idle_wait_ms = 60'000;
// The root's own verdict on a meeting that took too long names the missing ranks, so wait a little for it.
constexpr std::uint64_t verdict_grace_ms = 1'000;

std::string name_host(const NetworkSettings& network) {
    const std::string name = os::host_name();
    return network.host_id.empty() ? name : fmt::format("{}/{}", name, network.host_id);
}

Result<os::TcpListener> first_free(const Place& place, std::uint64_t meeting) {
    const std::vector<std::uint16_t> ports = ports_of(place, meeting);
    for (const std::uint16_t port : ports) {
        Result<std::optional<os::TcpListener>> door = std::nullopt;
        if (place.is_loopback()) {
            const auto addresses = os::resolve(place.host, port);
            if (!addresses) return std::unexpected(addresses.error());
            door = os::TcpListener::listen(addresses->front());
        } else {
            door = listen_everywhere(port);
        }
        if (!door) return std::unexpected(door.error());
        if (*door) return std::move(**door);
    }
    return fail(Status::system_error,
                fmt::format("rank 0 cannot serve the rendezvous: no port of {} is free here; set TENON_RENDEZVOUS to "
                            "another one, the same for all ranks",
                            fmt::join(ports, ", ")));
}

Result<os::TcpListener> any_free(const std::string& interface) {
    const auto own = own_interface(interface);
    if (!own) return std::unexpected(own.error());
    if (!*own) return fail(Status::system_error, "this host has no network interface that is up");
    auto door = os::TcpListener::listen((*own)->address.with_port(0));
    if (!door) return std::unexpected(door.error());
    if (!*door) return fail(Status::system_error, "this host has no free port");
    return std::move(**door);
}

}  // namespace

Result<std::unique_ptr<Server>> Server::create(Post post) {
    auto place = read_place(post.invitation.place);
    if (!place) return std::unexpected(place.error());
    NodeToken node;
    if (auto filled = os::fill_random(std::as_writable_bytes(std::span{&node, 1})); !filled)
        return std::unexpected(filled.error());
    auto listener = os::LocalListener::listen(post.invitation.socket_name(post.network.host_id));
    if (!listener) return std::unexpected(listener.error());
    if (!*listener) return nullptr;
    auto wake = os::WakeSignal::create();
    if (!wake) return std::unexpected(wake.error());
    return std::unique_ptr<Server>{
        new Server{std::move(post), std::move(*place), node, std::move(**listener), std::move(*wake)}};
}

Server::Server(Post post, Place place, const NodeToken& node, os::LocalListener listener, os::WakeSignal wake)
    : post_{.invitation = post.invitation, .network = post.network, .made_id = post.made_id},
      place_{std::move(place)},
      node_{node},
      host_{name_host(post.network)},
      wake_{std::move(wake)},
      lobby_{post.invitation.secret, std::move(listener)},
      branches_{node, host_} {
    const bool seeks_root = !post.made_id && !place_.is_one_host();
    if (seeks_root) {
        uplink_.emplace(post_.invitation, place_, post_.network, host_);
        roll_.name_hosts();
    }
    if (post.door.descriptor().valid()) {
        own_address_ = post.door.address();
        branches_.limit_children(1);
        branches_.open(std::move(post.door), post_.invitation.secret, post_.network.patience_ms);
    }
}

void Server::stop() {
    stopped_.store(true, std::memory_order_release);
    wake_.raise();
}

void Server::run() {
    auto outcome = gather();
    // Our own process hears last: it may end at what it hears, and this thread with it.
    std::ranges::partition(lobby_.guests(), [](const auto& guest) { return guest->peer.process != os::process_id(); });
    if (outcome) outcome = conclude();
    if (!outcome && uplink_ && !refused_from_above_) outcome = verdict_from_above(std::move(outcome.error()));
    if (!outcome) refuse(std::move(outcome.error()));
    lobby_.close();
    close_door();
    for (auto& guest : lobby_.guests()) guest->socket.close();
    lobby_.guests().clear();
    // What is left of the edges is closed here alone: the processes that took them go on with them.
    branches_.children().clear();
    uplink_.reset();
    finished_.store(true, std::memory_order_release);
}

Result<void> Server::gather() {
    while (uplink_ ? !table_ : !roll_.complete()) {
        if (auto in_time = check_time(); !in_time) return in_time;
        if (auto served = serve_once(); !served) return served;
    }
    return {};
}

Result<void> Server::check_time() const {
    if (stopped_.load(std::memory_order_acquire))
        return fail(Status::remote_error, "the process that serves the rendezvous ended before the job had met");
    const bool has_joined = uplink_ && uplink_->has_joined();
    if (!(has_joined ? meeting_deadline_.later_by_ms(verdict_grace_ms) : meeting_deadline_).passed()) return {};
    return std::unexpected(uplink_ ? never_joined() : never_came());
}

Error Server::never_came() const {
    const std::uint64_t waited_ms = (os::now_ns() - first_came_ns_) / 1'000'000;
    const std::vector<Rank> missing = roll_.missing();
    if (missing.empty())
        return {Status::timeout, fmt::format("not all hosts took the table of ranks within {} ms", waited_ms)};
    const std::string_view where = place_.is_one_host() ? ", on this host (for several see TENON_RENDEZVOUS)" : "";
    return {Status::timeout,
            fmt::format("{} of {} never came to the rendezvous, waited for {} ms: see that {} started{}, with the same "
                        "unique id or job name, or raise TENON_INIT_TIMEOUT_MS{}",
                        name_ranks(missing), roll_.agreement().rank_count, waited_ms,
                        missing.size() == 1 ? "it was" : "they were", where, who_was_refused())};
}

// A host of another job's id is a stranger here, and says the same of us there.
std::string Server::who_was_refused() const {
    if (const std::string& other = lobby_.refused_user(); !other.empty())
        return fmt::format("; {} was refused: if it is of this job, run all ranks as one user", other);
    const std::string& stranger = branches_.refused_stranger();
    return stranger.empty() ? "" : fmt::format("; a stranger was refused, {}: if it is of this job, see that all ranks "
                                               "have the same unique id, or the same TENON_JOB", stranger);
}

Error Server::never_joined() const {
    const std::uint64_t waited_ms = (os::now_ns() - first_came_ns_) / 1'000'000;
    return {Status::timeout,
            fmt::format("host {} waited for {} ms: {}", host_, waited_ms,
                        uplink_->has_joined() ? "the job's root did not answer in time" : uplink_->obstacle())};
}

int Server::wait_ms() const {
    if (uplink_) return uplink_->wait_ms();
    const bool is_idle =
        lobby_.empty() && !roll_.begun() && !branches_.has_newcomers() && !refusal_ && !branches_.has_children();
    return is_idle ? idle_wait_ms : os::abort_check_ms;
}

Result<void> Server::serve_once() {
    std::vector<pollfd> watched{{wake_.descriptor().number(), POLLIN, 0}};
    lobby_.watch(watched);
    const std::size_t lobby_end = watched.size();
    branches_.watch(watched);
    if (uplink_) uplink_->watch(watched);
    if (auto ready = os::wait_ready(watched, os::Deadline::never(), wait_ms()); !ready)
        return std::unexpected(ready.error());
    wake_.clear();
    const Lobby::Reception reception{
        .take_hello = [this](Guest& guest, const Hello& hello) { return take_hello(guest, hello); },
        .lost = [this](const Guest& guest) { return lost(guest); }};
    if (auto served = lobby_.serve(std::span{watched}.subspan(1, lobby_end - 1), reception); !served) return served;
    const auto take = [this](Branch& branch, Frame& frame) { return take_from_branch(branch, frame); };
    if (auto served = branches_.serve(take); !served) return served;
    return uplink_ ? serve_uplink() : Result<void>{};
}

void Server::shorten(std::uint64_t patience_ms) {
    if (first_came_ns_ == 0) first_came_ns_ = os::now_ns();
    const os::Deadline patience = os::Deadline::after_ms(patience_ms);
    if (patience.time_ns() < meeting_deadline_.time_ns()) meeting_deadline_ = patience;
}

Result<void> Server::take_hello(Guest& guest, const Hello& hello) {
    if (holds_back_) return {};
    if (refusal_) {
        count_as_told(guest);
        close_when_all_are_told();
        tell(guest);
        return {};
    }
    shorten(hello.patience_ms);
    if (hello.offers_arena && !guest.arena.valid())
        return fail(Status::internal_error, fmt::format("rank {} offered memory but sent none", hello.who.rank));
    if (hello.offers_arena && guest.arena_number < 0) guest.arena_number = arena_count_++;
    const bool has_rank_zero = post_.invitation.is_by_job && hello.who.rank == 0;
    if (has_rank_zero && uplink_ && !uplink_->has_joined())
        if (auto became = become_root(); !became) return became;
    Hello entered = hello;
    entered.who.arena = hello.offers_arena ? guest.arena_number : -1;
    branches_.limit_children(Branches::fan_out);
    if (uplink_) to_introduce_.push_back(entered);
    if (auto agreed = roll_.enter(node_, host_, entered); !agreed) return agreed;
    for (const Note& note : notes_of(node_, entered))
        if (roll_.enter(note) && uplink_) notes_to_pass_up_.push_back(write_note(note));
    return {};
}

Result<void> Server::lost(const Guest& guest) const {
    if (refusal_) return {};
    const std::string where = uplink_ || branches_.has_children() ? " on " + host_ : "";
    return fail(Status::remote_error,
                fmt::format("{}{} left before the job had met: look for its own error", Lobby::name_of(guest), where));
}

Result<void> Server::become_root() {
    uplink_.reset();
    to_introduce_.clear();
    notes_to_pass_up_.clear();
    auto door = place_.file.empty() ? first_free(place_, post_.invitation.meeting) : any_free(post_.network.interface);
    if (!door) return std::unexpected(door.error());
    Secret secret = post_.invitation.secret;
    if (!place_.file.empty()) {
        if (auto filled = os::fill_random(secret.bytes); !filled) return filled;
        in_file_ = RootRecord{door->address().text(), secret};
        if (auto written = write_root_file(place_.file, post_.invitation.meeting, *in_file_); !written) return written;
    }
    log(LogLevel::debug, "serves the rendezvous for all hosts at {}", door->address().text());
    if (place_.has_derived_ports()) secret = secret.bound_to(door->address().port);
    branches_.open(std::move(*door), secret, post_.network.patience_ms);
    return {};
}

}  // namespace tenon::bootstrap
