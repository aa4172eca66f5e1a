// What each rank of tenon-perf does: every row that was asked for, all ranks in step, shown by rank 0.
#pragma once

#include "perf/options.hpp"
#include "perf/team.hpp"

namespace tenon::perf {

// The rank's exit status: 0, or 1 when any rank found wrong data. Throws tenon::Exception when the library fails.
int run_bench(const Options& options, Team& team, const RankFacts& facts);

// What cannot be run with so many ranks, in one line; empty when everything can. Loads the plugins that TENON_PLUGINS
// names, so that their algorithms count.
std::string obstacle(const Options& options, Rank rank_count);

}  // namespace tenon::perf
