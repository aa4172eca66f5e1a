// What a rank of a job tells rank 0 for the map of the job. A JSON object, bounded and read as strictly as a file:
//   "reached": [[first, count, "tcp", ["eth0"]], ...]    how it reaches the others, in order (topology/job_map.hpp)
//   "machine": "..."                                     of a host's lowest rank: its machine, as Tenon's own JSON
//   "problem": "..."                                     instead, where that could not be had
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "topology/job_map.hpp"

namespace tenon {

struct JobReport {
    std::vector<ReachedRanks> reached{};
    std::optional<Map> machine{};
    std::string problem{};
    friend bool operator==(const JobReport&, const JobReport&) = default;
};

inline constexpr std::uint64_t most_report_bytes = 64 << 20;

// A report that would be longer says only that.
std::string text_of(const JobReport& report);
// An error begins with `name`, and says where in the text something is wrong, and why.
Result<JobReport> read_job_report(std::string_view text, std::string_view name);

}  // namespace tenon
