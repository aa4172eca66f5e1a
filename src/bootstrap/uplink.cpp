#include "bootstrap/uplink.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "bootstrap/interfaces.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::uint64_t first_try_ms = 500;
constexpr int doublings = 4;
constexpr std::uint64_t rest_ms = 20;
// Where somebody has been, a system answers at once or not at all. So soon a host comes back to a root that has just
// refused the job, and still says so.
constexpr std::uint64_t known_try_ms = 200;
// A root that listened before its id was known, and refuses so often, is there no more.
constexpr int unreachable_limit = 3;

std::uint64_t doubled(std::uint64_t milliseconds, int times) { return milliseconds << std::min(times, doublings); }

}  // namespace

Uplink::Uplink(const Invitation& invitation, Place place, const NetworkSettings& network, std::string own_host)
    : place_{std::move(place)},
      place_text_{invitation.place},
      interface_{network.interface},
      own_host_{std::move(own_host)},
      meeting_{invitation.meeting},
      patience_ms_{network.patience_ms},
      may_come_later_{invitation.is_by_job},
      secret_{invitation.secret},
      watch_{network.patience_ms} {}

void Uplink::watch(std::vector<pollfd>& watched) const {
    if (stage_ == Stage::resting) return;
    const short events = stage_ == Stage::connecting ? POLLOUT
                         : stage_ == Stage::shaking  ? handshake_->awaits()
                                                     : POLLIN;
    watched.push_back({socket_.descriptor().number(), events, 0});
    if (packet_check_) packet_check_->watch(watched);
}

int Uplink::wait_ms() const { return has_joined() ? os::abort_check_ms : until_.slice_ms(); }

std::string Uplink::obstacle() const {
    if (refused_by_)
        return fmt::format(
            "it cannot join the job's root: who listens at {} does not accept this job's secret: see that all ranks "
            "have the same unique id, or the same TENON_JOB; the last that was heard: {}",
            way_of(*refused_by_), in_words(last_problem_));
    return fmt::format(
        "it cannot reach the job's root at {}: {}; see that rank 0 has started, that no firewall is "
        "between, and that TENON_RENDEZVOUS and TENON_SOCKET_INTERFACE are right",
        place_.is_told_by_pmix ? "the address that rank 0 tells through PMIx" : place_text_, in_words(last_problem_));
}

// Where it tried to get and how: "10.77.0.1:29400, over eth0".
std::string Uplink::way_of(const Problem& problem) const {
    const auto& [why, at, from] = problem;
    const std::string interface = from.valid() ? network_of(from).interface : "";
    const bool is_misled = is_loopback(at.address) && !place_.is_loopback() && place_.file.empty();
    return fmt::format("{}{}{}{}{}{}", at.address.text(), at.whose.empty() ? "" : ", of ", at.whose,
                       interface.empty() ? "" : ", over ", interface,
                       is_misled ? ", which is this host itself: see /etc/hosts" : "");
}

// And what went wrong: "Connection refused (10.77.0.1:29400, over eth0)".
std::string Uplink::in_words(const Problem& problem) const {
    return problem.at.address.valid() ? fmt::format("{} ({})", problem.why, way_of(problem)) : problem.why;
}

Result<std::optional<Frame>> Uplink::advance(std::uint64_t left_ms) {
    while (!has_joined()) {
        const auto moved = step();
        if (!moved) return std::unexpected(moved.error());
        if (!*moved) return std::nullopt;
    }
    auto frame = reader_.read(socket_);
    while (frame && *frame && (*frame)->kind == FrameKind::knock) frame = reader_.read(socket_);
    if (frame && !*frame)
        if (auto there = watch_.look(socket_, may_knock_); !there) {
            is_lost_ = true;
            return fail(Status::remote_error, fmt::format("host {} has lost {} before the job had met: {}", own_host_,
                                                          parent_text(), there.error().message));
        }
    if (frame && !*frame && packet_check_)
        if (auto checked = advance_packet_check(left_ms); !checked) return std::unexpected(checked.error());
    if (!frame && frame.error().status == Status::remote_error)
        return fail(Status::remote_error,
                    fmt::format("{} left before the job had met: look for its own error", parent_text()));
    return frame;
}

