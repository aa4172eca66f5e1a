#include "communicator/job_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "os/clock.hpp"
#include "os/cpu.hpp"
#include "os/futex.hpp"

namespace tenon {

std::uint64_t JobControl::bytes(Rank rank_count) {
    return sizeof(Shared) + sizeof(PerRank) * static_cast<std::uint64_t>(rank_count);
}

JobControl::JobControl(std::byte* area, Rank rank, Rank)
    : shared_(reinterpret_cast<Shared*>(area)),
      ranks_(reinterpret_cast<PerRank*>(area + sizeof(Shared))),
      own_(ranks_ + rank) {}

std::optional<CallRecord> JobControl::call_of(Rank rank, std::uint64_t number) const {
    const auto entry = read(ranks_[rank].calls[number & (records_kept - 1)]);
    if (!entry || entry->number != number) return std::nullopt;
    const auto [_, count, what] = *entry;
    return CallRecord{.number = number,
                      .count = count,
                      .signature = static_cast<std::uint32_t>(what >> 32),
                      .collective = static_cast<Collective>(what >> 28 & 15),
                      .type = static_cast<DataType>(what >> 24 & 15),
                      .op = static_cast<ReduceOp>(what >> 20 & 15),
                      .root = static_cast<Rank>(what & 0xfffff)};
}

void JobControl::join() { store_release(own_->stage, 1); }
void JobControl::leave() { store_release(own_->stage, 2); }
bool JobControl::has_left(Rank rank) const { return load_acquire(ranks_[rank].stage) == 2; }
void JobControl::put_left(Rank rank) { store_release(ranks_[rank].stage, 2); }

JobControl::Calls JobControl::calls_of(Rank rank) const {
    Calls calls;
    for (std::size_t i = 0; i < calls.size(); i++) calls[i] = read(ranks_[rank].calls[i]).value_or(Entry{});
    return calls;
}

void JobControl::put_calls(Rank rank, const Calls& calls) {
    for (std::size_t i = 0; i < calls.size(); i++) write(ranks_[rank].calls[i], calls[i]);
}

void JobControl::stand_back() { store_release(own_->stands_back, 1); }
bool JobControl::stands_back(Rank rank) const { return load_acquire(ranks_[rank].stands_back) != 0; }

Error JobControl::failure() const {
    // Written within microseconds, unless the rank that raised it died in the middle.
    const os::Deadline deadline = os::Deadline::after_ms(100);
    while (load_acquire(shared_->failure_state) != 2) {
        if (deadline.passed()) return {Status::remote_error, "another rank failed and died before it could say why"};
        os::yield_core();
    }
    return {static_cast<Status>(shared_->failure_status), shared_->failure_message};
}

bool JobControl::raise(const Error& error) {
    std::uint64_t none = 0;
    std::atomic_ref state(shared_->failure_state);
    if (!state.compare_exchange_strong(none, 1)) return false;
    const std::size_t length = std::min(error.message.size(), sizeof shared_->failure_message - 1);
    std::memcpy(shared_->failure_message, error.message.data(), length);
    shared_->failure_message[length] = 0;
    shared_->failure_status = static_cast<std::uint64_t>(error.status);
    state.store(2, std::memory_order_release);
    ring();
    return true;
}

void JobControl::ring() {
    shared_->bell.fetch_add(1, std::memory_order_release);
    os::futex_wake(shared_->bell);
}

// A bell rung between the caller's last look and the sleep is missed only for as long as the sleep lasts.
void JobControl::sleep(std::uint64_t most_us) {
    const std::uint32_t heard = shared_->bell.load(std::memory_order_acquire);
    shared_->sleepers.fetch_add(1, std::memory_order_seq_cst);
    os::futex_wait(shared_->bell, heard, most_us);
    shared_->sleepers.fetch_sub(1, std::memory_order_relaxed);
}

std::string in_words(const CallRecord& call) {
    // Of an exchange of MoE, `count` is the number of the handle and `root` that of the group; a product is weighted.
    if (call.collective == Collective::moe_dispatch || call.collective == Collective::moe_combine)
        return fmt::format("{}{} with handle {} of MoE group {}", call.op == ReduceOp::prod ? "weighted " : "",
                           name_of(call.collective), call.count, call.root);
    std::string words{name_of(call.collective)};
    if (call.collective != Collective::barrier) words += fmt::format(" of {} {}", call.count, name_of(call.type));
    if (reduces(call.collective)) words += fmt::format(", {}", name_of(call.op));
    if (is_rooted(call.collective)) words += fmt::format(", root {}", call.root);
    return words;
}

}  // namespace tenon
