// The calls of a communicator on the memory of a device: each is enqueued on a stream of it and runs there without the
// host. What it adds to a communicator of the host: links between the devices, a choice of algorithm by how these are
// joined, calls that are prepared and issued again, and a watch, for nobody here is in a call while it runs.
//
// issue() by the thread that makes the communicator's calls; all else by any. Calls run in the order in which they were
// issued, whatever their streams. Of them, and of their operations, only so many are in flight; issuing more waits, for
// a runtime whose queues are full would, and could not be told to stop. A thread of its own looks at what is in flight,
// and only then: where ranks disagree, one has died or does not come in time, it ends the communicator and gives up
// what waits on the device.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <thread>
#include <tuple>
#include <vector>

#include "communicator/call.hpp"
#include "communicator/device_stream.hpp"
#include "communicator/device_topology.hpp"
#include "communicator/late_wait.hpp"
#include "device_execution/stream_execution.hpp"
#include "selection/selection.hpp"

namespace tenon {

class DeviceCalls final : public DeviceStream::User, public std::enable_shared_from_this<DeviceCalls> {
public:
    // The communicator.
    class Owner {
    public:
        virtual ~Owner() = default;
        // Why nothing more can be issued, if so.
        virtual std::optional<Error> failure() = 0;
        // Gives the call its number, and notes it where the other ranks see it.
        virtual CallRecord note_device_call(CallRecord call) = 0;
        // Whether another rank has made another call by this number, or one of those shortly before.
        virtual std::optional<Error> device_disagreement(std::uint64_t number) = 0;
        // What ends the wait for a call that has been under way for so long.
        virtual std::optional<Error> device_trouble(const CallRecord& call, std::uint64_t waited_ns,
                                                    LateWait& so_far) = 0;
        // The communicator is over; returns the error that all ranks get.
        virtual Error end_by_device(Error error, const CallRecord& call) = 0;
        virtual void count_sent(Rank peer, std::uint64_t bytes, std::uint64_t messages) = 0;
        virtual Request request_of(const Call& call) const = 0;
    };
    struct Facts {
        Rank rank = 0, rank_count = 1;
        std::vector<std::int32_t> hosts;  // by rank
        std::uint64_t slot_memory_bytes = 0, timeout_ms = 0;
    };

    // By all ranks together. `forced`: algorithms that the configuration asks for.
    static Result<std::shared_ptr<DeviceCalls>> make(Owner& owner, std::shared_ptr<OpenDevice> device,
                                                     const Facts& facts, std::span<const Algorithm> algorithms,
                                                     std::vector<AlgorithmChoice> forced,
                                                     const DeviceIntroductions& introduce);
    ~DeviceCalls() override;

    const std::shared_ptr<OpenDevice>& device() const { return device_; }
    // Whether the call's buffers are in the device's memory; an error where one is and the other is not.
    Result<bool> is_of_device(const Call& call) const;
    Result<Choice> choice(const Request& request);

    // The call has been checked. An error of its arguments changes nothing; others end the communicator. Of a long
    // call, enqueues what there is room for: to be followed by enqueue_more(), of all communicators of a thread by
    // turns, since what makes room may wait for another of them, until nothing is left.
    Result<void> issue(const Call& call, const std::shared_ptr<DeviceStream>& stream);
    Result<void> issue(std::span<const Call> sends_and_receives, const std::shared_ptr<DeviceStream>& stream);
    Result<bool> enqueue_more();  // whether nothing is left; does not wait
    // For calls that return when they are done.
    const std::shared_ptr<DeviceStream>& own_stream() const { return own_stream_; }

    bool busy();
    void wait_until_idle();
    ByteCount slot_memory() const { return links_->memory(); }
    // Nothing of it runs any more, what it had of other ranks' devices is given back, and the owner is not asked any
    // more. To be followed by the news that this rank has left; what other ranks may still have of this one's device is
    // returned, to be closed when they have, too.
    std::unique_ptr<DeviceLinks> leave();

