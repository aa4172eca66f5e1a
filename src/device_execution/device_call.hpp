// A call on device streams, ready to be issued as often as wanted: its operations, in the order in which they are
// enqueued, with all addresses and signals resolved. Issuing it allocates nothing and knows no plan.
//
// A long call has parts, of which no more than two are to be under way, so that who enqueues never waits within a
// runtime whose queue is full, where nothing could end the wait:
//
//   for (part...) { if (part > 1) wait until call.is_done(part - 2); call.issue(part, stream, lanes); }
//
// Bound to the buffers, the links and the device that it was prepared with; lives no longer than their StreamExecution.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "tenon/plugin/device.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

struct StreamOperation {
    enum class Kind : std::uint8_t { copy, reduce, record_event, wait_event, record_notify, wait_notify };
    Kind kind = Kind::copy;
    std::uint32_t lane = 0;  // 0: the caller's stream
    void* destination = nullptr;
    const void* source = nullptr;
    std::uint64_t count = 0;  // bytes of a copy, elements of a reduction
    device::Event* event = nullptr;
    device::Notify* notify = nullptr;
};

// What a call sends to a rank.
struct DeviceCallTraffic {
    Rank peer = 0;
    std::uint64_t bytes = 0, messages = 0;
};

class DeviceCall {
public:
    std::size_t part_count() const { return part_ends_.size(); }  // at least 1
    // Enqueues a part, after those before it; `lanes` are the streams of the lanes from the second on.
    Result<void> issue(std::size_t part, device::Stream& stream,
                       std::span<const std::unique_ptr<device::Stream>> lanes) const;
    // Whether the device is done with a part whose next but one has not been issued, and is to be.
    Result<bool> is_done(std::size_t part) const;
    const std::vector<StreamOperation>& operations() const { return operations_; }
    std::size_t lane_count() const { return lane_count_; }
    const std::vector<DeviceCallTraffic>& traffic() const { return traffic_; }

private:
    friend class Preparation;
    friend class ExchangePreparation;
    void count_sent(Rank peer, std::uint64_t bytes);
    // Once all operations are there.
    Result<void> cut_into_parts(device::Device& device);
    Result<device::Event*> new_event(device::Device& device);
    std::vector<StreamOperation> operations_;
    std::vector<DeviceCallTraffic> traffic_;  // by peer
    std::vector<std::unique_ptr<device::Event>> events_;
    std::vector<std::size_t> part_ends_;  // as numbers of operations
    // What the lanes reach at the end of parts, which take turns of two; of all but the last two.
    std::array<std::vector<device::Event*>, 2> part_events_{};
    std::size_t lane_count_ = 0;
    DataType type_ = DataType::int8;
    ReduceOp op_ = ReduceOp::sum;
};

}  // namespace tenon
