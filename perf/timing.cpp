#include "perf/timing.hpp"

#include <algorithm>
#include <cmath>

#include "perf/stopwatch.hpp"

namespace tenon::perf {
namespace {

// One half of a row.
template <bool in_place>
struct Half {
    // In place, what a call leaves is the next one's input.
    static constexpr bool checks_last_call = !in_place;
    Workload& workload;

    void prepare(bool check) { workload.prepare(in_place, check); }
    void call() { workload.call(); }
    void finish() { workload.finish(); }
    std::uint64_t count_wrong() { return workload.count_wrong(); }
};

}  // namespace

Figures measure(Workload& workload, bool in_place, const Options& options, Team& team) {
    if (in_place) {
        Half<true> half{workload};
        return Stopwatch{half, options, team}.run();
    }
    Half<false> half{workload};
    return Stopwatch{half, options, team}.run();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double percentile(const std::vector<double>& sorted, double percent) {
    const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size())));
    return sorted[std::max<std::size_t>(rank, 1) - 1];
}

}  // namespace tenon::perf
