// A rank's part in the measurement of calls of one kind; see timing.hpp for the method. Subject has:
//   void prepare(bool check)       new inputs; with `check`, such that count_wrong() may follow the next call
//   void call()
//   void finish()                  where calls return before they are done: waits for them
//   std::uint64_t count_wrong()    what is wrong with the last call's results on this rank
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "perf/timing.hpp"

namespace tenon::perf {

template <class Subject>
class Stopwatch {
public:
    Stopwatch(Subject& subject, const Options& options, Team& team)
        : subject_(subject), options_(options), team_(team) {}

    Figures run() {
        Figures figures;
        for (int i = 0; i < options_.checks; i++) figures.wrong += checked_call();
        const double estimate_s = warm_up();
        time_batches(estimate_s, figures);
        time_calls(estimate_s, figures);
        if (options_.checks > 0)
            figures.wrong += Subject::checks_last_call ? team_.total(subject_.count_wrong()) : checked_call();
        return figures;
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr double batch_s = 0.03;
    static constexpr int most_calls = 200'000;  // in a batch
    static constexpr double known_s = 0.3;      // a call this slow needs no better estimate of its time
    static constexpr double row_s = 3;          // slower calls get fewer batches than asked for, but 3
    static constexpr double percentile_pass_s = 0.2;
    static constexpr int fewest_timed_calls = 20, most_timed_calls = 5000;

    static double seconds_since(Clock::time_point start) {
        return std::chrono::duration<double>(Clock::now() - start).count();
    }

    void finish() {
        if constexpr (requires { subject_.finish(); }) subject_.finish();
    }

    std::uint64_t checked_call() {
        subject_.prepare(true);
        team_.barrier();
        subject_.call();
        finish();
        return team_.total(subject_.count_wrong());
    }

    // Seconds per call, the same on every rank.
    double batch(int calls) {
        subject_.prepare(false);
        team_.barrier();
        const auto start = Clock::now();
        for (int i = 0; i < calls; i++) subject_.call();
        finish();
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
        subject_.prepare(false);
        team_.barrier();
        auto before = Clock::now();
        for (double& time_us : times_us) {
            subject_.call();
            finish();
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

    Subject& subject_;
    const Options& options_;
    Team& team_;
};

}  // namespace tenon::perf
