#include "tools/tenon/local_ranks.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "tools/tenon/line_prefixer.hpp"
#include "tools/tenon/orphan_guard.hpp"

namespace tenon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

struct OutputPipe {
    int from = -1;  // the reading end here, -1 when the writers are gone
    int to = -1;    // STDOUT_FILENO or STDERR_FILENO
    LinePrefixer lines;
};

// False when nobody reads any more.
bool write_all(int descriptor, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

std::string how_it_ended(const siginfo_t& end) {
    if (end.si_code == CLD_EXITED) return fmt::format("ended with exit status {}", end.si_status);
    const char* name = ::sigabbrev_np(end.si_status);
    return fmt::format("was ended by signal {} (SIG{})", end.si_status, name ? name : "?");
}

class Job {
public:
    Job(const LocalRanks& options, OrphanGuard guard)
        : options_(options), guard_(std::move(guard)), lifeline_(options.lifeline) {
        ::sigemptyset(&handled_);
        for (const int signal : forwarded) ::sigaddset(&handled_, signal);
        ::sigaddset(&handled_, SIGCHLD);
        ::sigaddset(&handled_, SIGTSTP);
        // A shell starts background jobs with SIGINT and SIGQUIT ignored; what asks this job to end must reach it.
        for (const int signal : {SIGINT, SIGQUIT, SIGTERM}) ::signal(signal, SIG_DFL);
        broken_pipe_before_ = ::signal(SIGPIPE, SIG_IGN);
        ::sigprocmask(SIG_BLOCK, &handled_, &mask_before_);
        signals_ = ::signalfd(-1, &handled_, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    Job(const Job&) = delete;
    ~Job() {
        if (living_ > 0) {  // not all could be started
            status_ = 1;
            signal_ranks(SIGKILL);
            reap(0);
        }
        for (const OutputPipe& pipe : pipes_)
            if (pipe.from >= 0) ::close(pipe.from);
        ::close(signals_);
        ::signal(SIGPIPE, broken_pipe_before_);
        ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
    }

    Result<void> start() {
        const pid_t parent = ::getpid();
        for (Rank rank = 0; rank < options_.rank_count; rank++)
            if (auto started = start_rank(rank, parent); !started) return started;
        return {};
    }

    int supervise() {
        while (living_ > 0) {
            wait_for_news();
            take_signals();
            read_pipes();
            if (kill_at_ && Clock::now() >= *kill_at_) kill_the_rest();
        }
        read_pipes();
        for (OutputPipe& pipe : pipes_) show(pipe, pipe.lines.finish());
        return status_;
    }

private:
    Result<void> start_rank(Rank rank, pid_t parent) {
        int output[2] = {-1, -1}, errors[2] = {-1, -1};
        if (options_.prefix_output && (::pipe2(output, O_CLOEXEC) != 0 || ::pipe2(errors, O_CLOEXEC) != 0)) {
            const int error = errno;
            for (const int end : {output[0], output[1]})
                if (end >= 0) ::close(end);
            return cannot_start(rank, error);
        }
        const pid_t pid = ::fork();
        if (pid == 0) be_rank(rank, parent, output, errors);
        const int error = errno;
        if (options_.prefix_output) {
            for (auto [pipe, to] : {std::pair{output, STDOUT_FILENO}, std::pair{errors, STDERR_FILENO}}) {
                ::close(pipe[1]);
                ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
                pipes_.push_back({pipe[0], to, LinePrefixer{fmt::format("[{}] ", options_.label(rank))}});
            }
        }
        if (pid < 0) return cannot_start(rank, error);
        ::setpgid(pid, pid);  // here too: a signal may come before the rank has done it itself
        guard_.watch(pid);
        ranks_.push_back(pid);
        living_++;
        return {};
    }

    std::string name_of(Rank rank) const { return fmt::format("{} {}", options_.what, options_.label(rank)); }

    Result<void> cannot_start(Rank rank, int error) const {
        return fail(Status::system_error,
                    fmt::format("cannot start {}: {}; start fewer ranks or raise the limits (ulimit -u, ulimit -n)",
                                name_of(rank), ::strerror(error)));
    }

    [[noreturn]] void be_rank(Rank rank, pid_t parent, const int (&output)[2], const int (&errors)[2]) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        ::setpgid(0, 0);
        ::close(signals_);
        guard_.close_in_child();
        for (const OutputPipe& pipe : pipes_)
            if (pipe.from >= 0) ::close(pipe.from);
        if (options_.prefix_output) {
            ::dup2(output[1], STDOUT_FILENO);
            ::dup2(errors[1], STDERR_FILENO);
            for (const int end : {output[0], output[1], errors[0], errors[1]}) ::close(end);
        }
        // One process can read from the standard input, and from a terminal none that is in a group of its own.
        if (rank != 0 || ::isatty(STDIN_FILENO)) {
            const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
            ::dup2(nothing, STDIN_FILENO);
            ::close(nothing);
        }
        ::signal(SIGPIPE, broken_pipe_before_);
        ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
        const int status = options_.rank_main(rank);
        ::fflush(nullptr);
        ::_exit(status);
    }

    void wait_for_news() {
        polled_ = {{signals_, POLLIN, 0}, {lifeline_, POLLIN, 0}};
        for (const OutputPipe& pipe : pipes_) polled_.push_back({pipe.from, POLLIN, 0});
        int timeout_ms = -1;
        if (kill_at_) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*kill_at_ - Clock::now()).count();
            timeout_ms = static_cast<int>(std::max<std::int64_t>(left, 0));
        }
        ::poll(polled_.data(), polled_.size(), timeout_ms);
        if (lifeline_ >= 0 && polled_[1].revents != 0) look_at_lifeline();
    }

    // Whatever it says is ignored; its end is what counts.
    void look_at_lifeline() {
        char ignored[256];
        const ssize_t got = ::read(lifeline_, ignored, sizeof ignored);
        if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
        lifeline_ = -1;
        if (status_ == 0) status_ = 128 + SIGHUP;
        end_the_rest();
    }

    void take_signals() {
        signalfd_siginfo signal;
        while (::read(signals_, &signal, sizeof signal) == sizeof signal) {
            const int number = static_cast<int>(signal.ssi_signo);
            if (number == SIGCHLD)
                reap(WNOHANG);
            else if (number == SIGTSTP)
                stop_together();
            else
                forward(number);
        }
    }

    void forward(int signal) {
        const bool asks_to_end = signal == SIGINT || signal == SIGTERM;
        if (asks_to_end && asked_to_end_) end_the_rest();
        asked_to_end_ |= asks_to_end;
        signal_ranks(signal);
    }

    void stop_together() {
        signal_ranks(SIGSTOP);
        ::raise(SIGSTOP);
        signal_ranks(SIGCONT);
    }

    // Ends are looked at before they are collected: until then the rank's number names its group and nothing else.
    void reap(int flags) {
        for (std::size_t rank = 0; rank < ranks_.size(); rank++) {
            if (ranks_[rank] == 0) continue;
            siginfo_t end{};
            if (::waitid(P_PID, static_cast<id_t>(ranks_[rank]), &end, WEXITED | WNOWAIT | flags) != 0 ||
                end.si_pid == 0)
                continue;
            ::kill(-ranks_[rank], SIGKILL);
            guard_.forget(ranks_[rank]);
            ::waitid(P_PID, static_cast<id_t>(ranks_[rank]), &end, WEXITED);
            ranks_[rank] = 0;
            living_--;
            note_end(static_cast<Rank>(rank), end);
        }
    }

    void note_end(Rank rank, const siginfo_t& end) {
        if (status_ != 0 || (end.si_code == CLD_EXITED && end.si_status == 0)) return;
        status_ = end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status;
        read_pipes();  // its last words come before ours
        say(fmt::format("{} {}{}", name_of(rank), how_it_ended(end),
                        living_ > 0 ? fmt::format("; ending the other {}s", options_.what) : ""));
        end_the_rest();
    }

    void end_the_rest() {
        if (std::exchange(ending_, true)) return;
        kill_at_ = Clock::now() + options_.grace;
        signal_ranks(SIGTERM);
        signal_ranks(SIGCONT);  // a stopped rank takes the signal only when it goes on
    }

    void kill_the_rest() {
        for (std::size_t rank = 0; rank < ranks_.size(); rank++)
            if (ranks_[rank] != 0)
                say(fmt::format("{} did not end within {} ms of SIGTERM: killed", name_of(static_cast<Rank>(rank)),
                                options_.grace.count()));
        kill_at_.reset();
        signal_ranks(SIGKILL);
    }

    void signal_ranks(int signal) {
        for (const pid_t group : ranks_)
            if (group != 0) ::kill(-group, signal);
    }

    void read_pipes() {
        char bytes[16 * 1024];
        for (OutputPipe& pipe : pipes_) {
            // More than a pipe holds, so that nothing is left of a rank that has ended; bounded, so that one that never
            // stops writing does not keep us from the others.
            for (int reads = 0; reads < 16 && pipe.from >= 0; reads++) {
                const ssize_t got = ::read(pipe.from, bytes, sizeof bytes);
                if (got > 0)
                    show(pipe, pipe.lines.add({bytes, static_cast<std::size_t>(got)}));
                else if (got == 0)
                    ::close(std::exchange(pipe.from, -1));
                else if (errno != EINTR)
                    break;
            }
        }
    }

    // When nobody reads our output (`tenon run .. | head`), the job ends as a single program would.
    void show(const OutputPipe& pipe, std::string_view lines) {
        if (write_all(pipe.to, lines)) return;
        if (status_ == 0) status_ = 128 + SIGPIPE;
        end_the_rest();
    }

    void say(std::string_view line) {
        if (options_.report) options_.report(line);
    }

    const LocalRanks& options_;
    OrphanGuard guard_;
    sigset_t handled_{}, mask_before_{};
    void (*broken_pipe_before_)(int) = SIG_DFL;
    int signals_ = -1;
    int lifeline_;
    std::vector<pid_t> ranks_;  // 0: has ended
    std::vector<OutputPipe> pipes_;
    std::vector<pollfd> polled_;
    Rank living_ = 0;
    int status_ = 0;
    bool asked_to_end_ = false;
    bool ending_ = false;
    std::optional<Clock::time_point> kill_at_;
};

}  // namespace

Result<int> run_local_ranks(const LocalRanks& job) {
    auto guard = OrphanGuard::start();
    if (!guard) return std::unexpected(guard.error());
    Job running{job, std::move(*guard)};
    if (auto started = running.start(); !started) return std::unexpected(started.error());
    return running.supervise();
}

}  // namespace tenon
