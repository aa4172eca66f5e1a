#include "os/process.hpp"

#include <fmt/format.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <string>

#include "os/clock.hpp"
#include "os/system_error.hpp"

namespace tenon::os {
namespace {

static_assert(core_count_limit == CPU_SETSIZE);

ProcessToken token;

// Runs in a forked child too, where nothing but system calls is allowed. Cannot fail: 16 bytes are never cut short,
// and the kernel's pool is ready long before user processes are.
void make_token() { static_cast<void>(getrandom(&token, sizeof token, 0)); }

}  // namespace

Result<CoreSet> cores_of_this_thread() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return system_error(fmt::format("cannot read the allowed cores (Tenon knows up to {})", core_count_limit));
    CoreSet cores;
    for (std::size_t core = 0; core < core_count_limit; core++) cores[core] = CPU_ISSET(core, &set);
    return cores;
}

std::vector<int> core_list(const CoreSet& cores) {
    std::vector<int> list;
    for (std::size_t core = 0; core < core_count_limit; core++)
        if (cores[core]) list.push_back(static_cast<int>(core));
    return list;
}

Result<void> run_this_thread_on(const CoreSet& cores) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : core_list(cores)) CPU_SET(static_cast<std::size_t>(core), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) return system_error("cannot choose the cores of a thread");
    return {};
}

pid_t process_id() { return getpid(); }
pid_t parent_process_id() { return getppid(); }
uid_t user_id() { return geteuid(); }

std::string host_name() {
    std::array<char, 256> name{};
    if (gethostname(name.data(), name.size() - 1) != 0) return "unknown-host";
    return name.data();
}

Result<void> fill_random(std::span<std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t filled = getrandom(bytes.data(), bytes.size(), 0);
        if (filled < 0 && errno != EINTR) return system_error("cannot get random bytes");
        if (filled > 0) bytes = bytes.subspan(static_cast<std::size_t>(filled));
    }
    return {};
}

ProcessToken process_token() {
    static const bool made = [] {
        make_token();
        return pthread_atfork(nullptr, nullptr, make_token) == 0;
    }();
    static_cast<void>(made);
    return token;
}

Result<FileDescriptor> watch_process(pid_t process) {
    FileDescriptor watch{static_cast<int>(syscall(SYS_pidfd_open, process, 0))};
    if (watch.valid()) return watch;
    if (errno == ESRCH) return fail(Status::remote_error, fmt::format("process {} has ended", process));
    return system_error(fmt::format("cannot watch process {}", process));
}

bool has_ended(const FileDescriptor& process) {
    pollfd look{process.number(), POLLIN, 0};
    return poll(&look, 1, 0) > 0 && (look.revents & POLLIN) != 0;
}

bool is_stopped(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string line;
    if (!std::getline(file, line)) return false;
    // "number (name) state ...": the name may hold anything.
    const std::size_t name_end = line.rfind(')');
    return name_end != std::string::npos && name_end + 2 < line.size() &&
           (line[name_end + 2] == 'T' || line[name_end + 2] == 't');
}

std::uint64_t descriptor_limit() {
    rlimit limit{};
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

void fence_all_threads() {
    static const bool registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (registered && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    sleep_ms(1);  // longer than any store stays in a core's buffer
}

}  // namespace tenon::os
