// Groups: what a thread calls between tenonGroupStart and tenonGroupEnd becomes one batch per stream.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "c_api/handles.hpp"
#include "os/thread.hpp"

namespace tenon::c_api {
namespace {

struct Member {
    tenonComm* handle;
    Communicator* communicator;
};

// The calls of a group that go to one stream of the host, or run in this thread, in the order of issue, and whose they
// are.
struct Part {
    tenonStream_t stream;
    Batch batch;
    std::vector<Member> members;
};

// Those of one communicator that go to streams of a device, in the order of issue.
struct GroupedDeviceCall {
    StoredCall call;
    std::shared_ptr<DeviceStream> stream;
    bool is_waited_for;  // by the end of the group
};
struct DevicePart {
    Member member;
    std::vector<GroupedDeviceCall> calls;
    std::size_t issued = 0;
    bool is_enqueued = true;  // all of what was issued last
    bool has_failed = false;
};

// Communicators to be made, from one or from none.
struct Making {
    tenonComm* from;
    std::vector<std::function<tenonResult_t()>> steps;
};

struct Group {
    std::vector<Making> makings;
    std::vector<Part> parts;  // in the order of first use
    std::vector<DevicePart> device_parts;
    tenonResult_t error = tenonSuccess;
};
thread_local Group group;

void add(std::vector<Part>& parts, tenonComm* comm, const Call& call, tenonStream_t stream) {
    auto part = std::ranges::find(parts, stream, &Part::stream);
    if (part == parts.end()) {
        parts.push_back({stream, {}, {}});
        part = std::prev(parts.end());
    }
    part->batch.add(*comm->communicator, call);
    if (std::ranges::find(part->members, comm, &Member::handle) == part->members.end())
        part->members.push_back({comm, comm->communicator.get()});
}

void add(std::vector<DevicePart>& parts, tenonComm* comm, const Call& call, const std::shared_ptr<DeviceStream>& stream,
         bool is_waited_for) {
    auto part = std::ranges::find(parts, comm, [](const DevicePart& known) { return known.member.handle; });
    if (part == parts.end()) {
        parts.push_back({{comm, comm->communicator.get()}, {}});
        part = std::prev(parts.end());
    }
    part->calls.push_back({{call, comm->communicator->rank_count()}, stream, is_waited_for});
}

bool is_pair(const GroupedDeviceCall& each) { return is_point_to_point(each.call.call().collective); }

Result<void> follow(DeviceStream& later, DeviceStream& earlier) {
    const auto point = earlier.mark();
    return point ? later.wait_for(**point) : std::unexpected(point.error());
}

// Of a communicator's sends and receives; the first is where they run.
std::vector<std::shared_ptr<DeviceStream>> streams_of_pairs(const DevicePart& part) {
    std::vector<std::shared_ptr<DeviceStream>> streams;
    for (const GroupedDeviceCall& each : part.calls)
        if (is_pair(each) && std::ranges::find(streams, each.stream) == streams.end()) streams.push_back(each.stream);
    return streams;
}

// All sends and receives of a communicator are one call, where the first of them was and in its stream; the others'
// streams come to where they would have been.
Result<void> issue_pairs(const DevicePart& part) {
    std::vector<Call> pairs;
    for (const GroupedDeviceCall& each : part.calls)
        if (is_pair(each)) pairs.push_back(each.call.call());
    const auto streams = streams_of_pairs(part);
    for (std::size_t i = 1; i < streams.size(); i++)
        if (auto waits = follow(*streams[0], *streams[i]); !waits) return waits;
    return part.member.communicator->issue(pairs, streams[0]);
}

bool is_first_pair(const DevicePart& part, std::size_t call) {
    return static_cast<std::size_t>(std::ranges::find_if(part.calls, is_pair) - part.calls.begin()) == call;
}

Result<void> issue_next(DevicePart& part) {
    const std::size_t next = part.issued++;
    part.is_enqueued = false;
    const GroupedDeviceCall& each = part.calls[next];
    if (!is_pair(each)) return part.member.communicator->issue(each.call.call(), each.stream);
    return is_first_pair(part, next) ? issue_pairs(part) : Result<void>{};
}

Result<void> enqueue_more(DevicePart& part) {
    const auto all = part.member.communicator->enqueue_more();
    if (!all) return std::unexpected(all.error());
    part.is_enqueued = *all;
    if (!*all || !is_first_pair(part, part.issued - 1)) return {};
    const auto streams = streams_of_pairs(part);
    for (std::size_t i = 1; i < streams.size(); i++)
        if (auto waits = follow(*streams[i], *streams[0]); !waits) return waits;
    return {};
}

// All are enqueued before any is waited for, and of all communicators by turns: they may wait for one another.
class DeviceIssue {
public:
    explicit DeviceIssue(std::vector<DevicePart>& parts) : parts_(parts) {}