    Result<void> settle(const DeviceStream& stream) override;
    std::optional<Error> failed() override;
    void stream_failed(const DeviceStream& stream, const Error& why) override;

private:
    using Key = std::tuple<Collective, DataType, ReduceOp, Rank, std::uint64_t, const void*, const void*>;
    // What a plan and the order of its steps depend on; the count where chunks are not cut.
    using PlanKey = std::tuple<const Algorithm*, Rank, std::size_t, bool, std::optional<std::uint64_t>>;
    struct Prepared {
        DeviceCall call;
        std::string_view algorithm;
        // Of a call whose algorithm may not read the caller's input: it is copied first.
        std::byte* staged = nullptr;
        const void* input = nullptr;
        std::uint64_t input_bytes = 0;
    };
    struct InFlight {
        CallRecord record;
        std::shared_ptr<const Prepared> prepared;
        std::shared_ptr<DeviceStream> stream;
        std::unique_ptr<device::Event> begun, done;  // what the program has before it in the stream is not its time
        std::uint64_t begun_ns = 0;                  // when that was seen; 0: not yet
        std::size_t parts = 0;                       // that have been enqueued
        bool is_enqueued = false;                    // all of it
    };
    using Lock = std::unique_lock<std::mutex>;

    DeviceCalls(Owner& owner, std::shared_ptr<OpenDevice> device, Selection selection)
        : owner_(owner), device_(std::move(device)), selection_(std::move(selection)) {}
    Result<void> start(const Facts& facts, const DeviceIntroductions& introduce);
    Result<Choice> choose(const Request& request);
    bool fits(const Algorithm& algorithm, Request request);
    Result<const OrderedPlan*> plan_for(const Algorithm& algorithm, const Request& request);
    Result<std::byte*> staging(std::uint64_t bytes);
    Result<std::shared_ptr<const Prepared>> prepared_for(const Call& call);
    Result<std::shared_ptr<const Prepared>> prepare(const Call& call);
    Result<std::shared_ptr<const Prepared>> prepare_v(const Call& call);
    Result<void> issue(const std::shared_ptr<const Prepared>& prepared, CallRecord record,
                       const std::shared_ptr<DeviceStream>& stream);
    Result<bool> enqueue_parts();
    Result<void> refuse_if_over();
    Result<void> wait_for_room(Lock& lock, std::size_t operations);
    Result<std::unique_ptr<device::Event>> event();
    // Forgets what is done; an error is the device's.
    Result<void> retire();
    Error end(const Error& error, const CallRecord& call);
    // What is wrong with the call itself is only told; all else ends the communicator, as the others make the call.
    Error refuse_or_end(const Error& error, const Call& call);
    // Once nothing runs any more, what was in flight is forgotten; otherwise to be tried again.
    bool give_up(std::uint64_t within_ms);
    CallRecord record_of(const Call& call, std::string_view algorithm);
    void watch();
    void look();

    Owner& owner_;
    std::shared_ptr<OpenDevice> device_;
    Selection selection_;
    DeviceTopology topology_;
    Facts facts_;
    std::unique_ptr<DeviceLinks> links_;
    std::unique_ptr<StreamExecution> execution_;
    std::shared_ptr<DeviceStream> own_stream_;

    std::mutex mutex_;  // of all below, and of execution_
    std::condition_variable ended_;  // nothing is in flight after an error, or the communicator leaves
    std::condition_variable wake_;   // of the watch, when it sleeps for long
    PricedChoices priced_;
    std::map<PlanKey, OrderedPlan> plans_;
    std::map<Key, std::shared_ptr<const Prepared>> prepared_;
    std::deque<InFlight> in_flight_;
    std::set<const DeviceStream*> unsettled_;  // have had calls since they were last waited for
    std::vector<std::unique_ptr<device::Event>> free_events_;
    std::set<std::pair<const Algorithm*, Rank>> fitting_, unfitting_;  // by root: whether devices run its plans
    std::size_t operations_in_flight_ = 0;
    std::vector<std::unique_ptr<device::Memory>> staging_;  // the last is in use; calls in flight may use earlier ones
    std::uint32_t history_ = 0;  // a hash of all calls so far, which is in each one's signature
    CallRecord last_call_;
    std::optional<Error> error_;
    bool is_leaving_ = false, is_watch_asleep_ = false;
    LateWait late_wait_;
    std::thread watch_;
};

}  // namespace tenon
