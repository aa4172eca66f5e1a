// The ranks of one run, and what they agree on beside the measured calls: a communicator of their own, with no
// algorithm forced, whose barrier starts a batch and whose reductions give the slowest rank's time and the sum of all
// mistakes.
//
// One object for each rank, used by that rank's thread only. Errors are tenon::Exception.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/types.hpp"
#include "tenon/tenon.hpp"

namespace tenon::perf {

// Where a rank runs, for the head of the table.
struct RankFacts {
    std::int32_t process = 0;
    std::int32_t core = 0;
    char host[64] = {};
    char processor[64] = {};
};

class Team {
public:
    explicit Team(Communicator control) : control_(std::move(control)) {}

    Rank rank() const { return control_.rank(); }
    Rank rank_count() const { return control_.rank_count(); }

    void barrier() { control_.barrier(); }
    // Once a rank has failed: whoever waits for it learns of that. Nothing else may follow.
    void abort() { control_.abort(); }
    double slowest(double seconds);                       // the largest of all ranks' values
    std::vector<double> slowest(std::vector<double> of);  // position by position
    std::uint64_t total(std::uint64_t own);
    std::uint64_t largest(std::uint64_t own);
    std::vector<RankFacts> everyone(const RankFacts& own);

    // A communicator of all ranks, for measuring.
    Communicator split(const Settings& settings);
    // The same without the one that there is: how long it takes is worth knowing.
    Communicator meet_anew();

private:
    Communicator control_;
};

// Puts this thread on a core of its own as long as there are enough, and tells where it is. Before a rank joins, so
// that the library's threads stay there too.
RankFacts settle(Rank rank);

}  // namespace tenon::perf
