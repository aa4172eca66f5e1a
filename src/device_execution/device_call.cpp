#include "device_execution/device_call.hpp"

#include <algorithm>

namespace tenon {

void DeviceCall::count_sent(Rank peer, std::uint64_t bytes) {
    auto known = std::ranges::lower_bound(traffic_, peer, {}, &DeviceCallTraffic::peer);
    if (known == traffic_.end() || known->peer != peer) known = traffic_.insert(known, {.peer = peer});
    known->bytes += bytes;
    known->messages++;
}

Result<void> DeviceCall::issue(device::Stream& stream, std::span<const std::unique_ptr<device::Stream>> lanes) const {
    for (const StreamOperation& operation : operations_) {
        device::Stream& on = operation.lane == 0 ? stream : *lanes[operation.lane - 1];
        Result<void> enqueued;
        switch (operation.kind) {
            case StreamOperation::Kind::copy:
                enqueued = on.copy(operation.destination, operation.source, {operation.count});
                break;
            case StreamOperation::Kind::reduce:
                enqueued = on.reduce(operation.destination, operation.source, {operation.count}, type_, op_);
                break;
            case StreamOperation::Kind::record_event:
                enqueued = on.record(*operation.event);
                break;
            case StreamOperation::Kind::wait_event:
                enqueued = on.wait(*operation.event);
                break;
            case StreamOperation::Kind::record_notify:
                enqueued = on.record(*operation.notify);
                break;
            case StreamOperation::Kind::wait_notify:
                enqueued = on.wait(*operation.notify);
                break;
        }
        if (!enqueued) return enqueued;
    }
    return {};
}

}  // namespace tenon