    tenonResult_t run() {
        while (each(has_more, issue_next))
            for (each(is_under_way, enqueue_more); std::ranges::any_of(parts_, is_under_way);
                 each(is_under_way, enqueue_more))
                std::this_thread::sleep_for(std::chrono::microseconds(20));
        for (DevicePart& part : parts_)
            for (const GroupedDeviceCall& call : part.calls)
                if (call.is_waited_for && !part.has_failed)
                    act(part, [&](DevicePart&) { return call.stream->synchronize(); });
        return first_;
    }

private:
    static bool has_more(const DevicePart& part) { return !part.has_failed && part.issued < part.calls.size(); }
    static bool is_under_way(const DevicePart& part) { return !part.has_failed && !part.is_enqueued; }

    // False if no part was one to act on.
    bool each(bool (*is_due)(const DevicePart&), Result<void> (*action)(DevicePart&)) {
        bool any = false;
        for (DevicePart& part : parts_) {
            if (!is_due(part)) continue;
            any = true;
            act(part, action);
        }
        return any;
    }

    template <class Action>
    void act(DevicePart& part, const Action& action) {
        const Inside inside(*part.member.handle);
        tenonResult_t result = tenonSuccess;
        if (!is_alive(part.member.handle))
            result = refuse_handle(part.member.handle, "tenonGroupEnd");
        else if (auto done = action(part); !done)
            result = report(done.error(), part.member.handle);
        part.has_failed = result != tenonSuccess;
        if (first_ == tenonSuccess) first_ = result;
    }

