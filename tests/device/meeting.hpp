// How ranks meet that know of each other only this: they exchange keys there.
#pragma once

#include <atomic>
#include <barrier>

#include "os/memory.hpp"
#include "tests/device/device_ranks.hpp"

namespace tenon::support {

// Of ranks that are threads of this process.
class Meeting {
public:
    explicit Meeting(Rank rank_count) : all_(static_cast<std::size_t>(rank_count)), barrier_{rank_count} {}
    DeviceIntroductions of(Rank rank) {
        return [this, rank](std::span<const std::byte> own) -> Result<std::vector<std::vector<std::byte>>> {
            all_[static_cast<std::size_t>(rank)].assign(own.begin(), own.end());
            barrier_.arrive_and_wait();
            auto everything = all_;
            barrier_.arrive_and_wait();
            return everything;
        };
    }

private:
    std::vector<std::vector<std::byte>> all_;
    std::barrier<> barrier_;
};

// Of ranks that are processes; made before they are forked.
class ProcessMeeting {
public:
    explicit ProcessMeeting(Rank rank_count);
    DeviceIntroductions of(Rank rank);

private:
    static constexpr std::size_t most_bytes = 1 << 20;  // of a rank
    Result<void> wait_for_all();
    std::atomic<std::uint32_t>& arrivals() { return *reinterpret_cast<std::atomic<std::uint32_t>*>(memory_.data()); }
    std::byte* of_rank(Rank rank) {
        return memory_.data() + os::page_bytes() + static_cast<std::size_t>(rank) * most_bytes;
    }

    Rank rank_count_;
    os::Mapping memory_;
};

}  // namespace tenon::support
