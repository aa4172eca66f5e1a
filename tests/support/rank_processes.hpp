// Ranks as processes: forks one for each rank, exchanges lines with them, and sees to it that a test never hangs and
// leaves nobody behind. When the limit is over, the test fails and every child is killed.
//
// The test's own process must have no threads when it forks, and should not use Tenon itself. Used by one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace tenon::support {

// What a rank's process is given.
class RankProcess {
public:
    int rank() const { return rank_; }
    int rank_count() const { return rank_count_; }
    // Gives rank 0's bytes to all others; every rank calls.
    void share(std::span<std::byte> bytes);
    void tell(const std::string& line) const;
    std::string hear();

private:
    friend class RankProcesses;
    RankProcess(int rank, int rank_count) : rank_(rank), rank_count_(rank_count) {}
    int rank_, rank_count_;
    int to_test_ = -1, from_test_ = -1;
    std::vector<int> share_read_, share_write_;  // by rank
};

struct Ending {
    std::string last_line;  // what the body returned
    int exit_code = -1;     // -1 where a signal ended it
    int signal = 0;
};

class RankProcesses {
public:
    // What it returns is the rank's last line.
    using Body = std::function<std::string(RankProcess&)>;
    static constexpr std::chrono::seconds usual_limit{100};

    RankProcesses(int rank_count, const Body& body, std::chrono::milliseconds limit = usual_limit);
    ~RankProcesses();
    RankProcesses(const RankProcesses&) = delete;
    RankProcesses& operator=(const RankProcesses&) = delete;

    pid_t id(int rank) const { return children_[static_cast<std::size_t>(rank)].id; }
    // The rank's next line; "" with a failed test where none comes.
    std::string hear(int rank);
    void tell(int rank, const std::string& line);
    void send_signal(int rank, int signal) const;
    // Waits until a rank has ended; its remaining lines are read first, and the last of them kept.
    Ending wait(int rank);
    std::vector<Ending> wait_for_all();
    // The last lines of all ranks, which must have ended in good order.
    std::vector<std::string> results();

private:
    struct Child {
        pid_t id = -1;
        int from = -1, to = -1;
        std::string unread;
        bool ended = false;
        int status = 0;
    };
    void start(int rank, const Body& body, const std::vector<int>& share_read, const std::vector<int>& share_write);
    bool read_more(Child& child, int rank);  // false at the end of its lines, or of the time
    void close_pipes(Child& child);
    void kill_all();

    std::vector<Child> children_;
    std::chrono::steady_clock::time_point deadline_;
};

// Of this machine, for all of its processes: steady_clock in milliseconds.
std::int64_t now_ms();

}  // namespace tenon::support
