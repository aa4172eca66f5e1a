#include "perf/pair_tests.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "perf/two_ranks.hpp"

namespace tenon::perf {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view names[pair_test_count] = {"ping_pong", "stream", "registration"};
constexpr double batch_s = 0.03, percentile_pass_s = 0.2;
constexpr int most_calls = 100'000, most_timed_calls = 5000, fewest_timed_calls = 20;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// One rank's part.
class PairOfRanks {
public:
    PairOfRanks(PairTest test, std::uint64_t bytes, const Options& options, Communicator& comm, Team& team)
        : test_(test), options_(options), comm_(comm), team_(team), last_(team.rank_count() - 1) {
        if (!takes_part()) return;
        if (options.memory == MemoryKind::tenon) {
            given_.emplace(bytes);
            data_ = {given_->data(), bytes};
        } else {
            ordinary_.resize(bytes);
            data_ = ordinary_;
        }
    }

    Figures run() {
        Figures figures;
        if (options_.checks > 0) figures.wrong = checked();
        const double once = batch(options_.warmup.value_or(10));
        const int calls = options_.iterations.value_or(
            static_cast<int>(std::clamp(batch_s / std::max(once, 1e-9), 1.0, static_cast<double>(most_calls))));
        std::vector<double> times_us;
        for (int i = 0; i < options_.batches; i++) times_us.push_back(1e6 * batch(calls));
        figures.median_us = median(times_us);
        figures.min_us = *std::ranges::min_element(times_us);
        time_calls(once, figures);
        return figures;
    }

private:
    bool is_first() const { return team_.rank() == 0; }
    bool is_alone() const { return last_ == 0 || test_ == PairTest::registration; }
    bool takes_part() const { return is_first() || (!is_alone() && team_.rank() == last_); }
    Rank peer() const { return is_first() ? last_ : 0; }

    // Seconds a call, the same on every rank: the first rank's.
    double batch(int calls) {
        team_.barrier();
        const auto start = Clock::now();
        if (takes_part()) run_calls(calls);
        const double all = seconds_since(start);
        const double messages = std::max(calls, 1) * (test_ == PairTest::ping_pong ? 2.0 : 1.0);
        return team_.slowest(is_first() ? all / messages : 0);
    }

    void run_calls(int calls) {
        if (test_ == PairTest::registration) {
            for (int i = 0; i < calls; i++) Registration{comm_, data_};
        } else if (!is_alone()) {
            if (test_ == PairTest::ping_pong) there_and_back(comm_, peer(), is_first(), data_, calls);
            else there(calls);
        }
    }
    // And a word back, so that the first rank knows when all has come.
    void there(int calls) {
        one_way(comm_, peer(), is_first(), data_, calls);
        one_way(comm_, peer(), !is_first(), word_, 1);
    }

    void time_calls(double once, Figures& figures) {
        const auto wanted = static_cast<int>(std::clamp(percentile_pass_s / std::max(once, 1e-9),
                                                        static_cast<double>(fewest_timed_calls),
                                                        static_cast<double>(most_timed_calls)));
        std::vector<double> times_us(static_cast<std::size_t>(options_.iterations.value_or(wanted)));
        team_.barrier();
        for (double& time_us : times_us) {
            const auto start = Clock::now();
            if (takes_part()) run_calls(1);
            const double all_us = seconds_since(start) * 1e6;
            time_us = is_first() ? all_us / (test_ == PairTest::ping_pong ? 2 : 1) : 0;
        }
        times_us = team_.slowest(std::move(times_us));
        std::ranges::sort(times_us);
        figures.p50_us = percentile(times_us, 50);
        figures.p95_us = percentile(times_us, 95);
        figures.p99_us = percentile(times_us, 99);
    }

    // One message there; how many of its bytes came otherwise.
    std::uint64_t checked() {
        std::uint64_t wrong = 0;
        const auto value = [](std::size_t i) { return static_cast<std::uint8_t>(i * 31 + 7); };
        team_.barrier();
        if (takes_part() && !is_alone()) {
            if (is_first())
                for (std::size_t i = 0; i < data_.size(); i++) data_[i] = value(i);
            there(1);
            if (!is_first())
                for (std::size_t i = 0; i < data_.size(); i++) wrong += data_[i] != value(i);
        }
        return team_.total(wrong);
    }

    PairTest test_;
    const Options& options_;
    Communicator& comm_;
    Team& team_;
    Rank last_;
    std::vector<std::uint8_t> ordinary_;
    std::optional<Memory<std::uint8_t>> given_;
    std::span<std::uint8_t> data_;
    std::array<std::uint64_t, 1> word_{};
};

}  // namespace

std::string_view name_of(PairTest test) { return names[static_cast<std::size_t>(test)]; }

Figures measure(PairTest test, std::uint64_t bytes, const Options& options, Communicator& comm, Team& team) {
    return PairOfRanks{test, bytes, options, comm, team}.run();
}

}  // namespace tenon::perf
