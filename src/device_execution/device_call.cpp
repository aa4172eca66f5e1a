#include "device_execution/device_call.hpp"

#include <algorithm>

namespace tenon {
namespace {

// Of a part. On an H200 a stream took fewer than 128 times wait, copy and signal before who enqueued more had to wait.
constexpr std::size_t most_operations_of_a_lane = 100;

}  // namespace

void DeviceCall::count_sent(Rank peer, std::uint64_t bytes) {
    auto known = std::ranges::lower_bound(traffic_, peer, {}, &DeviceCallTraffic::peer);
    if (known == traffic_.end() || known->peer != peer) known = traffic_.insert(known, {.peer = peer});
    known->bytes += bytes;
    known->messages++;
}

Result<device::Event*> DeviceCall::new_event(device::Device& device) {
    auto made = device.create_event();
    if (!made) return std::unexpected(made.error());
    events_.push_back(std::move(*made));
    return events_.back().get();
}

Result<void> DeviceCall::cut_into_parts(device::Device& device) {
    std::vector<std::size_t> in_part(lane_count_);  // operations, by lane
    for (std::size_t i = 0; i < operations_.size(); i++) {
        if (in_part[operations_[i].lane] == most_operations_of_a_lane) {
            part_ends_.push_back(i);
            std::ranges::fill(in_part, 0);
        }
        in_part[operations_[i].lane]++;
    }
    part_ends_.push_back(operations_.size());
    if (part_ends_.size() < 3) return {};
    for (auto& events : part_events_)
        for (std::size_t lane = 0; lane < lane_count_; lane++) {
            const auto event = new_event(device);
            if (!event) return std::unexpected(event.error());
            events.push_back(*event);
        }
    return {};
}

Result<bool> DeviceCall::is_done(std::size_t part) const {
    for (const device::Event* event : part_events_[part % 2]) {
        const auto reached = event->reached();
        if (!reached || !*reached) return reached;
    }
    return true;
}

Result<void> DeviceCall::issue(std::size_t part, device::Stream& stream,
                               std::span<const std::unique_ptr<device::Stream>> lanes) const {
    const std::size_t first = part == 0 ? 0 : part_ends_[part - 1];
    for (const StreamOperation& operation : std::span{operations_}.subspan(first, part_ends_[part] - first)) {
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
    // Not of the last two, which nobody waits for: then all that lanes do comes before they are joined.
    if (part + 2 >= part_count()) return {};
    for (std::uint32_t lane = 0; lane < part_events_[part % 2].size(); lane++)
        if (auto marked = (lane == 0 ? stream : *lanes[lane - 1]).record(*part_events_[part % 2][lane]); !marked)
            return marked;
    return {};
}

}  // namespace tenon
