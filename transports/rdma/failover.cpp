// What becomes of a connection that loses one of its paths.
//
// Whoever notices stops its side of the path, takes what has arrived there, closes it, and tells the peer, over
// another path, how many sends it has received on the lost one. The peer does the same, if it has not yet. Only who has
// told and been told goes on: then nothing can arrive on the lost path any more, neither a send nor a write into memory
// that is somebody else's by then; and it sends again exactly what the peer has not received, and writes again what was
// not acknowledged.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "os/clock.hpp"
#include "transports/rdma/rdma_connection.hpp"

namespace tenon::rdma {

void RdmaConnection::lose(Path& path, std::string_view why) {
    if (!path.is_open()) return;
    const std::string device = path.device().name_and_state();
    path.stop(fmt::format("by {}: {}", device, why));
    is_losing_ = true;
    losing_ns_ = 0;
    has_told_of_wait_ = false;
    // What was told over this path may not have come.
    for (Loss& loss : losses_) loss.is_told = loss.is_settled;
    const Path* const next = first_open();
    if (next == nullptr)
        return fail_with({Status::remote_error,
                          fmt::format("rank {} has lost its RDMA connection to rank {} on {}, {}; look whether that "
                                      "process and its host live, and at the network between them",
                                      ends_.own, ends_.peer, ends_.peer_host, why_lost())});
    main_ = next->number();
    const bool is_one_of_several = &path.device() == &main().device();
    log(LogLevel::warning, "rank {}: {} RDMA device {} joins it to rank {} on {} no longer ({}); {} carries on",
        ends_.own, is_one_of_several ? "a queue pair of the" : "the", device, ends_.peer, ends_.peer_host, why,
        is_one_of_several ? "another" : main().device().name());
}

Path* RdmaConnection::first_open() {
    const auto first = std::ranges::find_if(paths_, &Path::is_open);
    return first != paths_.end() ? &*first : nullptr;
}

std::string RdmaConnection::why_lost() const {
    std::vector<std::string> reasons;
    for (const Path& path : paths_)
        if (!path.is_open()) reasons.push_back(path.why_lost());
    return fmt::format("{}", fmt::join(reasons, ", and "));
}

// Nothing has been sent there, and nothing could come: what the peer would answer is known. But a peer that has joined
// its end may send there, and must be told.
void RdmaConnection::never_opens(Path& path, std::string why, bool peer_may_use_it) {
    path.give_up(std::move(why));
    losses_[path.number()] = {.is_drained = true, .is_told = !peer_may_use_it, .is_answered = true,
                              .is_settled = !peer_may_use_it};
    if (peer_may_use_it) is_losing_ = true;
}

Result<void> RdmaConnection::begin_with_what_opens() {
    const Path* const first = first_open();
    if (first == nullptr) return cannot_reach(why_lost());
    main_ = first->number();
    for (const Path& path : paths_)
        if (!path.is_open())
            log(LogLevel::warning,
                "rank {}: the RDMA device {} cannot join it to rank {} on {} ({}); {} is used instead", ends_.own,
                path.device().name_and_state(), ends_.peer, ends_.peer_host, path.why_lost(), first->device().name());
    return {};
}

// Completions that were there when it stopped have been told when they are drained for the second time.
void RdmaConnection::close_stopped() {
    for (Path& path : paths_)
        if (path.state() == Path::State::stopped && std::exchange(losses_[path.number()].is_drained, true))
            path.close();
}

Result<void> RdmaConnection::tell_lost() {
    for (const Path& path : paths_) {
        Loss& loss = losses_[path.number()];
        if (path.state() != Path::State::closed || loss.is_told || error_ || !main().may_send(0)) continue;
        const auto told =
            send_note({.note = Note::path_lost, .place = path.receives(), .path = path.number()});
        if (!told) return std::unexpected(told.error());
        loss.is_told = *told;
    }
    if (auto ok = settle(); !ok) return ok;
    if (is_losing_) wait_for_answer();
    return {};
}

// A peer that makes no call of this communicator does not answer: it computes, perhaps, and is waited for like any rank
// that is late. What counts is the time in which this rank looks.
void RdmaConnection::wait_for_answer() {
    constexpr std::uint64_t longest_turn_ns = 10'000'000;
    const std::uint64_t now = os::now_ns();
    losing_ns_ += std::min(now - last_turn_ns_, longest_turn_ns);
    last_turn_ns_ = now;
    if (losing_ns_ <= ends_.patience_ms * 1'000'000 || std::exchange(has_told_of_wait_, true)) return;
    log(LogLevel::warning,
        "rank {} goes on by another RDMA device to rank {} on {} as soon as that has said what it has received by the "
        "lost one, for which it must make a call on this communicator; {} ms have passed ({})",
        ends_.own, ends_.peer, ends_.peer_host, ends_.patience_ms, why_lost());
}

// Perhaps for the second time, where the first may not have come.
Result<void> RdmaConnection::take_path_lost(const WireHead& head) {
    if (head.path < paths_.size() && losses_[head.path].is_answered) return {};
    if (head.path >= paths_.size() || head.place > paths_[head.path].sends() ||
        head.place < paths_[head.path].acknowledged())
        return std::unexpected(broken("it sent what breaks the protocol: the loss of no path, or more than was sent"));
    Path& path = paths_[head.path];
    Loss& loss = losses_[head.path];
    loss.is_answered = true;
    loss.peer_received = head.place;
    lose(path, "the peer has lost it");
    return {};
}

Result<void> RdmaConnection::settle() {
    bool all = true;
    for (Path& path : paths_) {
        Loss& loss = losses_[path.number()];
        if (!path.is_open() && !loss.is_settled && loss.is_told && loss.is_answered)
            if (auto ok = settle(path); !ok) return ok;
        all &= path.is_open() || loss.is_settled;
    }
    is_losing_ = !all;
    return {};
}

// What has not come goes before whatever else waits, since it is older.
Result<void> RdmaConnection::settle(Path& path) {
    Loss& loss = losses_[path.number()];
    loss.is_settled = true;
    std::deque<Pending> again;
    while (path.under_way() != 0) {
        const bool has_come = path.acknowledged() < loss.peer_received;
        const Send sent = path.take_acknowledged();
        Write write = sent.write != nullptr ? std::move(*sent.write) : Write{};
        if (write.memory != nullptr) carried_--;
        const WireHead head = head_of(sent.slot);
        if (has_come || head.note == Note::path_lost || head.note == Note::grant) {
            path.device().free_send_slot(sent.slot);
            continue;
        }
        again.push_back({sent.slot, sent.length, &path.device(), std::move(write), sent.write == nullptr,
                         path.number()});
    }
    for (auto from = again.rbegin(); from != again.rend(); ++from) pending_.push_front(std::move(*from));
    for (Pending& pending : pending_)
        if (pending.writer == path.number() && !pending.is_written)
            if (auto ok = begin_write(pending); !ok) return ok;
    return {};
}

}  // namespace tenon::rdma
