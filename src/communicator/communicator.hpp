// A communicator: one rank's membership in a group of ranks, and what users hold. Joins the parts: selection chooses an
// algorithm, the plan is built, bound and cached, the executor runs it, and the watch keeps every wait finite.
//
// Threads: run(), start(), poll() and split() by one thread at a time (the order of calls is what the ranks agree on);
// abort(), failure() and the queries at any time.
// Invariants: a call that is refused by its arguments changes nothing; any other error fails the communicator, on this
// rank and, through the job's control area, on all. Nothing on the fast path allocates, logs or reads the environment.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "communicator/call.hpp"
#include "communicator/communicator_memory.hpp"
#include "communicator/decisions.hpp"
#include "communicator/device_calls.hpp"
#include "communicator/job.hpp"
#include "communicator/job_control.hpp"
#include "communicator/late_wait.hpp"
#include "communicator/prepared.hpp"
#include "communicator/relay.hpp"
#include "communicator/traffic.hpp"
#include "config/config.hpp"
#include "execution/execution.hpp"
#include "execution/waiter.hpp"
#include "os/memory.hpp"
#include "plan/cache.hpp"
#include "selection/selection.hpp"

namespace tenon {

class Communicator final : private Watch, private DeviceCalls::Owner {
public:
    // Whether there can be such a rank among so many.
    static Result<void> check_place(Rank rank, Rank rank_count);
    // `device`: whose memory its calls may use, too; null: of none. Setting `aborted` ends the wait for the other
    // ranks; null where nothing can.
    static Result<std::unique_ptr<Communicator>> join(const UniqueId& id, Rank rank, Rank rank_count,
                                                      const Config& config, std::shared_ptr<OpenDevice> device = {},
                                                      const std::atomic<bool>* aborted = nullptr);
    // All ranks of a job within this process.
    static Result<std::vector<std::unique_ptr<Communicator>>> make_local(Rank rank_count, const Config& config);
    ~Communicator() override;
    Communicator(const Communicator&) = delete;
    Communicator& operator=(const Communicator&) = delete;

    // Runs a call in this thread; returns when it is done. A send or a receive must not be to this rank itself, which
    // only a group can be.
    Result<void> run(const Call& call);

    // The same for a call like the last small one, as the caller's own words for it say: the shortest way from a call
    // to its first message. When it is true, the call counts, and repeat() must follow; when false, nothing has
    // happened.
    bool repeats(const CallWords& words, const void* send, const void* receive) {
        return nothing_stands_in_the_way() && words == repeated_ && runs_as_it_is(send, receive, *running_small_) &&
               running_small_->settled && runs_as_found(*running_small_);
    }
    Result<void> repeat(const void* send, void* receive) { return run_small(send, receive, *running_small_); }
    // After run(call): from now on, `words` mean this call, if it is a small one.
    void remember(const CallWords& words);

    // The same in pieces, for a thread that runs several at once: start, then poll until done.
    Result<void> start(const Call& call);
    Result<void> start(std::span<const PointToPoint> calls);
    Progress poll(Backoff& backoff);
    const Error& fail_call();
    Error poll_error() const { return execution_error_; }
    bool moved() const { return execution_.moved(); }
    // How many calls have tried a way of moving bytes (PathTrial): the same on every rank after the same calls.
    std::uint64_t tries() const { return tries_; }

    // A call, or an exchange that is one (`call` is its record, but for the number), by who has the turn: returns when
    // it is done. `begin` is given the signature of its messages.
    Result<void> run_in_turn(const Call& call);
    Result<void> run_in_turn(Work& exchange, const CallRecord& call,
                             const std::function<Result<void>(std::uint32_t)>& begin);
    Transport& transport() { return *transport_; }
    bool is_networked() const { return is_networked_; }
    const Decisions& decisions() const { return decisions_; }
    // Of groups of MoE: the same on every rank that makes them in the same order.
    std::uint32_t next_moe_group() { return ++moe_groups_; }

    // All ranks call; null for a rank that joins none (color < 0).
    Result<std::unique_ptr<Communicator>> split(int color, int key, const Config& config,
                                                std::shared_ptr<OpenDevice> device = {});

    // Null where its calls are of the host's memory only.
    DeviceCalls* device_calls() const { return device_calls_.get(); }
    // Puts a call, or sends and receives that are one, on a stream of the device, after what streams of the host have
    // of this communicator. By the thread that makes the calls.
    Result<void> issue(const Call& call, const std::shared_ptr<DeviceStream>& stream);
    Result<void> issue(std::span<const Call> sends_and_receives, const std::shared_ptr<DeviceStream>& stream);
    Result<bool> enqueue_more();  // see DeviceCalls

