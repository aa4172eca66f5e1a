#include "perf/timing.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace tenon::perf {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double batch_s = 0.03;
constexpr int most_calls = 200'000;  // in a batch
constexpr double known_s = 0.3;      // a call this slow needs no better estimate of its time
constexpr double row_s = 3;          // slower calls get fewer batches than asked for, but 3
constexpr double percentile_pass_s = 0.2;
constexpr int fewest_timed_calls = 20, most_timed_calls = 5000;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A rank's part in the measurement of one half of a row.
class Stopwatch {
public:
    Stopwatch(Workload& workload, bool in_place, const Options& options, Team& team)
        : workload_(workload), in_place_(in_place), options_(options), team_(team) {}

    Figures run() {
        Figures figures;
        for (int i = 0; i < options_.checks; i++) figures.wrong += checked_call();
        const double estimate_s = warm_up();
        time_batches(estimate_s, figures);
        time_calls(estimate_s, figures);
        if (options_.checks > 0) figures.wrong += in_place_ ? checked_call() : team_.total(workload_.count_wrong());
        return figures;
    }

private:
    std::uint64_t checked_call() {
        workload_.prepare(in_place_, true);
        team_.barrier();
        workload_.call();
        return team_.total(workload_.count_wrong());
    }

    // Seconds per call, the same on every rank.
    double batch(int calls) {
        workload_.prepare(in_place_, false);
        team_.barrier();
        const auto start = Clock::now();
        for (int i = 0; i < calls; i++) workload_.call();
        return team_.slowest(seconds_since(start) / calls);
    }

    int calls_in_batch(double call_s) const {
        if (options_.iterations) return *options_.iterations;
        return static_cast<int>(std::clamp(batch_s / call_s, 1.0, static_cast<double>(most_calls)));
    }

    double warm_up() {
        if (options_.warmup) {
            if (*options_.warmup > 0) return batch(*options_.warmup);
            return batch(1);  // whose time is needed all the same
        }
        double call_s = batch(1);
        for (int i = 0; i < 3 && call_s < known_s; i++) call_s = batch(std::max(calls_in_batch(call_s) / 2, 1));
        return call_s;
    }

    void time_batches(double estimate_s, Figures& figures) {
        const int calls = calls_in_batch(estimate_s);
        int batches = options_.batches;
        if (!options_.iterations) {
            const auto fitting = static_cast<int>(std::min(row_s / (estimate_s * calls), 1000.0));
            batches = std::min(batches, std::max(fitting, 3));
        }
        std::vector<double> times_us;
        for (int i = 0; i < batches; i++) times_us.push_back(1e6 * batch(calls));
        figures.median_us = median(times_us);
        figures.min_us = *std::min_element(times_us.begin(), times_us.end());
    }

    void time_calls(double estimate_s, Figures& figures) {
        const double wanted = options_.iterations
                                  ? static_cast<double>(*options_.iterations) * options_.batches
                                  : std::max(percentile_pass_s / estimate_s, static_cast<double>(fewest_timed_calls));
        std::vector<double> times_us(
            static_cast<std::size_t>(std::clamp(wanted, 1.0, static_cast<double>(most_timed_calls))));
        workload_.prepare(in_place_, false);
        team_.barrier();
        auto before = Clock::now();
        for (double& time_us : times_us) {
            workload_.call();
            const auto after = Clock::now();
            time_us = std::chrono::duration<double, std::micro>(after - before).count();
            before = after;
        }
        times_us = team_.slowest(std::move(times_us));
        std::sort(times_us.begin(), times_us.end());
        figures.p50_us = percentile(times_us, 50);
        figures.p95_us = percentile(times_us, 95);
        figures.p99_us = percentile(times_us, 99);
    }

    Workload& workload_;
    const bool in_place_;
    const Options& options_;
    Team& team_;
};

}  // namespace

Figures measure(Workload& workload, bool in_place, const Options& options, Team& team) {
    return Stopwatch{workload, in_place, options, team}.run();
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
