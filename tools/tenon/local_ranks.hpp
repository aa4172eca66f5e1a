// Starts the ranks of a job as processes of this host and stays with them until the last one has ended.
//
// - Each rank leads a process group of its own. SIGINT, SIGTERM, SIGHUP and SIGQUIT that come here go to all groups;
//   a second SIGINT or SIGTERM ends the job. SIGTSTP stops the ranks together with this process.
// - When a rank fails, the others are ended: SIGTERM, and after a grace period SIGKILL.
// - Nothing is left behind: what a rank started and did not end is killed with it, and if this process is killed, all
// of
//   it goes too (PR_SET_PDEATHSIG and OrphanGuard).
//
// Call it from a process with one thread. Signals are handled only while run_local_ranks runs.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "tenon/plugin/types.hpp"

namespace tenon {

struct LocalRanks {
    Rank rank_count = 1;
    bool prefix_output = false;             // "[2] " before every line; otherwise ranks write where this process writes
    std::chrono::milliseconds grace{5000};  // between SIGTERM and SIGKILL
    // What a rank is called before its lines and in messages, if not its number.
    std::function<std::string(Rank)> label = [](Rank rank) { return std::to_string(rank); };
    std::string what = "rank";              // the kind of what is started
    int lifeline = -1;                      // when this descriptor comes to its end, the ranks are ended
    std::function<int(Rank)> rank_main;     // runs in the process of each rank; its result is that rank's exit status
    std::function<void(std::string_view)> report;  // told which rank failed, and how, as soon as it is known
};

// The job's exit status: 0, or that of the first rank that failed (128 + the signal, when one ended it).
// An error says that the ranks could not be started; then none is left running.
Result<int> run_local_ranks(const LocalRanks& job);

}  // namespace tenon
