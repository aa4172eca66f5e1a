// A communicator's part in its calls on a device: what joins it to one, what ends these calls, and what is left of
// them.
#include <fmt/format.h>

#include <algorithm>

#include "communicator/communicator.hpp"
#include "communicator/device_remains.hpp"
#include "os/process.hpp"

namespace tenon {

// What fails on one rank ends the communicator for all: the others wait for it.
Result<void> Communicator::use_device(std::shared_ptr<OpenDevice> device) {
    close_what_is_left();
    const DeviceIntroductions introduce =
        [this](std::span<const std::byte> own) -> Result<std::vector<std::vector<std::byte>>> {
        std::vector<std::byte> all(own.size() * static_cast<std::size_t>(rank_count_));
        if (auto told = run({.collective = Collective::all_gather, .send = own.data(), .receive = all.data(),
                             .count = own.size()});
            !told)
            return std::unexpected(told.error());
        std::vector<std::vector<std::byte>> by_rank;
        for (std::size_t at = 0; at < all.size(); at += own.size())
            by_rank.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(at),
                                 all.begin() + static_cast<std::ptrdiff_t>(at + own.size()));
        return by_rank;
    };
    const auto algorithms = known_algorithms(config_);
    if (!algorithms) return std::unexpected(give_up(algorithms.error()));
    auto made = DeviceCalls::make(*this, std::move(device),
                                  {.rank = rank_, .rank_count = rank_count_, .hosts = job_.host_numbers(),
                                   .slot_memory_bytes = config_.slot_memory.value, .timeout_ms = config_.timeout_ms},
                                  *algorithms, config_.algorithms, introduce);
    if (!made) return std::unexpected(give_up(made.error()));
    device_calls_ = std::move(*made);
    return {};
}

Result<void> Communicator::issue(const Call& call, const std::shared_ptr<DeviceStream>& stream) {
    if (busy()) wait_for_turns();
    return device_calls_->issue(call, stream);
}

Result<void> Communicator::issue(std::span<const Call> sends_and_receives,
                                 const std::shared_ptr<DeviceStream>& stream) {
    if (busy()) wait_for_turns();
    has_sent_or_received_ = true;
    return device_calls_->issue(sends_and_receives, stream);
}

Result<bool> Communicator::enqueue_more() { return device_calls_->enqueue_more(); }

CallRecord Communicator::note_device_call(CallRecord call) {
    call.number = ++call_number_;
    record_ = call;
    control_.record(call);
    return call;
}

std::string Communicator::device_call_in_words(const CallRecord& call) const {
    return call.number == 0 ? "a send or receive" : fmt::format("{} (call {})", in_words(call), call.number);
}

// The earliest that is known, which is where they parted: each call's signature has all before it.
std::optional<Error> Communicator::device_disagreement(std::uint64_t number) {
    const std::uint64_t kept = std::min(number, JobControl::records_kept);
    for (std::uint64_t n = number - kept + 1; n <= number; n++)
        if (auto error = disagreement_about(n)) return error;
    return std::nullopt;
}

std::optional<Error> Communicator::device_trouble(const CallRecord& call, std::uint64_t waited_ns,
                                                  LateWait& so_far) {
    if (aborted()) return Error{Status::aborted, ""};
    if (control_.failed()) return control_.failure();
    if (call.number != 0)
        if (auto error = device_disagreement(call.number)) return error;
    if (const Rank dead = death(); dead != no_rank) return death_of(dead, device_call_in_words(call));
    return lateness({call, no_rank, waited_ns}, so_far, [this, &call] {
        return WaitInWords{device_call_in_words(call), "its work on " + device_calls_->device()->name};
    });
}

Error Communicator::end_by_device(Error error, const CallRecord& call) {
    const std::string words = device_call_in_words(call);
    if (error.status == Status::device_error)
        error.message =
            fmt::format("rank {}: {}, on {}: {}", rank_, words, device_calls_->device()->name, error.message);
    return over(std::move(error), words);
}

// What other ranks still have of this one's device outlives the communicator, until they have left, too.
void Communicator::close_device(std::unique_ptr<DeviceLinks> links) {
    struct Others {
        std::shared_ptr<const os::Mapping> segment;
        JobControl control;
        std::vector<os::FileDescriptor> alive;
        std::vector<bool> died_before;
        bool has_gone(std::size_t rank) const {
            return control.has_left(static_cast<Rank>(rank)) || died_before[rank] ||
                   (alive[rank].valid() && os::has_ended(alive[rank]));
        }
    };
    const auto others = std::make_shared<Others>(
        Others{job_.segment, control_, std::move(peers_alive_), std::move(died_before_)});
    peers_alive_.resize(static_cast<std::size_t>(rank_count_));
    died_before_.resize(static_cast<std::size_t>(rank_count_));
    bool are_elsewhere = true;
    for (Rank r = 0; r < rank_count_; r++)
        if (r != rank_ && job_.process_of(r) == os::process_id() && !control_.has_left(r)) are_elsewhere = false;
    const auto all_have_left = [others, own = rank_, count = rank_count_] {
        for (Rank r = 0; r < count; r++)
            if (r != own && !others->has_gone(static_cast<std::size_t>(r))) return false;
        return true;
    };
    const auto tell_others = [relay = relay_] {
        if (relay != nullptr) relay->tell_now();
    };
    close_when_left({device_calls_->device(), std::move(links), all_have_left, tell_others}, are_elsewhere);
}

}  // namespace tenon
