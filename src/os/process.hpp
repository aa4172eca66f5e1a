// Facts about this process and its machine: identity, the cores it may run on, randomness.
#pragma once

#include <sys/types.h>

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "os/file_descriptor.hpp"

namespace tenon::os {

inline constexpr std::size_t core_count_limit = 1024;
using CoreSet = std::bitset<core_count_limit>;  // bit n: core n, as the kernel numbers them

Result<CoreSet> cores_of_this_thread();
std::vector<int> core_list(const CoreSet& cores);  // ascending
Result<void> run_this_thread_on(const CoreSet& cores);

pid_t process_id();
pid_t parent_process_id();
uid_t user_id();  // effective
std::string host_name();

Result<void> fill_random(std::span<std::byte> bytes);

// Tells processes apart where numbers cannot: 128 random bits, made once per process and again in a forked child.
struct ProcessToken {
    std::uint64_t high = 0, low = 0;
    friend auto operator<=>(const ProcessToken&, const ProcessToken&) = default;
};
ProcessToken process_token();

// A descriptor that becomes readable when the process ends (pidfd), also if forked children still hold its sockets.
// Status::remote_error when there is no such process (any more).
Result<FileDescriptor> watch_process(pid_t process);
// Has the process that this descriptor watches ended? Does not wait.
bool has_ended(const FileDescriptor& process);
// Has a signal (SIGSTOP, a debugger) stopped the process? False also where the system does not say.
bool is_stopped(pid_t process);
// How many descriptors this process may have (RLIMIT_NOFILE).
std::uint64_t descriptor_limit();
// After this returns, every thread of this process that reads what was written before sees it, without a fence of its
// own. For rare writers against frequent readers.
void fence_all_threads();

}  // namespace tenon::os
