// Calls whose plan is chosen, built and bound, ready to run again: a bounded, direct-mapped cache by the call's agreed
// part. Not thread-safe; belongs to a communicator.
#pragma once

#include <memory>
#include <vector>

#include "communicator/call.hpp"
#include "communicator/traffic.hpp"
#include "exchange/exchange.hpp"
#include "execution/execution.hpp"
#include "execution/path_trial.hpp"

namespace tenon {

struct CallKey {
    std::uint64_t count = 0;
    std::uint32_t what = UINT32_MAX;  // collective, type, op
    Rank root = 0;
    friend bool operator==(const CallKey&, const CallKey&) = default;

    static CallKey of(const Call& call) {
        // The counts of v-calls differ between ranks, whose caches must stay alike; a v-call's arrays are compared
        // apart.
        return {is_v(call.collective) ? 0 : call.count,
                static_cast<std::uint32_t>(call.collective) << 16 | static_cast<std::uint32_t>(call.type) << 8 |
                    static_cast<std::uint32_t>(call.op),
                call.root};
    }
};

// A call's agreed part in its caller's own numbers, unchecked: equal words mean the same call.
struct CallWords {
    std::uint64_t count = 0;
    std::uint64_t type_and_op = UINT64_MAX;
    std::uint64_t collective_and_root = UINT64_MAX;  // of no call
    friend bool operator==(const CallWords&, const CallWords&) = default;
};

struct PreparedCall {
    CallKey key;
    Program program;
    ProgramTraffic traffic;
    bool copies_input_in_place = false;  // the algorithm does not run in place: the input is copied first
    bool needs_send = true, needs_receive = true;
    std::uint64_t input_bytes = 0, output_bytes = 0;
    std::uint64_t count = 0;             // of a v-call: what the program was made for, and
    std::vector<std::size_t> arrays;
    AccessPolicy access;
    PathTrial* path = nullptr;           // of its kind and size; null: there is nothing to try
    std::uint64_t path_bytes = 0;
    std::uint32_t path_beginnings = 0;   // of the trial, when `access` was decided
    bool settled = true;                 // `access` stays as it is, until the trial begins again
};

class PreparedCalls {
public:
    PreparedCalls() : entries_(slots) {}
    PreparedCall* find(const CallKey& key) {
        PreparedCall* p = entries_[slot(key)].get();
        return p != nullptr && p->key == key ? p : nullptr;
    }
    PreparedCall* put(std::unique_ptr<PreparedCall> call) {
        auto& entry = entries_[slot(call->key)];
        entry = std::move(call);
        return entry.get();
    }

private:
    static constexpr std::size_t slots = 256;
    static std::size_t slot(const CallKey& key) {
        std::uint64_t h =
            (key.count ^ static_cast<std::uint64_t>(key.what) << 40 ^ static_cast<std::uint64_t>(key.root) << 20) *
            0x9e3779b97f4a7c15u;
        return h >> 56;
    }
    std::vector<std::unique_ptr<PreparedCall>> entries_;
};

}  // namespace tenon
