#include "tools/tenon/orphan_guard.hpp"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>

namespace tenon {
namespace {

// Positive: a group to watch. Negative: one to forget. The end of the pipe: the parent is gone.
[[noreturn]] void guard_main(int pipe) {
    ::setpgid(0, 0);  // what kills the parent's group must not kill the guard
    std::set<pid_t> groups;
    pid_t message = 0;
    while (true) {
        const ssize_t got = ::read(pipe, &message, sizeof message);
        if (got < 0 && errno == EINTR) continue;
        if (got != sizeof message) break;
        if (message > 0)
            groups.insert(message);
        else
            groups.erase(-message);
    }
    for (const pid_t group : groups) ::kill(-group, SIGKILL);
    ::_exit(0);
}

}  // namespace

Result<OrphanGuard> OrphanGuard::start() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return fail(Status::system_error, std::string("cannot make a pipe: ") + ::strerror(errno));
    const pid_t pid = ::fork();
    if (pid < 0) {
        const int error = errno;
        ::close(ends[0]);
        ::close(ends[1]);
        return fail(Status::system_error, std::string("cannot start a process: ") + ::strerror(error));
    }
    if (pid == 0) {
        ::close(ends[1]);
        guard_main(ends[0]);
    }
    ::close(ends[0]);
    return OrphanGuard{pid, ends[1]};
}

OrphanGuard::OrphanGuard(OrphanGuard&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), pipe_(std::exchange(other.pipe_, -1)) {}

OrphanGuard::~OrphanGuard() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    if (pipe_ >= 0) ::close(pipe_);
}

void OrphanGuard::watch(pid_t group) { tell(group); }
void OrphanGuard::forget(pid_t group) { tell(-group); }

void OrphanGuard::tell(pid_t group) {
    // A message is smaller than PIPE_BUF, so it is written whole or not at all; without the guard the ranks still end.
    while (::write(pipe_, &group, sizeof group) < 0 && errno == EINTR) {
    }
}

void OrphanGuard::close_in_child() {
    pid_ = 0;
    ::close(std::exchange(pipe_, -1));
}

}  // namespace tenon
