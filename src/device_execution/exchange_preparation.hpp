// Makes a DeviceCall of messages between pairs of ranks whose lengths no plan knows: sends and receives, and
// collectives with counts for each rank.
//
// They travel on a channel of their own (DeviceLinks::exchange_channel), whose slots go on where the pair's last
// exchange ended, because what one rank puts into one call its peer may receive in two. So a DeviceCall of them is
// issued once, in the order in which they were prepared.
//
// Round k sends to the k-th rank behind this one and receives from the k-th before it. All ranks enqueue in one order
// (see enqueue_order.hpp) that needs no rank's counts: by groups of rounds, in a group by tiles, the pair's first
// before its second, and of a round's tile the send before the receive. That is one order where what two ranks exchange
// in one call is one call on both sides; of other calls, those longer than the queues may wait for each other, and end
// by the deadline.
#pragma once

#include <vector>

#include "device_execution/device_call.hpp"
#include "device_execution/device_links.hpp"

namespace tenon {

struct DeviceMessage {
    bool is_send = false;
    Rank peer = 0;  // may be this rank: then what is sent is copied to what is received, in order
    std::byte* address = nullptr;
    std::uint64_t bytes = 0;
};

// What is done with the messages when all have come: cell r, `stride` bytes after the one before, holds rank r's
// contribution; their sum, by the tree over ranks, goes to `destination`. The cells are written.
struct DeviceSum {
    std::byte* cells = nullptr;
    std::uint64_t stride = 0;
    std::byte* destination = nullptr;
    ElementCount elements{};
    DataType type = DataType::int8;
    ReduceOp op = ReduceOp::sum;
};

class ExchangePreparation {
public:
    ExchangePreparation(device::Device& device, DeviceLinks& links, std::span<const DeviceMessage> messages);
    std::size_t lane_count() const { return lane_count_; }
    // An error where what this rank sends to itself is not what it receives.
    Result<DeviceCall> prepare(const DeviceSum* sum);

private:
    using LaneNumber = std::uint32_t;
    // What a lane does with a tile of a message.
    struct Tile {
        const DeviceMessage* message = nullptr;
        std::uint64_t round = 0;
        std::uint64_t turn = 0;  // of the pair's tiles
        LaneNumber lane = 0;
        std::uint64_t offset = 0, bytes = 0;
    };

    std::uint64_t round_of(const DeviceMessage& message) const;
    void deal(std::span<const DeviceMessage* const> messages, std::size_t first_lane, std::size_t lanes);
    Result<void> add_own();
    Result<void> start_or_join(bool starts);
    void add_send(const Tile& tile);
    void add_receive(const Tile& tile);
    void add_sum(const DeviceSum& sum, Rank first, Rank end);
    void add_copy(LaneNumber lane, void* destination, const void* source, std::uint64_t bytes);

    device::Device& device_;
    DeviceLinks& links_;
    std::span<const DeviceMessage> messages_;
    std::size_t lane_count_ = 1;
    std::vector<Tile> tiles_;  // in the order in which they are enqueued
    DeviceCall call_;
};

}  // namespace tenon
