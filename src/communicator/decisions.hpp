// What a communicator decides from facts about the machine and its configuration, and why: how to wait, when to reach
// memory directly, what to try. The same code decides and explains; `tenon info` shows it.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "execution/execution.hpp"
#include "execution/waiter.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

// Of a message: less is not worth a system call.
inline constexpr std::uint64_t kernel_copy_bytes = 8 << 10;
// Of a call: less is one line or a few, which a fence would cost more than.
inline constexpr std::uint64_t streaming_slot_bytes = 1 << 10;

struct Decision {
    std::string what, value, why;
};

struct Decisions {
    WaitPolicy wait;
    AccessPolicy access;
    bool try_kernel_copies = false;
    bool try_streaming_stores = false, always_streams = false;
    std::uint64_t streaming_min_bytes = 0;  // calls that move less never stream
    std::vector<Decision> explained;
};

Decisions decide(const Config& config, const Topology& topology);

}  // namespace tenon