    void abort();
    bool aborted() const { return aborted_.load(std::memory_order_relaxed); }
    void leave();
    // For what keeps this rank from going on at all, such as no memory: the others, who would wait for it, get it too.
    Error give_up(Error error);
    // The error that ended this communicator, if one has; also looks whether all peers live.
    std::optional<Error> failure() override;

    Rank rank() const { return rank_; }
    Rank rank_count() const { return rank_count_; }
    const Config& config() const { return config_; }
    const Topology& topology() const { return topology_; }
    const WaitPolicy& wait_policy() const { return decisions_.wait; }
    const CostParameters& costs() const { return selection_.tuning().costs; }
    Result<Choice> choice(const Request& request) const { return selection_.choose(request, topology_); }
    Request request_of(const Call& call) const override;
    std::string_view transport_name(Rank peer);
    std::string network_in_words() const { return transport_->network_in_words(); }
    const Meeting* meeting() const { return job_.meeting.get(); }  // null where ranks were made together in one process
    ByteCount slot_memory() const {
        const ByteCount on_device = device_calls_ != nullptr ? device_calls_->slot_memory() : ByteCount{};
        return {transport_->slot_memory().value + on_device.value};
    }
    // What this rank has sent by it, of calls from when they begin.
    const Traffic& traffic() const { return traffic_; }
    // The same for what is no program; by who has the turn.
    void count_sent(Rank peer, std::uint64_t bytes, std::uint64_t messages) override {
        traffic_.add(peer, bytes, messages);
    }
    // What tenonCommRegister names; by any thread.
    CommunicatorMemory& memory() { return *memory_; }
    void register_memory(std::span<std::byte> range) {
        memory_->add(range);
        transport_->prepare(range);
    }

    // Turns of calls that run in different threads (streams): each takes a ticket when it is issued, and runs when all
    // earlier ones are done.
    std::uint64_t take_ticket() { return tickets_++; }
    void end_turn() { turn_.fetch_add(1, std::memory_order_release); turn_.notify_all(); }
    void wait_for_turn(std::uint64_t ticket) const;
    bool busy() const { return turn_.load(std::memory_order_acquire) != tickets_; }
    void wait_for_turns() const { wait_for_turn(tickets_); }
    // On devices, too.
    bool has_work() const { return busy() || (device_calls_ != nullptr && device_calls_->busy()); }
    void wait_until_idle() const {
        wait_for_turns();
        if (device_calls_ != nullptr) device_calls_->wait_until_idle();
    }

private:
    static Result<std::unique_ptr<Communicator>> make(Job job, Rank rank, Rank rank_count, const Config& config,
                                                      Selection selection);
    static Result<PeerFacts> facts_of(const Job& job, Rank own, Rank peer, const Config& config);
    Communicator(Job job, Rank rank, Rank rank_count, const Config& config, Selection selection,
                 std::vector<Level> groups, std::shared_ptr<CommunicatorMemory> memory,
                 std::unique_ptr<Transport> transport);
    void watch_peers();
    Result<void> start_relay();
    Result<void> use_device(std::shared_ptr<OpenDevice> device);
    void close_device(std::unique_ptr<DeviceLinks> links);
    void send_what_is_left();
    // Nothing is running in a stream, and neither this rank nor another has ended the communicator.
    bool nothing_stands_in_the_way() const {
        return !busy() && !control_.failed() && !stopped_.load(std::memory_order_relaxed);
    }
    // The call's own memory serves, without a copy of the input.
    static bool runs_as_it_is(const void* send, const void* receive, const PreparedCall& prepared) {
        return send != receive || !prepared.copies_input_in_place;
    }
    bool serves(const PreparedCall& prepared, const Call& call) const;
    void prepare_path(PreparedCall& prepared, std::uint64_t bytes);
    bool tells(const PreparedCall& prepared) const;
    // Whether the call, which counts, is none that tries a way. Which calls are small may differ between ranks; which
    // count may not.
    static bool runs_as_found(PreparedCall& prepared) {
        return prepared.path == nullptr ||
               (prepared.path_beginnings == prepared.path->beginnings() && prepared.path->next_call_as_found());
    }
    void follow_trial(PreparedCall& prepared);
    void settle(PreparedCall& prepared);
    AccessPolicy access(const PreparedCall& prepared, const void* send, const void* receive) const;
    Result<void> run_small(const void* send, void* receive, PreparedCall& prepared);
    Result<void> start(const Call& call, PreparedCall* prepared);
    void note(const PreparedCall& prepared);
    Result<void> begin(const Call& call, PreparedCall& prepared);
    Result<PreparedCall*> prepare(const Call& call);
    Result<void> run_alone(const Call& call);
    Result<PreparedCall*> prepare_alone(const Call& call);
    Result<void> refuse_if_over();
    Result<void> finish();  // runs execution_ until done
    Progress advance();
    Progress advance_with_network();
    void note_elapsed();
    // Records the error that ends the communicator and returns it, in this rank's words.
    Error over(Error error) { return over(std::move(error), current_call()); }
    Error over(Error error, const std::string& call);
    void wait_until_others_stand_back();
    bool has_died(Rank rank) const;

