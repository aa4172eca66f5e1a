#include "tests/device/meeting.hpp"

#include <cstring>

#include "os/clock.hpp"
#include "os/futex.hpp"

namespace tenon::support {

ProcessMeeting::ProcessMeeting(Rank rank_count) : rank_count_{rank_count} {
    const ByteCount bytes{os::page_bytes() + static_cast<std::size_t>(rank_count) * most_bytes};
    memory_ = must(os::Mapping::shared(must(os::create_shared_memory("meeting", bytes)), bytes));
}

Result<void> ProcessMeeting::wait_for_all() {
    const auto count = static_cast<std::uint32_t>(rank_count_);
    const std::uint32_t own = ++arrivals();
    const std::uint32_t awaited = (own + count - 1) / count * count;
    os::futex_wake(arrivals());
    const os::Deadline deadline = os::Deadline::after_ms(patience_ms);
    constexpr std::uint64_t look_again_us = 50'000;
    for (std::uint32_t seen = own; seen < awaited; seen = arrivals()) {
        os::futex_wait(arrivals(), seen, look_again_us);
        if (auto late = deadline.check("the other ranks of the test"); !late) return late;
    }
    return {};
}

DeviceIntroductions ProcessMeeting::of(Rank rank) {
    return [this, rank](std::span<const std::byte> own) -> Result<std::vector<std::vector<std::byte>>> {
        if (own.size() > most_bytes) return fail(Status::internal_error, "there is no room for so many keys");
        if (!own.empty()) std::memcpy(of_rank(rank), own.data(), own.size());
        if (auto met = wait_for_all(); !met) return std::unexpected(met.error());
        std::vector<std::vector<std::byte>> all;
        for (Rank r = 0; r < rank_count_; r++) all.emplace_back(of_rank(r), of_rank(r) + own.size());
        if (auto met = wait_for_all(); !met) return std::unexpected(met.error());
        return all;
    };
}

}  // namespace tenon::support
