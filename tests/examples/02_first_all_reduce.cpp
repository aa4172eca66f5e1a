// The first all-reduce, in C++: four threads of one process, each with its own numbers, end with the sum of all of
// them.
//
// Handles release themselves, buffers know their type and size, and what fails throws. The calls would be the same
// between processes: only how the communicators are made would differ (see 01_first_all_reduce.c).
#include <cstdio>
#include <exception>
#include <numeric>
#include <tenon/tenon.hpp>
#include <thread>
#include <vector>

namespace {

constexpr int rank_count = 4;
constexpr std::size_t count = 1000;

bool run_rank(tenon::Communicator& ranks) {
    std::vector<double> values(count);
    std::iota(values.begin(), values.end(), static_cast<double>(ranks.rank()) * count);

    // One buffer is both input and output; two are kept apart. The type comes from the buffer, sum is the default.
    std::vector<double> largest(count);
    ranks.all_reduce(values, largest, tenonMax);
    ranks.all_reduce(values);

    // Memory that other ranks reach directly saves them a copy when it is large.
    tenon::Memory<double> average(count);
    ranks.all_reduce(largest, average, tenonAvg);

    for (std::size_t i = 0; i < count; ++i) {
        const auto x = static_cast<double>(i);
        const bool right =
            values[i] == 6.0 * count + 4 * x && largest[i] == 3.0 * count + x && average[i] == largest[i];
        if (!right) return std::fprintf(stderr, "rank %d: element %zu is wrong\n", ranks.rank(), i), false;
    }
    std::printf("rank %d: sum[1] is %g, by %s\n", ranks.rank(), values[1],
                ranks.algorithm(tenonCollectiveAllReduce, count, tenonFloat64).c_str());
    return true;
}

}  // namespace

int main() try {
    std::vector<tenon::Communicator> communicators = tenon::Communicator::create_all(rank_count);
    std::vector<int> right(rank_count);
    std::vector<std::thread> threads;
    for (tenon::Communicator& ranks : communicators)
        threads.emplace_back([&ranks, &right] {
            try {
                right[static_cast<std::size_t>(ranks.rank())] = run_rank(ranks);
            } catch (const tenon::Exception& error) {
                std::fprintf(stderr, "%s\n", error.what());
                ranks.abort();  // so that the others do not wait for this rank
            }
        });
    for (std::thread& thread : threads) thread.join();
    return std::accumulate(right.begin(), right.end(), 0) == rank_count ? 0 : 1;
} catch (const std::exception& error) {
    return std::fprintf(stderr, "%s\n", error.what()), 1;
}