Result<bool> Uplink::step() {
    if (stage_ == Stage::resting) {
        if (!until_.passed()) return false;
        if (auto still_there = check_heard(); !still_there) return std::unexpected(still_there.error());
        if (auto begun = next_target(); !begun) return std::unexpected(begun.error());
        return stage_ != Stage::resting;
    }
    if (stage_ == Stage::connecting) {
        pollfd watched{socket_.descriptor().number(), POLLOUT, 0};
        const auto ready = os::wait_ready(std::span{&watched, 1}, os::Deadline::never(), 0);
        if (!ready) return std::unexpected(ready.error());
        if (*ready) {
            auto begun = begin_handshake();
            if (!begun) return std::unexpected(begun.error());
            return true;
        }
    } else if (stage_ == Stage::shaking) {
        const auto done = handshake_->advance(socket_);
        if (!done && done.error().status == Status::mismatch)
            return fail(Status::mismatch, fmt::format("{}: {}", to_.address.text(), done.error().message));
        if (!done && handshake_->awaits_acceptance()) return not_accepted();
        if (!done) return try_next(done.error().message);
        if (*done) {
            stage_ = Stage::awaiting_welcome;
            return true;
        }
    } else {
        auto frame = reader_.read(socket_);
        if (!frame) return try_next(frame.error().message);
        if (*frame) {
            auto taken = take_welcome(std::move(**frame));
            if (!taken) return std::unexpected(taken.error());
            return true;
        }
    }
    if (stage_ != Stage::connecting)
        if (auto there = watch_.look(socket_, false); !there) return try_next(there.error().message);
    if (!until_.passed()) return false;
    return try_next(stage_ == Stage::connecting
                        ? "no answer in time: packets on the way there or back vanish, since a firewall drops them or "
                          "no route leads there"
                        : "it is connected to, but does not answer in time");
}

// Takes the next address, or, when all have been tried, looks for them anew after a little rest.
Result<void> Uplink::next_target() {
    if (targets_.empty()) refill();
    if (targets_.empty()) return {};
    to_ = std::move(targets_.front());
    targets_.pop_front();
    reader_ = FrameReader{};
    auto socket = os::TcpSocket::start_connecting(to_.address, {}, edge_segment_bytes);
    if (!socket) return count_unreachable(socket.error().message);
    socket_ = std::move(*socket);
    stage_ = Stage::connecting;
    until_ = os::Deadline::after_ms(root_ ? known_try_ms : doubled(first_try_ms, rounds_));
    return {};
}

void Uplink::refill() {
    to_ = {};
    if (root_) {
        targets_.push_back(*root_);
        return;
    }
    const auto place = current_place();
    if (!place) {
        try_next(place.error().message);
        return;
    }
    const auto addresses = os::resolve(place->host, 0);
    if (!addresses) {
        try_next(addresses.error().message);
        return;
    }
    for (const std::uint16_t port : ports_of(*place, meeting_))
        for (const os::InternetAddress& address : *addresses)
            targets_.push_back({address.with_port(port), place->has_derived_ports(), {}});
}

// A host, perhaps with a port.
Result<Place> Uplink::current_place() {
    if (place_.is_told_by_pmix) return place_from_rank_zero();
    if (place_.file.empty()) return place_;
    const auto record = read_root_file(place_.file, meeting_);
    if (!record) return std::unexpected(record.error());
    secret_ = record->secret;
    return read_place(record->address);
}

Result<Place> Uplink::place_from_rank_zero() {
    if (!question_) {
        auto question = AddressQuestion::ask();
        if (!question) return std::unexpected(question.error());
        question_.emplace(std::move(*question));
    }
    const auto answer = question_->answer();
    if (!answer)
        return fail(Status::remote_error,
                    "rank 0 of the launcher's job has not told its address yet, or the "
                    "PMIx server of this host does not answer");
    auto place = *answer ? read_place(**answer) : std::unexpected(answer->error());
    if (place && !place->host.empty()) return place;
    question_.reset();
    if (!place) return place;
    return fail(Status::remote_error,
                fmt::format("rank 0 of the launcher's job told \"{}\" where its host's address should be: see that all "
                            "ranks run the same version of Tenon, or set MASTER_ADDR to rank 0's host",
                            **answer));
}

// The next address at once, if there is one; otherwise a rest, and all over again.
bool Uplink::try_next(const std::string& why) {
    last_problem_ = {why, to_, {}};
    if (socket_.descriptor().valid()) last_problem_.from = socket_.local_address().value_or(os::InternetAddress{});
    go_on();
    return true;
}

// Perhaps it has only ended just then, so it is tried again; what is heard later, at other ports say, does not hide it.
bool Uplink::not_accepted() {
    try_next("it does not accept this job's secret");
    refused_by_ = last_problem_;
    return true;
}

