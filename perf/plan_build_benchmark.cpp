// How long it takes to build one rank's plan: ring all-reduce at 8 ranks, every algorithm at 1,000 ranks, and those
// that look at groups at 1,536 ranks in 2 supernodes of 48 servers.
//
// The bars: under 20 us for ring at 8 ranks, under 5 ms for any algorithm at 1,000 and 1,536, but for all-to-alls.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "algorithms/patterns/manifest.hpp"
#include "topology/shape.hpp"

namespace {

using namespace tenon;

void build_plans(benchmark::State& state, const Algorithm& row, const Topology& topology) {
    const Rank rank_count = topology.rank_count;
    // A rank in the middle: in trees neither the root nor a leaf.
    const Request request{.collective = row.collective, .rank = rank_count / 2, .rank_count = rank_count};
    std::size_t steps = 0;
    for (auto _ : state) {
        auto plan = row.build(request, topology);
        if (!plan) {
            state.SkipWithError(plan.error().message.c_str());
            break;
        }
        steps = 0;
        for (const Lane& lane : plan->lanes) steps += lane.steps.size();
        benchmark::DoNotOptimize(plan);
    }
    state.counters["steps"] = static_cast<double>(steps);
}

// The most ranks up to `wanted` that the algorithm takes.
Rank rank_count_for(const Algorithm& row, Rank wanted) {
    const Rank most = std::min(wanted, row.needs.max_ranks);
    return row.needs.power_of_two_ranks ? static_cast<Rank>(std::bit_floor(static_cast<std::uint32_t>(most))) : most;
}

void register_benchmark(const Algorithm& row, Rank wanted_ranks) {
    const Rank rank_count = rank_count_for(row, wanted_ranks);
    const std::string name =
        std::string(name_of(row.collective)) + "/" + std::string(row.name) + "/ranks:" + std::to_string(rank_count);
    benchmark::RegisterBenchmark(name.c_str(), build_plans, row, Topology{.rank_count = rank_count})
        ->Unit(benchmark::kMicrosecond);
}

void register_grouped(const Algorithm& row, std::string_view shape) {
    Topology topology{.levels = levels_of_shape(shape).value()};
    topology.rank_count = static_cast<Rank>(topology.levels[0].group_of.size());
    const std::string name =
        std::string(name_of(row.collective)) + "/" + std::string(row.name) + "/groups:" + std::string(shape);
    benchmark::RegisterBenchmark(name.c_str(), build_plans, row, topology)->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
    for (const Algorithm& row : all_reduce_algorithms())
        if (row.name == "ring") register_benchmark(row, 8);
    for (const auto& manifest :
         {all_reduce_algorithms(), all_gather_algorithms(), reduce_scatter_algorithms(), all_to_all_algorithms(),
          broadcast_algorithms(), reduce_algorithms(), gather_algorithms(), scatter_algorithms(), barrier_algorithms()})
        for (const Algorithm& row : manifest) {
            register_benchmark(row, 1000);
            if (row.name.starts_with("hierarchical")) register_grouped(row, "2x48x16");
        }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