    // Watch
    Result<void> look(Work& work, std::uint64_t waited_ns) override;
    void sleep(std::uint64_t most_us) override;
    std::optional<Error> disagreement_about(std::uint64_t call_number) const;
    std::optional<Error> disagreement(const Work& work) const;
    std::optional<Error> earlier_disagreement() const;
    Error explain_mismatch();
    // A wait in a call: for whom, as far as is known; and in words in which call, and where in it. The words, which
    // take memory, are made when there is something to say.
    struct Wait {
        const CallRecord& record;
        Rank peer = no_rank;
        std::uint64_t waited_ns = 0;
    };
    struct WaitInWords {
        std::string call, step;
    };
    std::optional<Error> lateness(const Wait& wait, LateWait& so_far,
                                  const std::function<WaitInWords()>& words) const;
    std::string latecomers(const Wait& wait) const;
    bool is_behind(Rank rank, const CallRecord& record) const {
        return record.number != 0 && control_.is_behind(rank, record.number);
    }
    Rank awaited_but_gone(const Wait& wait) const;
    Rank death();  // no_rank: nobody's, or it is too early to look again
    Rank dead_peer() const;
    Error death_of(Rank rank, const std::string& call) const;

    // DeviceCalls::Owner
    CallRecord note_device_call(CallRecord call) override;
    std::optional<Error> device_disagreement(std::uint64_t number) override;
    std::optional<Error> device_trouble(const CallRecord& call, std::uint64_t waited_ns, LateWait& so_far) override;
    Error end_by_device(Error error, const CallRecord& call) override;
    std::string device_call_in_words(const CallRecord& call) const;
    Error explain(const Error& error);
    std::string current_call() const;
    std::byte* scratch(std::uint64_t bytes);
    const std::byte* staged_input(const Call& call, std::uint64_t bytes);

    Job job_;
    Rank rank_, rank_count_;
    Config config_;
    Topology topology_;
    Traffic traffic_;
    JobControl control_;
    std::shared_ptr<Relay> relay_;  // null where another rank has it, or the job has one host
    Selection selection_;
    PricedChoices priced_choices_;
    std::shared_ptr<CommunicatorMemory> memory_;
    std::unique_ptr<Transport> transport_;
    Decisions decisions_;
    bool is_networked_;  // some peers share no memory: messages only move when progress() is called

    PlanCache plans_;
    PreparedCalls prepared_;
    PreparedCalls alone_;  // sends and receives, apart: on every rank the same calls push each other out of prepared_
    std::map<std::uint64_t, PathTrial> trials_;  // what calls of a class have found, for those of other counts too
    Execution execution_;
    Work* under_way_ = &execution_;  // or an exchange
    PreparedCall* running_ = nullptr;
    CallWords repeated_;
    PreparedCall* running_small_ = nullptr;
    Program point_to_point_;  // of these:
    std::vector<PointToPoint> point_to_point_calls_;
    ProgramTraffic point_to_point_traffic_;
    bool has_sent_or_received_ = false;
    bool has_looked_ = false;  // at all that the run waits for, in vain, after the network's last turn
    bool all_has_gone_ = false;  // that the run has sent, by the network's last turn
    std::uint64_t call_number_ = 0;
    std::uint64_t call_started_ns_ = 0;
    std::uint64_t tries_ = 0;
    std::uint32_t moe_groups_ = 0;
    CallRecord record_;
    Error execution_error_;
    LateWait late_wait_;
    std::vector<std::byte> scratch_, staged_;

    std::atomic<bool> aborted_{false};
    std::atomic<bool> over_{false};
    std::atomic<bool> stopped_{false};  // aborted_ or over_
    std::mutex over_mutex_;
    Error over_error_;
    std::vector<os::FileDescriptor> peers_alive_;  // by rank; not valid in the same process
    std::vector<bool> died_before_;                // by rank: before this rank could watch its process
    std::atomic<std::uint64_t> last_death_look_ns_ = 0;

    std::shared_ptr<DeviceCalls> device_calls_;
    std::uint64_t tickets_ = 0;
    std::atomic<std::uint64_t> turn_{0};
    std::mutex children_mutex_;
    std::vector<Communicator*> children_;
    Communicator* parent_ = nullptr;
};

}  // namespace tenon