    std::vector<DevicePart>& parts_;
    tenonResult_t first_ = tenonSuccess;
};

// Each in a thread of its own, since each waits for other ranks, which may be this thread's too. The first error
// counts, and is this thread's.
tenonResult_t make_all(const std::vector<Making>& makings) {
    struct Outcome {
        tenonResult_t result = tenonSuccess;
        std::string error;
    };
    std::vector<Outcome> outcomes(makings.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < makings.size(); i++) {
        auto started = os::start_thread([&making = makings[i], &outcome = outcomes[i]] {
            for (const auto& step : making.steps) {
                outcome.result = step();
                if (outcome.result == tenonSuccess) continue;
                outcome.error = last_error_of_thread();
                return;
            }
        });
        if (started)
            threads.push_back(std::move(*started));
        else
            outcomes[i] = {result_of(started.error().status), started.error().message};
    }
    for (std::thread& thread : threads) thread.join();
    for (Outcome& o : outcomes)
        if (o.result != tenonSuccess) return report(static_cast<Status>(o.result), std::move(o.error));
    return tenonSuccess;
}

// Marks this thread as inside all communicators of a group.
class InsideAll {
public:
    explicit InsideAll(const std::vector<Part>& parts) : parts_(parts) {
        for (const Part& part : parts_)
            for (const Member& m : part.members) Inside::enter(*m.handle);
    }
    ~InsideAll() {
        for (const Part& part : parts_)
            for (const Member& m : part.members) Inside::leave(*m.handle);
    }
    InsideAll(const InsideAll&) = delete;
    InsideAll& operator=(const InsideAll&) = delete;

private:
    const std::vector<Part>& parts_;
};

// Nothing of the group is issued if one of its communicators is no more. With their turns taken, all stay until these
// end.
tenonResult_t take_turns(std::vector<Part>& parts) {
    const InsideAll inside(parts);
    for (const Part& part : parts)
        for (const Member& m : part.members)
            if (!is_alive(m.handle)) return refuse_handle(m.handle, "tenonGroupEnd");
    for (Part& part : parts) part.batch.take_tickets();
    return tenonSuccess;
}

// In whichever thread: what fails is told to the communicators that it ended.
Result<void> run(Part& part) {
    return part.batch.run([&](Communicator& failed, const Error& error) {
        if (failed.failure()) report(error, std::ranges::find(part.members, &failed, &Member::communicator)->handle);
    });
}

tenonResult_t issue(std::vector<Part>& parts) {
    if (const tenonResult_t refused = take_turns(parts); refused != tenonSuccess) return refused;
    // Streams first: what runs in this thread may wait for them.
    for (Part& part : parts)
        if (part.stream != nullptr)
            part.stream->host->put(
                [shared = std::make_shared<Part>(std::move(part))]() -> Result<void> { return run(*shared); });
    const auto own = std::ranges::find(parts, nullptr, &Part::stream);
    if (own == parts.end()) return tenonSuccess;
    const Result<void> result = run(*own);
    return result ? tenonSuccess : report(result.error());
}

}  // namespace

thread_local int group_depth = 0;

tenonResult_t refused(tenonResult_t why) {
    if (in_group() && group.error == tenonSuccess) group.error = why;
    return why;
}

tenonResult_t add_to_group(tenonComm* comm, const Call& call, tenonStream_t stream) {
    if (has_devices.load(std::memory_order_relaxed)) {
        const auto device = device_stream_of(*comm, call, stream);
        if (!device) return refused(report(device.error(), comm));
        if (*device != nullptr) {
            add(group.device_parts, comm, call, *device, stream == nullptr);
            return tenonSuccess;
        }
    }
    add(group.parts, comm, call, stream);
    return tenonSuccess;
}

void add_to_group(tenonComm* from, std::function<tenonResult_t()> make) {
    auto making = from == nullptr ? group.makings.end() : std::ranges::find(group.makings, from, &Making::from);
    if (making == group.makings.end()) making = group.makings.insert(making, {from, {}});
    making->steps.push_back(std::move(make));
}

tenonResult_t issue_alone(tenonComm* comm, const Call& call, tenonStream_t stream,
                          const std::shared_ptr<DeviceStream>& device) {
    if (device != nullptr) {
        std::vector<DevicePart> parts;
        add(parts, comm, call, device, stream == nullptr);
        return DeviceIssue{parts}.run();
    }
    std::vector<Part> parts;
    add(parts, comm, call, stream);
    return issue(parts);
}

}  // namespace tenon::c_api

using namespace tenon;
using namespace tenon::c_api;

tenonResult_t tenonGroupStart(void) {
    group_depth++;
    return tenonSuccess;
}

tenonResult_t tenonGroupEnd(void) {
    if (group_depth == 0) return report(Status::invalid_usage, "tenonGroupEnd without tenonGroupStart");
    if (--group_depth > 0) return tenonSuccess;
    return guarded(nullptr, []() -> tenonResult_t {
        std::vector<Part> parts = std::exchange(group.parts, {});
        std::vector<DevicePart> device_parts = std::exchange(group.device_parts, {});
        const std::vector<Making> makings = std::exchange(group.makings, {});
        const tenonResult_t refused = std::exchange(group.error, tenonSuccess);
        if (refused != tenonSuccess) return refused;
        if (const tenonResult_t made = make_all(makings); made != tenonSuccess) return made;
        if (device_parts.empty()) return issue(parts);
        // Devices first: what runs in this thread may wait for them.
        const tenonResult_t on_devices = DeviceIssue{device_parts}.run();
        const tenonResult_t on_host = issue(parts);
        return on_devices != tenonSuccess ? on_devices : on_host;
    });
}
