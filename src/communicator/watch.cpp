// What ends a wait early: an abort, another rank's error, ranks that disagree, a death, a deadline. Each error says
// who, which call, what was waited for and what to do; the first of them ends the job for all ranks.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "communicator/communicator.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t death_look_every_ns = 10'000'000;
constexpr std::uint64_t left_after_ns = 1'000'000'000;
constexpr std::uint64_t stall_ns = 1'000'000'000;
constexpr std::uint64_t record_comes_within_ms = 1000;
// Hosts that lose another notice it up to a second and a look apart, as they probe it once a second each
// (TcpSocket::reach()); the first that does leaves, of which the others must not tell instead. Where the user gives
// hosts more time, all may be slow.
constexpr std::uint64_t failure_comes_within_ms(std::uint64_t patience_ms) {
    return std::max<std::uint64_t>(1500, patience_ms / 3);
}
constexpr std::uint64_t others_stand_back_within_ms = 100;

}  // namespace

Result<void> Communicator::refuse_if_over() {
    auto error = failure();
    if (!error) return {};
    control_.stand_back();
    return std::unexpected(*error);
}

// After a call has returned an error, no other rank may touch its buffers: ranks that are inside a call look at the
// failure flag before each access, and what a network's devices still do is ended here. One that is outside, or
// stopped, says nothing; it looks at the flag when it comes back.
void Communicator::wait_until_others_stand_back() {
    transport_->withdraw();
    control_.stand_back();
    control_.ring();
    const os::Deadline deadline = os::Deadline::after_ms(others_stand_back_within_ms);
    for (Rank r = 0; r < rank_count_; r++)
        while (r != rank_ && job_.on_one_host(rank_, r) && !control_.stands_back(r) && !control_.has_left(r) &&
               !has_died(r) && !deadline.passed())
            control_.sleep(200);
}

// Until the network brings something, or another rank of this host rings.
void Communicator::sleep(std::uint64_t most_us) {
    if (!is_networked_) return control_.sleep(most_us);
    os::wait_readable(transport_->wait_descriptors(), most_us);
}

bool Communicator::has_died(Rank rank) const {
    const auto at = static_cast<std::size_t>(rank);
    return died_before_[at] || (peers_alive_[at].valid() && os::has_ended(peers_alive_[at]));
}

// The job's first error is everyone's; this rank's own may be another's consequence.
Error Communicator::over(Error error, const std::string& call) {
    const std::scoped_lock lock(over_mutex_);
    if (over_.load(std::memory_order_relaxed)) return over_error_;
    if (aborted()) {
        error = {Status::aborted, fmt::format("rank {}: {} was aborted", rank_, call)};
    } else if (!control_.raise(error)) {
        error = control_.failure();
    }
    over_error_ = error;
    over_.store(true, std::memory_order_release);
    stopped_.store(true, std::memory_order_release);
    return error;
}

Error Communicator::give_up(Error error) {
    error.message = fmt::format("rank {}: {}", rank_, error.message);
    error = over(std::move(error));
    wait_until_others_stand_back();
    return error;
}

Result<void> Communicator::look(Work& work, std::uint64_t waited_ns) {
    if (aborted()) return fail(Status::aborted, "");
    if (control_.failed()) return std::unexpected(control_.failure());
    if (auto error = disagreement(work)) return std::unexpected(*error);
    if (waited_ns > stall_ns || work.contradiction())
        if (auto error = earlier_disagreement()) return std::unexpected(*error);
    if (const Rank dead = death(); dead != no_rank) return std::unexpected(death_of(dead, current_call()));
    const auto words = [this, &work] { return WaitInWords{current_call(), work.step_in_words()}; };
    if (auto error = lateness({record_, work.awaited_peer(), waited_ns}, late_wait_, words))
        return std::unexpected(*error);
    return {};
}

std::string Communicator::current_call() const {
    if (record_.number != 0) return fmt::format("{} (call {})", in_words(record_), record_.number);
    return has_sent_or_received_ ? "a send or receive" : "its first call";
}

// Has a rank recorded another call than this one under a number?
std::optional<Error> Communicator::disagreement_about(std::uint64_t number) const {
    const auto own = control_.call_of(rank_, number);
    for (Rank r = 0; own && r < rank_count_; r++) {
        const auto theirs = control_.call_of(r, number);
        if (!theirs || theirs->signature == own->signature) continue;
        const std::string words = in_words(*own), their_words = in_words(*theirs);
        if (words == their_words)
            return Error{Status::mismatch,
                         fmt::format("ranks {} and {} have not made the same call {} ({}): one is on devices and one "
                                     "on the host, or they differ in counts for each rank or in a call before; every "
                                     "rank must make the same calls in the same order, with memory of one kind",
                                     rank_, r, number, words)};
        return Error{
            Status::mismatch,
            fmt::format("call {} differs between ranks: rank {} calls {}, but rank {} calls {}; every rank must make "
                        "the same calls in the same order",
                        number, rank_, words, r, their_words)};
    }
    return std::nullopt;
}

// The same, also about what only a pair of ranks must agree on: there, messages alone tell.
std::optional<Error> Communicator::disagreement(const Work& work) const {
    if (record_.number != 0) {
        if (auto error = disagreement_about(record_.number)) return error;
        if (!is_v(record_.collective)) return std::nullopt;
    }
    if (const auto found = work.contradiction())
        return Error{
            Status::mismatch,
            fmt::format("rank {}: {} expects {} bytes from rank {}, which sends another number of elements or another "
                        "type; what one rank sends must be what the other receives",
                        rank_, current_call(), found->bytes, found->peer)};
    return std::nullopt;
}

