// What a cached call adds to the exchange it makes: 8 bytes between two ranks as threads, once by hand over the same
// rings, once as tenonAllReduce. The difference of the two is the library's own work per call.
//
//   call_benchmark --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>

#include <memory>
#include <thread>
#include <vector>

#include "os/memory.hpp"
#include "os/process.hpp"
#include "tenon/plugin/slots.hpp"
#include "tenon/tenon.h"

namespace {

using namespace tenon;

void pin(int rank) {
    const auto cores = os::cores_of_this_thread();
    if (!cores) return;
    const std::vector<int> list = os::core_list(*cores);
    os::CoreSet one;
    one.set(static_cast<std::size_t>(list[static_cast<std::size_t>(rank) % list.size()]));
    static_cast<void>(os::run_this_thread_on(one));
}

// Runs `body(rank)` for ranks 0 (this thread, under the benchmark's clock) and 1, as many times as the benchmark asks.
template <class Body>
void between_two(benchmark::State& state, Body body) {
    constexpr int calls = 10'000;  // between two looks at the benchmark's own state
    const auto before = os::cores_of_this_thread();
    std::atomic<long> rounds{0};
    std::atomic<bool> over{false};
    std::thread other([&] {
        pin(1);
        for (long done = 0;;) {
            while (rounds.load(std::memory_order_acquire) == done)
                if (over.load(std::memory_order_acquire)) return;
            done++;
            for (int i = 0; i < calls; i++) body(1);
        }
    });
    pin(0);
    for ([[maybe_unused]] auto _ : state) {
        rounds.fetch_add(1, std::memory_order_release);
        for (int i = 0; i < calls; i++) body(0);
    }
    over.store(true, std::memory_order_release);
    other.join();
    if (before) static_cast<void>(os::run_this_thread_on(*before));
    state.counters["ns_per_call"] =
        benchmark::Counter(static_cast<double>(calls) * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void exchange_by_hand(benchmark::State& state) {
    const RingShape shape{.slots = 2, .slot_bytes = 1024, .medium_slots = 2, .medium_bytes = 1024, .readers = 1};
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
    between_two(state, [&](int rank) {
        Rank& r = ranks[static_cast<std::size_t>(rank)];
        while (!r.out.may_send_packed()) continue;
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
    between_two(state, [&](int rank) {
        if (tenonAllReduce(values[rank], sums[rank], 2, tenonFloat32, tenonSum, comms[rank], nullptr) != tenonSuccess)
            state.SkipWithError(tenonGetLastError(comms[rank]));
    });
    for (tenonComm_t comm : comms) tenonCommDestroy(comm);
}

BENCHMARK(exchange_by_hand)->UseRealTime();
BENCHMARK(cached_call)->UseRealTime();

}  // namespace
