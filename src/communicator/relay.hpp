// Tells other hosts what a host's ranks know of each other beside messages (JobControl), and the other way round: the
// job's one error, who has left, and, of ranks that stand still in a call, which calls they have made.
//
// One rank of each host, the lowest, has the Relay, with a thread of its own, and the host's edges of the tree over the
// hosts. What comes over one edge goes out over all others. A rank of this host that dies, and a host that is gone or
// out of reach, are the job's error, which names who and who noticed: the latter in the time that TcpSocket::reach()
// adds up, however deep the tree is, since each of its edges is watched from both ends. Nothing here is on the way of a
// message.
//
// A Relay goes on after its communicator has left, for the others' sake, until all ranks of the job have left, the job
// has failed and this host's have left, or the process ends; then it says goodbye. run() is one thread's, the rest
// anyone's.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "bootstrap/meeting.hpp"
#include "communicator/job_control.hpp"
#include "communicator/job.hpp"
#include "os/clock.hpp"

namespace tenon {

class Relay {
public:
    // Starts the thread; `rank` is the host's lowest.
    static Result<std::shared_ptr<Relay>> start(const Job& job, Rank rank, std::vector<HostLink> links);
    ~Relay();

    // Tells what there is to tell now, rather than within the next tick.
    void tell_now();

    void run();
    void stop();
    bool finished() const { return finished_.load(std::memory_order_acquire); }

private:
    struct Edge {
        HostLink link;
        std::vector<std::byte> leaving, arriving;
        bool said_goodbye = false;
        bool open() const { return link.socket.descriptor().valid(); }
    };
    struct Frame;

    Relay(const Job& job, Rank rank, std::vector<HostLink> links, os::WakeSignal wake);
    bool is_own(Rank rank) const { return job_.on_one_host(rank, rank_); }
    void watch_processes();
    void wait();
    std::vector<pollfd> what_to_watch();
    void tick();
    void tell_failure();
    void tell_who_left();  // and, before, of a failure
    void tell_calls_of_those_who_stand_still();
    void tell_calls_of(Rank rank, const JobControl::Calls& calls);
    void look_for_deaths();
    void look_for_silent_hosts();
    bool is_over() const;
    bool speaks_for_others() const;
    void say_goodbye();

    void tell(const Frame& frame, const Edge* except = nullptr);
    static void say(Edge& edge, const Frame& frame);
    void send_what_waits(Edge& edge);
    void receive(Edge& edge);
    void take_frames(Edge& edge);
    void take(Edge& edge, const Frame& frame);
    void lost(Edge& edge, const Error& why);
    std::string words_for(std::int32_t host) const;

    Job job_;
    Rank rank_;
    JobControl control_;
    os::WakeSignal wake_;
    std::mutex mutex_;  // of what follows
    std::vector<Edge> edges_;
    std::vector<os::FileDescriptor> processes_;  // of this host's ranks in other processes; by rank
    std::vector<bool> died_, told_left_;         // by rank
    std::vector<std::uint64_t> last_call_, told_call_;  // by rank
    std::uint64_t last_look_at_calls_ns_ = 0;
    os::Deadline next_look_at_hosts_ = os::Deadline::after_ms(0);
    bool told_failure_ = false;
    std::atomic<bool> stopped_{false}, finished_{false};
};

}  // namespace tenon
