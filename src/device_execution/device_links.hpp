// What joins the ranks of a communicator whose buffers are on devices: for each peer and channel a few slots in this
// rank's device memory, into which the peer writes, and notifies that carry the signals, so that no host takes part.
//
//   a message: the sender waits until the slot is free, copies into it, records that it arrived;
//              the receiver waits until it arrived, uses it, records that the slot is free.
//
// All notifies are as before when a call is done, whatever its messages: a call's k-th message on a channel takes slot
// k modulo the number of slots. So the same operations can be enqueued again, with nothing to be set anew. On one more
// channel, for exchanges that follow no plan, the k-th message since the beginning does.
// Bounded: slots shrink so that all of them fit into `most_slot_bytes`; 2 notifies per peer, channel and slot on each
// device.
//
// Made by all ranks together. Importers must close before exporters: call close() on all ranks, after their streams are
// done. One thread at a time.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "tenon/plugin/device.hpp"
#include "tenon/plugin/plan.hpp"

namespace tenon {

// Gives all ranks' bytes to each of them, by rank; all give equally many. What the control plane does.
using DeviceIntroductions = std::function<Result<std::vector<std::vector<std::byte>>>(std::span<const std::byte> own)>;

struct DeviceLinkOptions {
    Channel channels = 8;  // between each two ranks; plans that use more are refused
    bool exchanges = false;  // whether there is one more, for exchanges
    ByteCount slot{4 << 20};
    ByteCount most_slot_bytes{64 << 20};  // of one rank, all together
    device::Reach reach = device::Reach::server;  // supernode where ranks are on several servers
    std::uint64_t timeout_ms = 600'000;   // for what the device does meanwhile
};

class DeviceLinks {
public:
    static constexpr std::size_t slots_per_channel = 2;
    struct SendEnd {
        std::array<std::byte*, slots_per_channel> slots{};  // the peer's
        std::array<std::unique_ptr<device::Notify>, slots_per_channel> arrived{}, free{};
        std::uint64_t exchanged = 0;  // messages of exchanges so far
    };
    struct ReceiveEnd {
        std::array<std::byte*, slots_per_channel> slots{};
        std::array<std::unique_ptr<device::Notify>, slots_per_channel> arrived{}, free{};
        std::uint64_t exchanged = 0;
    };

    static Result<std::unique_ptr<DeviceLinks>> make(device::Device& device, Rank rank, Rank rank_count,
                                                     const DeviceLinkOptions& options,
                                                     const DeviceIntroductions& introduce);
    Result<void> close(const DeviceIntroductions& introduce);
    // The same in two: each rank drops what it has of others, and frees what others had of it once all have.
    void drop_imports();
    Result<void> close_own();

    Rank rank() const { return rank_; }
    Rank rank_count() const { return rank_count_; }
    ByteCount memory() const { return memory_ != nullptr ? memory_->bytes() : ByteCount{}; }  // of the slots
    Channel channels() const { return options_.channels; }  // for plans
    Channel exchange_channel() const { return options_.channels; }
    ByteCount slot_bytes() const { return options_.slot; }
    SendEnd& send_end(Rank peer, Channel channel) { return send_ends_[place(peer, channel)]; }
    ReceiveEnd& receive_end(Rank peer, Channel channel) { return receive_ends_[place(peer, channel)]; }

private:
    DeviceLinks(device::Device& device, Rank rank, Rank rank_count, const DeviceLinkOptions& options);
    // Where a rank has what it has for a peer; it has nothing for itself.
    std::size_t place_of(Rank owner, Rank peer, Channel channel) const {
        return static_cast<std::size_t>(peer < owner ? peer : peer - 1) * all_channels() + channel;
    }
    std::size_t place(Rank peer, Channel channel) const { return place_of(rank_, peer, channel); }
    std::size_t all_channels() const { return std::size_t{options_.channels} + (options_.exchanges ? 1 : 0); }
    Result<std::vector<std::byte>> offer();
    Result<void> import(Rank peer, std::span<const std::byte> offered);

    device::Device& device_;
    Rank rank_, rank_count_;
    DeviceLinkOptions options_;
    std::unique_ptr<device::Memory> memory_;  // of all slots
    std::unique_ptr<device::SharedMemory> shared_;
    std::vector<std::unique_ptr<device::ImportedMemory>> imported_;  // by rank
    std::vector<SendEnd> send_ends_;
    std::vector<ReceiveEnd> receive_ends_;
};

}  // namespace tenon
