// Accelerators: gradients are added up on the devices, in the order of the devices' own streams.
//
// Each rank is a thread with a device: emulated ones, made of host memory, or those of the kind named on the command
// line (08_accelerators cuda), of which there must be one for each rank. The host enqueues what comes after the sum at
// once; it waits only at the end, for the result.
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "tenon/device.hpp"
#include "tenon/tenon.hpp"

namespace {

constexpr int rank_count = 4, steps = 3;
constexpr std::size_t size = 100'000;

bool run_rank(const std::string& kind, int rank, const tenonUniqueId& id) {
    const tenon::Device device(kind + ":" + std::to_string(rank));
    tenon::Communicator ranks(rank_count, id, rank, {.device = device});
    const tenon::DeviceMemory<float> gradient(device, size), sum(device, size);
    std::vector<float> values(size), result(size);
    for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<float>(i % 100 + static_cast<std::size_t>(rank));

    tenon::DeviceStream compute(device), communication(device);
    tenon::Event ready;
    compute.copy_to(gradient, values);  // in place of the backward pass
    ready.record(compute);
    communication.wait(ready);
    for (int step = 0; step < steps; ++step) ranks.all_reduce(gradient, sum, tenonSum, communication);
    communication.copy_from(sum, result);
    communication.synchronize();  // throws what went wrong, such as a rank that did not come

    for (std::size_t i = 0; i < size; ++i)
        if (result[i] != static_cast<float>(4 * (i % 100) + 6)) {  // 0 + 1 + 2 + 3
            std::fprintf(stderr, "rank %d: element %zu is %g\n", rank, i, static_cast<double>(result[i]));
            return false;
        }
    std::printf("rank %d: %zu gradients added up on %s:%d\n", rank, size, kind.c_str(), rank);
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string kind = argc > 1 ? argv[1] : "emulated";
    const tenonUniqueId id = tenon::unique_id();
    std::vector<int> statuses(rank_count, 1);
    {
        std::vector<std::jthread> threads;
        for (int rank = 0; rank < rank_count; ++rank)
            threads.emplace_back([&, rank] {
                try {
                    statuses[static_cast<std::size_t>(rank)] = run_rank(kind, rank, id) ? 0 : 1;
                } catch (const std::exception& error) {
                    std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
                }
            });
    }
    for (const int status : statuses)
        if (status != 0) return status;
    return 0;
}
