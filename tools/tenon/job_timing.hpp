// How long calls take in the job that this process is a rank of: for `explain --measure`, `tune` and `topo probe`.
//
// All ranks make one and call its functions alike; each gets the same figures, those of the slowest rank. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "communicator/communicator.hpp"
#include "os/memory.hpp"

namespace tenon {

// One way between two ranks of different parts of a level.
struct LevelTimes {
    double half_round_trip_ns = 0;  // of 8 bytes
    double message_ns = 0;          // between the ends of messages of 8 bytes that follow each other one way
    double pair_bytes_per_s = 0;    // one pair alone, both ways at once
    double part_bytes_per_s = 0;    // all ranks of a part, both ways at once
};

class JobTiming {
public:
    // Joins the launcher's job; without a launcher, this rank is alone.
    static Result<JobTiming> join(const Config& config);

    Communicator& ranks() { return *ranks_; }
    std::span<const Algorithm> algorithms() const { return algorithms_; }

    // Nanoseconds of a call, by the collective's algorithms in the manifest's order, in rounds of calls back to back in
    // which the algorithms take turns, none always after the same other: the median over rounds of how one compares to
    // the geometric mean of all, times the median of these means. Nothing for those that cannot serve the call; of
    // those that are far from the quickest, the time of their first calls.
    Result<std::vector<std::optional<double>>> time_all(const Request& request, double round_ms, int rounds);
    // Of each level of the topology, the innermost first; nothing where no ranks are joined by it.
    Result<std::vector<std::optional<LevelTimes>>> time_levels();
    // Bytes a second that a core copies and adds, from and to memory.
    static double copying_bytes_per_s();
    static double summing_bytes_per_s();

private:
    JobTiming() = default;
    using Body = std::function<Result<void>()>;
    // Seconds that `calls` calls take the slowest rank, begun together.
    Result<double> seconds(int calls, const Body& body);
    Result<double> largest(double own);
    struct Rounds {
        int calls = 1;  // of a round: as many as take about so long; at least one
        double seconds_per_call = 0;  // of the first calls
    };
    // Of calls of that communicator, after those that find out how to run them.
    Result<Rounds> rounds_of(const Communicator& ranks, double round_ms, const Body& body);
    // Buffers of at least so much, as a program's large ones are: of whole pages.
    Result<void> make_room(std::uint64_t send_bytes, std::uint64_t receive_bytes);
    Result<Communicator*> forcing(std::size_t number);
    Result<void> exchange(std::span<const Call> calls);
    Result<double> exchange_seconds(std::span<const Call> calls, double round_ms);
    Result<LevelTimes> time_level(std::size_t level, Rank one, Rank other);

    Config config_;
    std::unique_ptr<Communicator> ranks_;
    std::span<const Algorithm> algorithms_;
    std::vector<std::unique_ptr<Communicator>> forcing_;  // the n-th forces each collective's n-th algorithm
    os::Mapping send_, receive_;
};

}  // namespace tenon
