// Ranks as threads under Google Benchmark's clock, for micro-benchmarks.
#pragma once

#include <benchmark/benchmark.h>

#include <atomic>
#include <thread>
#include <vector>

#include "os/cpu.hpp"
#include "os/process.hpp"

namespace tenon {

// Pins the calling thread to core r modulo the cores it may use.
inline void pin_as_rank(int rank) {
    const auto cores = os::cores_of_this_thread();
    if (!cores) return;
    const std::vector<int> list = os::core_list(*cores);
    os::CoreSet one;
    one.set(static_cast<std::size_t>(list[static_cast<std::size_t>(rank) % list.size()]));
    static_cast<void>(os::run_this_thread_on(one));
}

// Runs `body(rank)` for every rank, rank 0 being this thread, as often as the benchmark asks: `calls` times between two
// looks at the benchmark's own state. Counts ns_per_call.
template <class Body>
void run_as_ranks(benchmark::State& state, int ranks, int calls, Body body) {
    const auto before = os::cores_of_this_thread();
    std::atomic<long> rounds{0};
    std::atomic<bool> over{false};
    std::vector<std::jthread> others;
    for (int rank = 1; rank < ranks; rank++)
        others.emplace_back([&, rank] {
            pin_as_rank(rank);
            for (long done = 0;;) {
                while (rounds.load(std::memory_order_acquire) == done) {
                    if (over.load(std::memory_order_acquire)) return;
                    os::yield_core();
                }
                done++;
                for (int i = 0; i < calls; i++) body(rank);
            }
        });
    pin_as_rank(0);
    for ([[maybe_unused]] auto _ : state) {
        rounds.fetch_add(1, std::memory_order_release);
        for (int i = 0; i < calls; i++) body(0);
    }
    over.store(true, std::memory_order_release);
    others.clear();
    if (before) static_cast<void>(os::run_this_thread_on(*before));
    state.counters["ns_per_call"] = benchmark::Counter(
        static_cast<double>(calls) * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

}  // namespace tenon
