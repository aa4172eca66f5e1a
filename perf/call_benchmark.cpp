// What a cached call adds to the exchange it makes: 8 bytes between two ranks as threads, once by hand over the same
// rings, once as tenonAllReduce. The difference of the two is the library's own work per call.
//
//   call_benchmark --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>

#include <vector>

#include "os/memory.hpp"
#include "perf/rank_threads.hpp"
#include "tenon/plugin/slots.hpp"
#include "tenon/tenon.h"

namespace {

using namespace tenon;

constexpr int calls = 10'000;

void exchange_by_hand(benchmark::State& state) {
    const RingShape shape{
        .slots = 2, .slot_bytes = 1024, .area_bytes = 3072, .medium_slots = 2, .medium_bytes = 1024, .readers = 1};
    auto memory = os::Mapping::anonymous({2 * shape.bytes()});
    if (!memory) return state.SkipWithError(memory.error().message.c_str());
    struct alignas(128) Rank {
        SendEnd out;
        ReceiveEnd in;
        float value[2] = {1, 2}, sum[2] = {};
    };
    std::vector<Rank> ranks(2);
    for (std::size_t r = 0; r < 2; r++) {
        std::byte* own = memory->data() + r * shape.bytes();
        std::byte* peers = memory->data() + (1 - r) * shape.bytes();
        ranks[r].out = SendEnd(own, shape, {reinterpret_cast<const Taken*>(own + shape.taken_offset()), 1});
        ranks[r].in = ReceiveEnd(peers, shape, reinterpret_cast<Taken*>(peers + shape.taken_offset()));
    }
    run_as_ranks(state, 2, calls, [&](int rank) {
        Rank& r = ranks[static_cast<std::size_t>(rank)];
        while (!r.out.may_send_packed(sizeof r.value)) continue;
        r.out.send_packed(reinterpret_cast<const std::byte*>(r.value), sizeof r.value, 1);
        while (r.in.packed_arrival(sizeof r.value, 1) != Arrival::here) continue;
        float theirs[2];
        r.in.take_packed(reinterpret_cast<std::byte*>(theirs), sizeof theirs);
        r.sum[0] = r.value[0] + theirs[0];
        r.sum[1] = r.value[1] + theirs[1];
        benchmark::DoNotOptimize(r.sum);
    });
}

void cached_call(benchmark::State& state) {
    tenonComm_t comms[2];
    if (tenonCommInitAll(comms, 2, nullptr) != tenonSuccess) return state.SkipWithError(tenonGetLastError(nullptr));
    alignas(128) float values[2][32] = {}, sums[2][32] = {};
    run_as_ranks(state, 2, calls, [&](int rank) {
        if (tenonAllReduce(values[rank], sums[rank], 2, tenonFloat32, tenonSum, comms[rank], nullptr) != tenonSuccess)
            state.SkipWithError(tenonGetLastError(comms[rank]));
    });
    for (tenonComm_t comm : comms) tenonCommDestroy(comm);
}

BENCHMARK(exchange_by_hand)->UseRealTime();
BENCHMARK(cached_call)->UseRealTime();

}  // namespace
