#include "tests/support/rank_processes.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <stdexcept>

namespace tenon::support {
namespace {

void write_all(int descriptor, const void* bytes, std::size_t length) {
    const auto* from = static_cast<const char*>(bytes);
    while (length != 0) {
        const ssize_t written = write(descriptor, from, length);
        if (written < 0 && errno != EINTR) return;  // nobody reads any more
        if (written > 0) from += written, length -= static_cast<std::size_t>(written);
    }
}

void read_all(int descriptor, void* bytes, std::size_t length) {
    auto* to = static_cast<char*>(bytes);
    while (length != 0) {
        const ssize_t got = read(descriptor, to, length);
        if (got == 0 || (got < 0 && errno != EINTR))
            throw std::runtime_error("another rank ended before it shared its bytes");
        if (got > 0) to += got, length -= static_cast<std::size_t>(got);
    }
}

void make_pipe(int& read_end, int& write_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    read_end = ends[0];
    write_end = ends[1];
}

void close_all(std::vector<int>& descriptors) {
    for (int& d : descriptors) {
        if (d >= 0) close(d);
        d = -1;
    }
}

}  // namespace

std::int64_t now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

void RankProcess::share(std::span<std::byte> bytes) {
    if (rank_ != 0) return read_all(share_read_[static_cast<std::size_t>(rank_)], bytes.data(), bytes.size());
    for (int r = 1; r < rank_count_; r++)
        write_all(share_write_[static_cast<std::size_t>(r)], bytes.data(), bytes.size());
}

void RankProcess::tell(const std::string& line) const {
    std::string whole = line;
    std::ranges::replace(whole, '\n', ' ');
    whole += '\n';
    write_all(to_test_, whole.data(), whole.size());
}

std::string RankProcess::hear() {
    std::string line;
    for (char c = 0;; line += c) {
        read_all(from_test_, &c, 1);
        if (c == '\n') return line;
    }
}

RankProcesses::RankProcesses(int rank_count, const Body& body, std::chrono::milliseconds limit)
    : children_(static_cast<std::size_t>(rank_count)), deadline_(std::chrono::steady_clock::now() + limit) {
    signal(SIGPIPE, SIG_IGN);
    std::vector<int> share_read(children_.size(), -1), share_write(children_.size(), -1);
    for (std::size_t r = 1; r < children_.size(); r++) make_pipe(share_read[r], share_write[r]);
    for (int r = 0; r < rank_count; r++) start(r, body, share_read, share_write);
    close_all(share_read);
    close_all(share_write);
}

void RankProcesses::start(int rank, const Body& body, const std::vector<int>& share_read,
                          const std::vector<int>& share_write) {
    Child& child = children_[static_cast<std::size_t>(rank)];
    RankProcess self(rank, static_cast<int>(children_.size()));
    make_pipe(child.from, self.to_test_);
    make_pipe(self.from_test_, child.to);
    child.id = fork();
    if (child.id < 0) throw std::runtime_error("no process");
    if (child.id > 0) {
        close(self.to_test_);
        close(self.from_test_);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (Child& c : children_) close_pipes(c);  // the test's ends, of those that were started earlier too
    self.share_read_ = share_read;
    self.share_write_ = share_write;
    for (std::size_t r = 1; r < share_read.size(); r++) {
        if (rank != 0) close(share_write[r]);
        if (static_cast<std::size_t>(rank) != r) close(share_read[r]);
    }
    int exit_code = 0;
    try {
        self.tell(body(self));
    } catch (const std::exception& problem) {
        self.tell(std::string("exception: ") + problem.what());
        exit_code = 1;
    }
    _exit(exit_code);
}

RankProcesses::~RankProcesses() {
    kill_all();
    for (Child& c : children_) close_pipes(c);
}

void RankProcesses::close_pipes(Child& child) {
    for (int* d : {&child.from, &child.to}) {
        if (*d >= 0) close(*d);
        *d = -1;
    }
}

void RankProcesses::kill_all() {
    for (Child& c : children_) {
        if (c.ended || c.id <= 0) continue;
        kill(c.id, SIGKILL);
        waitpid(c.id, &c.status, 0);
        c.ended = true;
    }
}

bool RankProcesses::read_more(Child& child, int rank) {
    using namespace std::chrono;
    const auto left = duration_cast<milliseconds>(deadline_ - steady_clock::now()).count();
    pollfd waited{child.from, POLLIN, 0};
    if (left <= 0 || poll(&waited, 1, static_cast<int>(left)) == 0) {
        ADD_FAILURE() << "the time was over before rank " << rank << " had done its part; all ranks are killed";
        kill_all();
        return false;
    }
    char bytes[4096];
    const ssize_t got = read(child.from, bytes, sizeof bytes);
    if (got > 0) child.unread.append(bytes, static_cast<std::size_t>(got));
    return got > 0 || (got < 0 && errno == EINTR);
}

std::string RankProcesses::hear(int rank) {
    Child& child = children_[static_cast<std::size_t>(rank)];
    std::size_t end;
    while ((end = child.unread.find('\n')) == std::string::npos) {
        if (read_more(child, rank)) continue;
        ADD_FAILURE() << "rank " << rank << " ended without a word";
        return "";
    }
    const std::string line = child.unread.substr(0, end);
    child.unread.erase(0, end + 1);
    return line;
}

void RankProcesses::tell(int rank, const std::string& line) {
    const std::string whole = line + '\n';
    write_all(children_[static_cast<std::size_t>(rank)].to, whole.data(), whole.size());
}

void RankProcesses::send_signal(int rank, int signal) const { kill(id(rank), signal); }

Ending RankProcesses::wait(int rank) {
    Child& child = children_[static_cast<std::size_t>(rank)];
    while (read_more(child, rank)) {
    }
    if (!child.ended) waitpid(child.id, &child.status, 0);
    child.ended = true;
    Ending ending;
    std::string& lines = child.unread;
    if (!lines.empty() && lines.back() == '\n') lines.pop_back();
    ending.last_line = lines.substr(lines.rfind('\n') + 1);
    if (WIFEXITED(child.status)) ending.exit_code = WEXITSTATUS(child.status);
    if (WIFSIGNALED(child.status)) ending.signal = WTERMSIG(child.status);
    return ending;
}

std::vector<Ending> RankProcesses::wait_for_all() {
    std::vector<Ending> endings;
    for (std::size_t r = 0; r < children_.size(); r++) endings.push_back(wait(static_cast<int>(r)));
    return endings;
}

std::vector<std::string> RankProcesses::results() {
    std::vector<std::string> lines;
    for (const Ending& ending : wait_for_all()) {
        EXPECT_EQ(ending.exit_code, 0) << "rank " << lines.size() << ": signal " << ending.signal << ", "
                                       << ending.last_line;
        lines.push_back(ending.last_line);
    }
    return lines;
}

}  // namespace tenon::support
