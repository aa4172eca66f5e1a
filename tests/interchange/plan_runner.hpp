// Runs the plans of all ranks on numbers, one lane step at a time in a random order, and compares what they leave in
// the outputs with the collective's definition. It knows plan.hpp and nothing else: neither the verifier nor the
// reader.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tenon/plugin/plan.hpp"

namespace tenon::interchange_test {

struct RunOptions {
    std::uint64_t count = 0;  // elements of a block
    std::uint64_t tile_elements = 16;
    bool in_place = false;
    bool average = false;    // instead of the sum
    std::uint64_t seed = 0;  // of the order in which lanes run
};

// Empty if every output is right; else what is wrong.
std::string run_and_compare(std::span<const Plan> plans, const RunOptions& options);

}  // namespace tenon::interchange_test
