// Runs plans on device streams: every step of this rank is enqueued as copies, reductions, notifies and waits, and the
// host goes on at once. Ordered with what is on the caller's stream before and after.
//
// A lane is a stream of its own, the first one the caller's; events order steps of different lanes. A step that sends
// puts its bytes into the peer's slot (device_links.hpp). What each enqueues is the same for every call of a shape, and
// leaves all signals as they were.
//
// Sums of several operands are formed in the order of the tree (design, invariant 2), but each addition of narrow
// floats is rounded, so deterministic calls of those are refused; so are averages.
//
// A call may be prepared once and issued as often as wanted. Calls follow each other in one order, the same on all
// ranks: on one stream, or on streams that events order.
//
// One thread at a time. Destroyed when all that it enqueued is done or given up.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "device_execution/device_call.hpp"
#include "device_execution/device_links.hpp"
#include "device_execution/enqueue_order.hpp"
#include "device_execution/exchange_preparation.hpp"
#include "tenon/plugin/device.hpp"
#include "tenon/plugin/plan.hpp"

namespace tenon {

struct DeviceBuffers {
    const void* input = nullptr;
    void* output = nullptr;
};

class StreamExecution {
public:
    StreamExecution(device::Device& device, DeviceLinks& links) : device_{device}, links_{links} {}

    // request.rank's plan, ready to be prepared (enqueue_order.hpp), from those of all ranks. They must not publish
    // (see plan/boards.hpp).
    Result<OrderedPlan> order(std::span<const Plan> plans, const Request& request) const;
    // An invalid_argument error says what of the plan or the buffers devices cannot do.
    Result<DeviceCall> prepare(const OrderedPlan& ordered, const Request& request, const DeviceBuffers& buffers);
    // The same of messages that follow no plan; to be issued once, before the next is prepared
    // (exchange_preparation.hpp). Buffers of messages without bytes may be anything.
    Result<DeviceCall> prepare(std::span<const DeviceMessage> messages);
    // Of each rank's block of `input` to the one whose it is: block r has counts[r] elements. Their sum goes to
    // buffers.output.
    Result<DeviceCall> prepare_reduce_scatter_v(const Request& request, std::span<const std::size_t> counts,
                                                const DeviceBuffers& buffers);
    // Enqueues a part of it (see DeviceCall); the call stays until the device is done with it.
    Result<void> issue(const DeviceCall& call, std::size_t part, device::Stream& stream);
    // All parts; where the queues are full, the runtime waits.
    Result<void> issue(const DeviceCall& call, device::Stream& stream);
    // Waits for what was enqueued there. After an error, all that this object has enqueued is given up.
    Result<void> synchronize(device::Stream& stream, std::uint64_t timeout_ms);
    // Why a lane does nothing more, if one has failed.
    std::optional<Error> lane_failure();
    // Gives up all that this object has enqueued: on its lanes, and, by `abandon` (given milliseconds), on the callers'
    // streams. These wait for each other, so each is asked again and again for a moment, until all have ended or
    // `timeout_ms` is over.
    Result<void> give_up(const std::function<Result<void>(std::uint64_t)>& abandon, std::uint64_t timeout_ms);

private:
    Result<std::byte*> scratch(std::uint64_t bytes);
    Result<void> make_lanes(std::size_t count);

    device::Device& device_;
    DeviceLinks& links_;
    std::vector<std::unique_ptr<device::Stream>> lanes_;  // from the second on
    // The last is in use; earlier ones may still be used by what was prepared before.
    std::vector<std::unique_ptr<device::Memory>> scratch_;
};

}  // namespace tenon
