// How long a call takes, by the method that the comparison with other libraries uses: after warm-up come batches of
// calls back to back, 7 batches of 30 ms unless the user says otherwise, new input values and a barrier before each. A
// batch's time is the slowest rank's, divided by its calls; the result is the median over the batches.
//
// Percentiles come from a pass of their own, in which every call is timed by itself: a call's time is the slowest
// rank's. With fewer than 100 calls (very slow ones) the 99th percentile is the slowest of all.
//
// All ranks run this together, each for itself.
#pragma once

#include <cstdint>

#include "perf/options.hpp"
#include "perf/team.hpp"
#include "perf/workload.hpp"

namespace tenon::perf {

struct Figures {
    double median_us = 0, min_us = 0;
    double p50_us = 0, p95_us = 0, p99_us = 0;
    std::uint64_t wrong = 0;  // elements, on all ranks; not known without checks
};

// Checks and times one half of a row.
Figures measure(Workload& workload, bool in_place, const Options& options, Team& team);

double median(std::vector<double> values);
// The smallest value that at least `percent` of the values do not exceed.
double percentile(const std::vector<double>& sorted, double percent);

}  // namespace tenon::perf
