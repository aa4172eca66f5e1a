// Names for jobs that are started here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tenon {

inline constexpr std::size_t job_name_limit = 64;

// A name that no other job has, "perf-4711-00f3...": at most 64 characters when `kind` has at most 30.
std::string new_job_name(std::string_view kind);

}  // namespace tenon