void Uplink::go_on() {
    socket_.close();
    stage_ = Stage::resting;
    if (targets_.empty()) rounds_++;
    until_ = os::Deadline::after_ms(!targets_.empty() ? 0 : root_ ? rest_ms : doubled(rest_ms, rounds_));
}

void Uplink::heard() {
    lost_at_ = os::Deadline::after_ms(os::TcpSocket::longest_silence_ms(patience_ms_));
    heard_in_round_ = rounds_;
}

// The clock is not enough: this process may have been stopped meanwhile.
Result<void> Uplink::check_heard() const {
    if (!root_ || !lost_at_.passed() || rounds_ < heard_in_round_ + 2) return {};
    return fail(Status::remote_error,
                fmt::format("the job's root at {} had answered host {}, but can be joined no more: the job has failed "
                            "to meet, or hosts are down or cut off; look for the errors of other ranks; the last that "
                            "was heard: {}",
                            root_->address.text(), own_host_, in_words(last_problem_)));
}

std::string Uplink::parent_text() const {
    return fmt::format("host {} (at {}), next on the way to the job's root,", parent_.host, to_.address.text());
}

Result<void> Uplink::count_unreachable(const std::string& why) {
    if (!may_come_later_ && ++unreachable_ >= unreachable_limit)
        return fail(Status::remote_error,
                    fmt::format("nobody serves this unique id any more at {}: {}; its ranks have met or failed to, or "
                                "the process that made it ended; make a new one, or, where it goes on, see that no "
                                "firewall is between",
                                to_.address.text(), why));
    try_next(why);
    return {};
}

Result<void> Uplink::begin_handshake() {
    if (auto connected = socket_.finish_connecting(); !connected) return count_unreachable(connected.error().message);
    unreachable_ = 0;
    if (root_) {
        heard();
        until_ = os::Deadline::after_ms(doubled(first_try_ms, rounds_));
    }
    if (auto set = socket_.set_patience(patience_ms_); !set) return set;
    if (!has_door() && !listens_.valid())
        if (auto opened = open_door(); !opened) return opened;
    handshake_ = os::Handshake::connecting(door_secret(), wire_version, write_claim({listens_}));
    stage_ = Stage::shaking;
    return {};
}

Secret Uplink::door_secret() const {
    return to_.has_derived_port ? secret_.bound_to(to_.address.port) : secret_;
}

Result<void> Uplink::advance_packet_check(std::uint64_t left_ms) {
    const auto done = packet_check_->advance(socket_, left_ms);
    if (!done || *done) packet_check_.reset();
    return done ? Result<void>{} : std::unexpected(done.error());
}

// At the address that leads to the root, unless another one is wanted.
Result<void> Uplink::open_door() {
    auto own = socket_.local_address();
    if (!own) return std::unexpected(own.error());
    if (!interface_.empty()) {
        const auto wanted = own_interface(interface_);
        if (!wanted) return std::unexpected(wanted.error());
        own = (*wanted)->address;
    }
    auto door = os::TcpListener::listen(own->with_port(0));
    if (!door) return std::unexpected(door.error());
    if (!*door) return fail(Status::system_error, fmt::format("no port of {} is free", own->host_text()));
    door_ = std::move(**door);
    listens_ = door_.address();
    return {};
}

Result<void> Uplink::take_welcome(Frame frame) {
    if (frame.kind == FrameKind::refusal) return std::unexpected(read_refusal(frame.payload));
    if (frame.kind == FrameKind::elsewhere) {
        const auto where = read_elsewhere(frame.payload);
        if (!where) return std::unexpected(where.error());
        if (!root_) root_ = to_;
        heard();
        targets_.assign(1, {where->address, false,
                             where->host.empty() ? "a host to which the root has sent it"
                                                 : where->host + ", to which the root has sent it"});
        go_on();
        return {};
    }
    if (frame.kind != FrameKind::welcome) return fail(Status::internal_error, "the rendezvous did not bid us welcome");
    const auto parent = read_welcome(frame.payload);
    if (!parent) return std::unexpected(parent.error());
    parent_ = *parent;
    stage_ = Stage::joined;
    if (PacketCheck::is_needed(socket_))
        packet_check_.emplace(to_.address, door_secret(), write_claim({listens_, Errand::packet_check}), own_host_);
    return {};
}

}  // namespace tenon::bootstrap
