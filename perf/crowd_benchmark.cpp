// More ranks than cores: an 8-byte all-reduce between ranks as threads, beside the least that can be done. There each
// rank publishes 8 bytes with a sequence number on a line of its own and looks at all the others', giving up its core
// where one is not there yet; nothing that must hear from every rank does less.
//
//   crowd_benchmark --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "os/cpu.hpp"
#include "perf/rank_threads.hpp"
#include "tenon/plugin/slots.hpp"
#include "tenon/tenon.h"

namespace {

using namespace tenon;

constexpr int calls = 100;

// Two lines by turns, so that a rank one call ahead does not overwrite what others have yet to read.
void publish_and_yield(benchmark::State& state) {
    struct Turn {
        std::uint64_t data, number;
    };
    struct alignas(128) Line {
        Turn turns[2];
    };
    const auto ranks = static_cast<int>(state.range(0));
    std::vector<Line> lines(static_cast<std::size_t>(ranks));
    std::vector<std::uint64_t> made(lines.size() * 16);  // each rank's on a line of its own
    run_as_ranks(state, ranks, calls, [&](int rank) {
        const std::uint64_t number = ++made[static_cast<std::size_t>(rank) * 16];
        Turn& own = lines[static_cast<std::size_t>(rank)].turns[number & 1];
        store_relaxed(own.data, static_cast<std::uint64_t>(rank));
        store_release(own.number, number);
        std::uint64_t sum = 0;
        for (Line& line : lines) {
            while (load_acquire(line.turns[number & 1].number) != number) os::yield_core();
            sum += load_relaxed(line.turns[number & 1].data);
        }
        benchmark::DoNotOptimize(sum);
    });
}

void all_reduce(benchmark::State& state) {
    const auto ranks = static_cast<int>(state.range(0));
    std::vector<tenonComm_t> comms(static_cast<std::size_t>(ranks));
    if (tenonCommInitAll(comms.data(), ranks, nullptr) != tenonSuccess)
        return state.SkipWithError(tenonGetLastError(nullptr));
    struct alignas(128) Values {
        float in[2] = {1, 2}, out[2] = {};
    };
    std::vector<Values> values(comms.size());
    run_as_ranks(state, ranks, calls, [&](int rank) {
        const auto r = static_cast<std::size_t>(rank);
        if (tenonAllReduce(values[r].in, values[r].out, 2, tenonFloat32, tenonSum, comms[r], nullptr) != tenonSuccess)
            state.SkipWithError(tenonGetLastError(comms[r]));
    });
    for (tenonComm_t comm : comms) tenonCommDestroy(comm);
}

BENCHMARK(publish_and_yield)->Arg(4)->Arg(8)->Arg(64)->UseRealTime();
BENCHMARK(all_reduce)->Arg(4)->Arg(8)->Arg(64)->UseRealTime();

}  // namespace
