// Routings as they were recorded somewhere: a text file, whose format perf/README.md has.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace tenon::perf {

struct MoeRecording {
    std::uint32_t ranks = 0, experts = 0, top_k = 0;
    std::vector<std::vector<std::int64_t>> choices;  // by rank: [tokens][top_k], -1 for none
};

// What is wrong, with the number of the line.
std::expected<MoeRecording, std::string> parse_moe_recording(std::string_view text);
// And with the name of the file.
std::expected<MoeRecording, std::string> read_moe_recording(const std::string& path);

}  // namespace tenon::perf
