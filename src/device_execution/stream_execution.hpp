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

#include <memory>
#include <vector>

#include "device_execution/device_call.hpp"
#include "device_execution/device_links.hpp"
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

    // The plan must not publish (see plan/boards.hpp). An invalid_argument error says what of the plan or the buffers
    // devices cannot do.
    Result<DeviceCall> prepare(const Plan& plan, const Request& request, const DeviceBuffers& buffers);
    // Enqueues it; it stays until the device is done with it.
    Result<void> issue(const DeviceCall& call, device::Stream& stream);
    // Waits for what was enqueued there. After an error, all that this object has enqueued is given up.
    Result<void> synchronize(device::Stream& stream, std::uint64_t timeout_ms);

private:
    Result<std::byte*> scratch(std::uint64_t bytes);

    device::Device& device_;
    DeviceLinks& links_;
    std::vector<std::unique_ptr<device::Stream>> lanes_;  // from the second on
    // The last is in use; earlier ones may still be used by what was prepared before.
    std::vector<std::unique_ptr<device::Memory>> scratch_;
};

}  // namespace tenon
