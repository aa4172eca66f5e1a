// `tenon explain moe`: which way dispatch and combine would take among these ranks, flat or hierarchical, and why; with
// the bytes that each is expected to send over each level, and how long each is predicted to take.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "plan/cost.hpp"
#include "tools/tenon/worlds.hpp"

namespace tenon {

// DeepSeek-V4-Pro's shape, unless it is said otherwise.
struct MoeExplainOptions {
    std::uint32_t experts = 384, top_k = 6;
    std::uint64_t hidden = 7168, tokens = 4096;
    std::string dispatch_type = "bfloat16", combine_type = "bfloat16", layout = "expert";
};

void add_moe_options(CLI::App& command, MoeExplainOptions& options);
// The exit status: 2 for bad input.
int explain_moe(const MoeExplainOptions& options, const Topology& topology, const CostParameters& costs, bool as_json);

}  // namespace tenon
