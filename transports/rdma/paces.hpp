// How quick the paths between two ranks are: at first as their ports say, then as they show.
//
// A port's speed says nothing of who else uses the network behind it, nor of how slow that is; and one message that
// goes by a slow way holds up all that are behind it. So each path's writes are timed. Where this rank did not look for
// long, it cannot know when something was done, and learns nothing.
#pragma once

#include <array>
#include <cstdint>

#include "transports/rdma/path.hpp"

namespace tenon::rdma {

// What is shorter goes by the main path, and takes as long as the way is, which says nothing of a pace.
inline constexpr std::uint32_t spread_min_bytes = 16 << 10;

class Paces {
public:
    // Before and after a write is under way there.
    void begins(const Path& path);
    void written(const Path& path, std::uint32_t length);
    // Whether all that promise most are busy with their first write: whatever is given to one that turns out to be slow
    // holds up all the rest.
    bool should_wait(std::span<const Path> paths) const;
    // The one that will be done with so many more bytes first; where all are alike, this one.
    std::uint32_t quickest(std::span<const Path> paths, std::uint32_t length, std::uint32_t main);

private:
    struct Pace {
        double bytes = 0, ns = 0;       // of the last writes, the older the less
        std::uint64_t since_ns = 0;     // it is busy with the next one
        bool has_begun = false;         // has done one
        std::uint64_t passed_over = 0;  // so many messages went by others
    };
    std::array<double, most_paths> ns_per_byte(std::span<const Path> paths) const;
    bool is_due(const Path& path, const Path& best, const std::array<double, most_paths>& per_byte) const;
    std::uint32_t choose(std::uint32_t path);
    // What a port's Mbit/s are worth at best, as far as any has shown.
    double worth_of_speed(std::span<const Path> paths) const;

    std::array<Pace, most_paths> paces_{};
    bool knows_one_ = false;
};

}  // namespace tenon::rdma
