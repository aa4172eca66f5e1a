// How long the first call of a new shape takes to choose its algorithm among 768 ranks (48 servers of 16), by price.
//
// The bar: under 50 ms for every collective and size.
#include <benchmark/benchmark.h>

#include <string>

#include "library/registry.hpp"
#include "selection/selection.hpp"
#include "topology/generators.hpp"
#include "topology/projection.hpp"

namespace {

using namespace tenon;

void choose(benchmark::State& state, Collective collective, std::uint64_t bytes, const Topology& topology) {
    const auto selection = Selection::make(algorithms(), Config{});
    Request request{
        .collective = collective, .rank_count = topology.rank_count, .count = {1}, .type = DataType::float32};
    request.count.value = std::max<std::uint64_t>(1, bytes / large_buffer_bytes(request).value);
    std::string label;
    for (auto _ : state) {
        const auto choice = selection->choose(request, topology);
        if (!choice) {
            state.SkipWithError(choice.error().message.c_str());
            return;
        }
        label = std::string(choice->algorithm->name) + " (" + choice->reason + ")";
    }
    state.SetLabel(label);
}

}  // namespace

int main(int argc, char** argv) {
    const Generator* machine = generator_named("cloudmatrix384");
    const auto map = generate(*machine, GeneratorValues(machine->parameters));
    const auto topology = topology_of(*map);
    for (std::size_t c = 0; c < planned_collective_count; c++)
        for (const std::uint64_t bytes : {std::uint64_t{8}, std::uint64_t{64} << 10, std::uint64_t{64} << 20}) {
            const auto collective = static_cast<Collective>(c);
            const std::string name = std::string(name_of(collective)) + "/bytes:" + std::to_string(bytes);
            benchmark::RegisterBenchmark(name.c_str(), choose, collective, bytes, *topology)
                ->Unit(benchmark::kMillisecond);
        }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
