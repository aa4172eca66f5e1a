#include "communicator/relay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "os/background.hpp"
#include "os/clock.hpp"

namespace tenon {
namespace {

constexpr int tick_ms = 20;
constexpr std::uint64_t look_at_calls_every_ns = 100'000'000;
constexpr std::uint64_t goodbye_ms = 100;
constexpr std::uint64_t stays_for_others_ms = 10'000;

os::Background<Relay>& relays() {
    static os::Background<Relay> all;
    return all;
}

// A knock says nothing; the other host's system acknowledges it.
enum class FrameKind : std::uint32_t { failure = 1, left = 2, calls = 3, goodbye = 4, knock = 5 };
constexpr std::size_t most_payload_bytes = 2048;

struct FrameHead {
    FrameKind kind{};
    std::uint32_t payload_bytes = 0;
    Rank rank = no_rank;         // whose (left, calls)
    std::uint32_t status = 0;    // of a failure
};

}  // namespace

struct Relay::Frame {
    FrameHead head;
    std::span<const std::byte> payload;
};

// ---- life ---------------------------------------------------------------------------------------------------------

Result<std::shared_ptr<Relay>> Relay::start(const Job& job, Rank rank, std::vector<HostLink> links) {
    auto wake = os::WakeSignal::create();
    if (!wake) return std::unexpected(wake.error());
    std::shared_ptr<Relay> relay{new Relay(job, rank, std::move(links), std::move(*wake))};
    if (auto started = relays().start(relay); !started) return std::unexpected(started.error());
    return relay;
}

Relay::Relay(const Job& job, Rank rank, std::vector<HostLink> links, os::WakeSignal wake)
    : job_(job),
      rank_(rank),
      control_(job.segment->data(), rank, job.rank_count()),
      wake_(std::move(wake)),
      processes_(static_cast<std::size_t>(job.rank_count())),
      died_(static_cast<std::size_t>(job.rank_count())),
      told_left_(static_cast<std::size_t>(job.rank_count())),
      last_call_(static_cast<std::size_t>(job.rank_count())),
      told_call_(static_cast<std::size_t>(job.rank_count())) {
    for (HostLink& link : links) edges_.push_back({.link = std::move(link), .leaving = {}, .arriving = {}});
    // Where one cannot be set, its end is noticed all the same.
    for (const Edge& e : edges_) static_cast<void>(e.link.socket.set_probes(job_.network.patience_ms));
    watch_processes();
}

Relay::~Relay() = default;

void Relay::stop() {
    stopped_.store(true, std::memory_order_release);
    wake_.raise();
}

void Relay::run() {
    os::Deadline until = os::Deadline::never();
    while (!until.passed()) {
        wait();
        const std::scoped_lock lock(mutex_);
        tick();
        if (is_over()) break;
        // The process ends: only ranks of this host in other processes are a reason to stay, a little.
        if (stopped_.load(std::memory_order_acquire) && until.time_ns() == os::Deadline::never().time_ns())
            until = os::Deadline::after_ms(speaks_for_others() ? stays_for_others_ms : 0);
    }
    const std::scoped_lock lock(mutex_);
    say_goodbye();
    edges_.clear();
    processes_.clear();
    job_ = {};
    finished_.store(true, std::memory_order_release);
}

void Relay::tell_now() {
    const std::scoped_lock lock(mutex_);
    if (!finished()) tick();
}

void Relay::wait() {
    auto watched = what_to_watch();
    static_cast<void>(os::wait_ready(watched, os::Deadline::never(), tick_ms));
    wake_.clear();
}

std::vector<pollfd> Relay::what_to_watch() {
    const std::scoped_lock lock(mutex_);
    std::vector<pollfd> watched{{wake_.descriptor().number(), POLLIN, 0}};
    for (const Edge& e : edges_) {
        const int events = e.leaving.empty() ? POLLIN : POLLIN | POLLOUT;
        if (e.open()) watched.push_back({e.link.socket.descriptor().number(), static_cast<short>(events), 0});
    }
    for (const auto& process : processes_)
        if (process.valid()) watched.push_back({process.number(), POLLIN, 0});
    return watched;
}

void Relay::tick() {
    for (Edge& e : edges_)
        if (e.open()) receive(e);
    look_for_silent_hosts();
    look_for_deaths();
    tell_who_left();
    tell_calls_of_those_who_stand_still();
    for (Edge& e : edges_)
        if (e.open()) send_what_waits(e);
}

bool Relay::is_over() const {
    const bool failed = control_.failed();
    for (Rank r = 0; r < job_.rank_count(); r++)
        if (!control_.has_left(r) && !died_[static_cast<std::size_t>(r)] && (!failed || is_own(r))) return false;
    return true;
}

// Has this process's part ended, while other processes of the host still need what the Relay does?
bool Relay::speaks_for_others() const {
    bool for_others = false;
    for (Rank r = 0; r < job_.rank_count(); r++) {
        if (!is_own(r) || control_.has_left(r) || died_[static_cast<std::size_t>(r)]) continue;
        if (job_.process_of(r) == os::process_id()) return false;
        for_others = true;
    }
    return for_others;
}

void Relay::say_goodbye() {
    tell_who_left();
    // Without it, the others would take the end of this process for a death; and that is right where a rank of it has
    // not left.
    for (Rank r = 0; r < job_.rank_count(); r++)
        if (job_.process_of(r) == os::process_id() && is_own(r) && !control_.has_left(r)) return;
    tell({.head = {.kind = FrameKind::goodbye}, .payload = {}});
    const os::Deadline until = os::Deadline::after_ms(goodbye_ms);
    for (Edge& e : edges_)
        while (e.open() && !e.leaving.empty() && !until.passed()) send_what_waits(e);
    for (Edge& e : edges_) e.link.socket.close();
}

// ---- what this host tells -----------------------------------------------------------------------------------------

void Relay::watch_processes() {
    for (Rank r = 0; r < job_.rank_count(); r++) {
        if (!is_own(r) || job_.process_of(r) == os::process_id()) continue;
        if (auto alive = os::watch_process(job_.process_of(r)))
            processes_[static_cast<std::size_t>(r)] = std::move(*alive);
    }
}

void Relay::look_for_deaths() {
    for (Rank r = 0; r < job_.rank_count(); r++) {
        auto& process = processes_[static_cast<std::size_t>(r)];
        if (!process.valid() || !os::has_ended(process)) continue;
        process.close();
        died_[static_cast<std::size_t>(r)] = true;
        if (!control_.has_left(r))
            control_.raise(job_.death_of(r, fmt::format("rank {}", rank_)));
    }
}

void Relay::look_for_silent_hosts() {
    if (!next_look_at_hosts_.passed()) return;
    next_look_at_hosts_ = os::Deadline::after_ms(os::TcpSocket::reach_look_every_ms);
    for (Edge& e : edges_) {
        if (!e.open()) continue;
        const auto reach = e.link.socket.reach(job_.network.patience_ms);
        if (!reach && reach.error().status == Status::timeout)
            lost(e, reach.error());
        else if (reach == os::TcpSocket::Reach::doubtful)
            say(e, {.head = {.kind = FrameKind::knock}, .payload = {}});
    }
}

// Who leaves because the job has failed would seem to have left the others in the middle of a call, if they heard of
// that first.
void Relay::tell_who_left() {
    std::vector<Rank> gone;
    for (Rank r = 0; r < job_.rank_count(); r++)
        if (is_own(r) && !told_left_[static_cast<std::size_t>(r)] && control_.has_left(r)) gone.push_back(r);
    tell_failure();
    for (const Rank r : gone) {
        told_left_[static_cast<std::size_t>(r)] = true;
        // Its last calls first: others must not take it for one who has not made them.
        tell_calls_of(r, control_.calls_of(r));
        tell({.head = {.kind = FrameKind::left, .rank = r}, .payload = {}});
    }
}

void Relay::tell_failure() {
    if (told_failure_ || !control_.failed()) return;
    told_failure_ = true;
    const Error error = control_.failure();
    const std::string_view words = std::string_view{error.message}.substr(0, most_payload_bytes);
    tell({.head = {.kind = FrameKind::failure, .status = static_cast<std::uint32_t>(error.status)},
          .payload = std::as_bytes(std::span{words})});
}

// Whoever goes on from call to call needs no telling of.
void Relay::tell_calls_of_those_who_stand_still() {
    const std::uint64_t now = os::now_ns();
    if (now - last_look_at_calls_ns_ < look_at_calls_every_ns) return;
    last_look_at_calls_ns_ = now;
    for (Rank r = 0; r < job_.rank_count(); r++) {
        if (!is_own(r)) continue;
        const auto at = static_cast<std::size_t>(r);
        const JobControl::Calls calls = control_.calls_of(r);
        const std::uint64_t last = std::ranges::max(calls, {}, &JobControl::Entry::number).number;
        if (last == std::exchange(last_call_[at], last) && last != told_call_[at]) {
            told_call_[at] = last;
            tell_calls_of(r, calls);
        }
    }
}

void Relay::tell_calls_of(Rank rank, const JobControl::Calls& calls) {
    tell({.head = {.kind = FrameKind::calls, .rank = rank}, .payload = std::as_bytes(std::span{calls})});
}

// ---- edges --------------------------------------------------------------------------------------------------------

void Relay::tell(const Frame& frame, const Edge* except) {
    for (Edge& e : edges_)
        if (&e != except && e.open()) say(e, frame);
}

void Relay::say(Edge& edge, const Frame& frame) {
    FrameHead head = frame.head;
    head.payload_bytes = static_cast<std::uint32_t>(frame.payload.size());
    const auto head_bytes = std::as_bytes(std::span{&head, 1});
    edge.leaving.insert(edge.leaving.end(), head_bytes.begin(), head_bytes.end());
    edge.leaving.insert(edge.leaving.end(), frame.payload.begin(), frame.payload.end());
}

void Relay::send_what_waits(Edge& edge) {
    while (!edge.leaving.empty()) {
        const iovec part{edge.leaving.data(), edge.leaving.size()};
        const auto sent = edge.link.socket.send_some(std::span{&part, 1});
        if (!sent) return lost(edge, sent.error());
        if (*sent == 0) return;
        edge.leaving.erase(edge.leaving.begin(), edge.leaving.begin() + static_cast<std::ptrdiff_t>(*sent));
    }
}

void Relay::receive(Edge& edge) {
    std::array<std::byte, 4096> bytes;
    for (;;) {
        const auto received = edge.link.socket.receive_some(bytes);
        if (!received) return lost(edge, received.error());
        if (*received == 0) return;
        const auto came = std::span{bytes}.first(*received);
        edge.arriving.insert(edge.arriving.end(), came.begin(), came.end());
        take_frames(edge);
        if (!edge.open()) return;
    }
}

void Relay::take_frames(Edge& edge) {
    std::size_t taken = 0;
    while (edge.open() && edge.arriving.size() - taken >= sizeof(FrameHead)) {
        Frame frame{};
        std::memcpy(&frame.head, edge.arriving.data() + taken, sizeof(FrameHead));
        if (frame.head.payload_bytes > most_payload_bytes)
            return lost(edge, {Status::remote_error, "it sent what breaks the protocol"});
        const std::size_t whole = sizeof(FrameHead) + frame.head.payload_bytes;
        if (edge.arriving.size() - taken < whole) break;
        frame.payload = std::span{edge.arriving}.subspan(taken + sizeof(FrameHead), frame.head.payload_bytes);
        take(edge, frame);
        taken += whole;
    }
    edge.arriving.erase(edge.arriving.begin(), edge.arriving.begin() + static_cast<std::ptrdiff_t>(taken));
}

void Relay::take(Edge& edge, const Frame& frame) {
    const FrameHead& head = frame.head;
    const bool of_other_host = head.rank >= 0 && head.rank < job_.rank_count() && !is_own(head.rank);
    if (head.kind == FrameKind::knock) return;
    if (head.kind == FrameKind::goodbye) {
        edge.said_goodbye = true;
        return;
    }
    if (head.kind == FrameKind::failure && head.status > 0 && head.status <= static_cast<unsigned>(Status::aborted)) {
        told_failure_ = true;
        control_.raise({static_cast<Status>(head.status),
                        std::string(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size())});
    } else if (head.kind == FrameKind::left && of_other_host) {
        control_.put_left(head.rank);
    } else if (head.kind == FrameKind::calls && of_other_host && frame.payload.size() == sizeof(JobControl::Calls)) {
        JobControl::Calls calls;
        std::memcpy(&calls, frame.payload.data(), sizeof calls);
        if (!std::ranges::all_of(calls, JobControl::is_sound))
            return lost(edge, {Status::remote_error, "it sent what breaks the protocol"});
        control_.put_calls(head.rank, calls);
    } else {
        return lost(edge, {Status::remote_error, "it sent what breaks the protocol"});
    }
    tell(frame, &edge);
}

// The host at the other end is gone, or out of reach: an error unless it said goodbye, or its ranks had left.
void Relay::lost(Edge& edge, const Error& why) {
    edge.link.socket.close();
    edge.leaving.clear();
    bool has_ranks_left = false;
    for (Rank r = 0; r < job_.rank_count(); r++)
        has_ranks_left |= job_.host_number_of(r) == edge.link.host && !control_.has_left(r);
    if (edge.said_goodbye || !has_ranks_left || control_.failed()) return;
    control_.raise({Status::remote_error,
                    fmt::format("{} has lost {}: {}. Look at that host and at the network between, and restart the job",
                                words_for(job_.host_number_of(rank_)), words_for(edge.link.host), why.message)});
}

// "rank 4 on host2 (process 31)": the rank that speaks for the host.
std::string Relay::words_for(std::int32_t host) const {
    for (Rank r = 0; r < job_.rank_count(); r++)
        if (job_.host_number_of(r) == host)
            return job_.name_of(r);
    return fmt::format("host {}", host);
}

}  // namespace tenon