// About calls that this rank has returned from: ranks that differed in them may have noticed nothing then.
std::optional<Error> Communicator::earlier_disagreement() const {
    for (std::uint64_t back = 1; back < JobControl::records_kept && back < record_.number; back++)
        if (auto error = disagreement_about(record_.number - back)) return error;
    return std::nullopt;
}

// A message contradicts this call. Its sender may be calls ahead or behind, and may record its call after the message.
Error Communicator::explain_mismatch() {
    const os::Deadline deadline = os::Deadline::after_ms(record_comes_within_ms);
    while (!deadline.passed() && !control_.failed() && !aborted()) {
        if (auto error = disagreement(*under_way_)) return *error;
        if (auto error = earlier_disagreement()) return *error;
        control_.sleep(100);
    }
    return control_.failed() ? control_.failure() : under_way_->error();
}

// The same for whatever made the run fail: a peer whose memory is gone is dying, and may not have ended yet. A host
// that was silent for so long has had its time.
Error Communicator::explain(const Error& error) {
    if (error.status == Status::mismatch) return explain_mismatch();
    if (error.status == Status::timeout && !control_.failed()) return {Status::remote_error, error.message};
    const os::Deadline deadline = os::Deadline::after_ms(failure_comes_within_ms(config_.network_timeout_ms));
    while (error.status == Status::remote_error && !deadline.passed() && !control_.failed() && !aborted()) {
        if (const Rank dead = dead_peer(); dead != no_rank) return death_of(dead, current_call());
        control_.sleep(100);
    }
    return control_.failed() ? control_.failure() : error;
}

// Looks at every peer's process, at most every 10 ms.
Rank Communicator::death() {
    const std::uint64_t now = os::now_ns();
    if (now - last_death_look_ns_.load(std::memory_order_relaxed) < death_look_every_ns) return no_rank;
    last_death_look_ns_.store(now, std::memory_order_relaxed);
    return dead_peer();
}

Rank Communicator::dead_peer() const {
    // Who said goodbye before it ended has not died.
    for (Rank r = 0; r < rank_count_; r++)
        if (has_died(r) && !control_.has_left(r)) return r;
    return no_rank;
}

Error Communicator::death_of(Rank rank, const std::string& call) const {
    return job_.death_of(rank, fmt::format("rank {}, in {},", rank_, call));
}

// A rank that this call waits for and that has destroyed its communicator; no_rank if there is none.
Rank Communicator::awaited_but_gone(const Wait& wait) const {
    for (Rank r = 0; r < rank_count_; r++)
        if (r != rank_ && control_.has_left(r) && (r == wait.peer || is_behind(r, wait.record))) return r;
    return no_rank;
}

// Who keeps this call from going on, as far as can be seen: who is stopped, or else who has not made this call, or else
// the peer of the step that waits.
std::string Communicator::latecomers(const Wait& wait) const {
    constexpr std::size_t most_named = 4;
    std::vector<std::string> stopped, behind;
    for (Rank r = 0; r < rank_count_; r++) {
        if (r == rank_) continue;
        const pid_t process = job_.processes[static_cast<std::size_t>(r)];
        if (job_.on_one_host(rank_, r) && process != os::process_id() && os::is_stopped(process))
            stopped.push_back(fmt::format("rank {} (process {}), which is stopped", r, process));
        if (is_behind(r, wait.record))
            behind.push_back(fmt::format("rank {}, which has not made this call", r));
    }
    std::vector<std::string>& late = stopped.empty() ? behind : stopped;
    if (late.size() > most_named) {
        const std::size_t more = late.size() - most_named;
        late.resize(most_named);
        late.push_back(fmt::format("{} more", more));
    }
    if (!late.empty()) return fmt::format("{}", fmt::join(late, ", and "));
    return wait.peer >= 0 ? fmt::format("rank {}, which lives but does not come", wait.peer)
                          : "the other ranks, which live but do not come";
}

std::optional<Error> Communicator::lateness(const Wait& wait, LateWait& so_far,
                                            const std::function<WaitInWords()>& words) const {
    const Rank gone = wait.waited_ns > left_after_ns ? awaited_but_gone(wait) : no_rank;
    if (std::exchange(so_far.gone, gone) == gone && gone != no_rank)
        return Error{
            Status::remote_error,
            fmt::format("rank {} has destroyed its communicator, but rank {} still waits for it in {}; every rank must "
                        "make the same calls",
                        gone, rank_, words().call)};
    const std::uint64_t waited_ms = wait.waited_ns / 1'000'000;
    if (wait.waited_ns > config_.timeout_ms * 1'000'000) {
        const auto [call, step] = words();
        return Error{
            Status::timeout,
            fmt::format("rank {}: {}, in {}, waited {} ms for {}. Look at what it does, or allow more time with "
                        "TENON_TIMEOUT_MS",
                        rank_, call, step, waited_ms, latecomers(wait))};
    }
    if (!so_far.warned && wait.waited_ns > config_.late_warning_ms * 1'000'000) {
        so_far.warned = true;
        const auto [call, step] = words();
        log(LogLevel::warning, "rank {}: {}, in {}, has waited {} ms for {}; it becomes an error after {} ms", rank_,
            call, step, waited_ms, latecomers(wait), config_.timeout_ms);
    }
    return std::nullopt;
}

}  // namespace tenon
