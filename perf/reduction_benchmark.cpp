// Bytes per second (read and written) of the reductions, per type, for two and four sources, in the cache and in
// memory, and the time of the smallest calls; of the sums of MoE's combine; and of copies, as a slot's into a buffer
// that lies so many bytes behind it modulo a page.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "reduction/kernels.hpp"
#include "reduction/weighted_sum.hpp"

namespace tenon {
namespace {

struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, FreeMemory>;

Memory allocate(std::size_t bytes) {
    constexpr std::size_t page_bytes = 4096;
    const std::size_t rounded = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    Memory memory{static_cast<std::byte*>(std::aligned_alloc(page_bytes, rounded))};
    std::fill_n(memory.get(), rounded, std::byte{0});
    return memory;
}

struct Shape {
    DataType type;
    std::uint32_t source_count;
    std::size_t bytes;
    bool stream;
};

void reduce(benchmark::State& state, const Shape& shape) {
    std::vector<Memory> sources;
    std::vector<const void*> pointers;
    for (std::uint32_t i = 0; i < shape.source_count; ++i) {
        sources.push_back(allocate(shape.bytes));
        pointers.push_back(sources.back().get());
    }
    const Memory destination = allocate(shape.bytes);
    ReduceArguments arguments;
    arguments.destination = destination.get();
    arguments.sources = pointers.data();
    arguments.source_count = shape.source_count;
    arguments.elements = shape.bytes / element_bytes(shape.type);
    arguments.stream_destination = shape.stream;
    const ReduceKernel kernel = reduce_kernel(shape.type, ReduceOp::sum);
    for (auto _ : state) {
        kernel(arguments);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * shape.bytes * (shape.source_count + 1)));
    state.SetLabel(reduction_target());
}

// A combine's rows of a token after the other, each anywhere among `tokens` times as many.
void weighted_sum(benchmark::State& state, DataType type, std::size_t tokens) {
    constexpr std::size_t elements = 7168, top_k = 6;
    const std::size_t row_bytes = elements * element_bytes(type);
    const Memory rows = allocate(tokens * top_k * row_bytes), sums = allocate(tokens * row_bytes);
    std::vector<std::size_t> order(tokens * top_k);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, std::minstd_rand{});
    const WeightedSumKernel kernel = weighted_sum_kernel({type, type, type});
    std::size_t token = 0;
    for (auto _ : state) {
        Contribution parts[top_k];
        for (std::size_t k = 0; k < top_k; k++) parts[k] = {rows.get() + order[token * top_k + k] * row_bytes, 0.5F};
        run_weighted_sum(kernel, {sums.get() + token * row_bytes, parts, top_k, elements});
        token = (token + 1) % tokens;
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * row_bytes * (top_k + 1)));
    state.SetLabel(reduction_target());
}

using Copy = void (*)(void*, const void*, std::size_t);

void copy(benchmark::State& state, Copy way, std::size_t bytes, std::size_t behind) {
    const Memory source = allocate(bytes), destination = allocate(bytes + behind);
    for (auto _ : state) {
        way(destination.get() + behind, source.get(), bytes);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

void memcpy_of_libc(void* destination, const void* source, std::size_t bytes) {
    std::memcpy(destination, source, bytes);
}

void register_benchmarks() {
    for (const std::size_t behind : {0, 16, 64})
        for (const auto& [name, way] : {std::pair<const char*, Copy>{"memcpy", memcpy_of_libc},
                                      {"copy_bytes", copy_bytes}})
            benchmark::RegisterBenchmark((std::string{name} + "/8_KiB/behind:" + std::to_string(behind)).c_str(), copy,
                                         way, std::size_t{8} << 10, behind);
    for (const DataType type : {DataType::bfloat16, DataType::float16, DataType::float32})
        for (const auto& [where, tokens] : {std::pair{"cached", std::size_t{1}}, {"memory", std::size_t{2048}}})
            benchmark::RegisterBenchmark(("weighted_sum/" + std::string{name_of(type)} + "/6/" + where).c_str(),
                                         weighted_sum, type, tokens);
    constexpr std::size_t smallest_bytes = 8;
    constexpr std::size_t cached_bytes = std::size_t{8} << 10;
    constexpr std::size_t uncached_bytes = std::size_t{64} << 20;
    for (std::size_t type_index = 0; type_index < data_type_count; ++type_index) {
        const auto type = static_cast<DataType>(type_index);
        for (const std::uint32_t source_count : {2u, 4u}) {
            const std::string name = "sum/" + std::string{name_of(type)} + "/" + std::to_string(source_count);
            const auto add = [&](const std::string& where, std::size_t bytes, bool stream) {
                benchmark::RegisterBenchmark((name + where).c_str(), reduce, Shape{type, source_count, bytes, stream});
            };
            add("/8_bytes", smallest_bytes, false);
            add("/8_KiB", cached_bytes, false);
            add("/64_MiB", uncached_bytes, false);
            add("/64_MiB_streamed", uncached_bytes, true);
        }
    }
}

}  // namespace
}  // namespace tenon

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    tenon::register_benchmarks();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
