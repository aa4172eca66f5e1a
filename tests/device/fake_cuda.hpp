// A CUDA driver made of host memory and threads, behind the seam CudaApi: what the provider `cuda` does is tested
// without a GPU. It refuses what the driver refuses: calls without a context, opening a handle in the process that made
// it, addresses that are no device memory.
//
// A FakeMachine is what processes share; each FakeCuda on it is one process's driver. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "transports/device_link/cuda/cuda_api.hpp"

namespace tenon::support {

struct FakeMachine {
    int gpus = 2;
    int driver_version = 12040;
    std::size_t memory_bytes = 256 << 20;
    std::map<cuda::DeviceAttribute, int> attributes{
        {cuda::DeviceAttribute::processor_count, 4},          {cuda::DeviceAttribute::compute_capability_major, 9},
        {cuda::DeviceAttribute::compute_capability_minor, 0}, {cuda::DeviceAttribute::can_flush_remote_writes, 0},
        {cuda::DeviceAttribute::stream_waits_for_nor, 1},
    };
    bool reach_each_other = true;
    std::size_t queue_depth = 1024;  // of a stream: whoever enqueues more waits until there is room, as the driver does
    // What these calls of the driver give instead, by their names in the seam.
    std::map<std::string, cuda::Code> faults;

    struct Block {
        std::unique_ptr<std::byte[]> memory;
        std::size_t bytes = 0;
        int gpu = 0, process = 0;
    };
    std::mutex mutex;
    std::condition_variable word_changed;
    std::map<cuda::Address, Block> blocks;
    int processes = 0;
    // Made and not yet given back, of all processes: contexts, streams, events, modules, opened handles.
    std::map<std::string, int> held;
};

std::unique_ptr<cuda::CudaApi> make_fake_cuda(std::shared_ptr<FakeMachine> machine);

}  // namespace tenon::support
