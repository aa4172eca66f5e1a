// A Transport over rings in one memory segment that all ranks address: what shm and inproc have in common. They differ
// in who can reach whose memory, which is the Reach of each pair.
//
// Used by one thread at a time; the segment must outlive it.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "tenon/plugin/slot_budget.hpp"
#include "tenon/plugin/transport.hpp"
#include "transports/rings/segment_layout.hpp"

namespace tenon {

// How this rank and one peer reach each other's memory.
class Reach {
public:
    virtual ~Reach() = default;
    virtual std::optional<Exposure> expose(const void* bytes, std::size_t length) const = 0;
    virtual bool peer_addresses(const Exposure& exposure) const = 0;
    virtual std::byte* address_of(const Exposure& exposure, std::size_t length) = 0;
    virtual Result<void> read(void* to, const Exposure& from, std::size_t length) = 0;
    virtual Result<void> write(const Exposure& to, const void* from, std::size_t length) = 0;
    virtual std::string_view name() const = 0;
};

// Whether some peer can address the memory that begins here.
using Shares = bool (*)(const void* bytes);

class RingTransport final : public Transport {
public:
    // reach_of(peer) is asked for once for each peer, when it is first spoken to.
    RingTransport(std::byte* segment, const SegmentLayout& layout, Rank rank, Rank rank_count,
                  std::shared_ptr<SlotBudget> budget, std::function<std::unique_ptr<Reach>(Rank)> reach_of,
                  Shares peer_shares);
    ~RingTransport() override;

    Connection& connection(Rank peer) override;
    Result<SendEnd*> board_send_end() override;
    Result<ReceiveEnd*> board_receive_end(Rank writer) override;
    bool shares(const void* bytes) const override { return shares_(bytes); }
    std::uint64_t ring_bytes() const override { return layout_.pair_shape(0).area_bytes; }
    std::uint64_t slot_bytes() const override { return layout_.pair_shape(0).slot_bytes; }
    ByteCount slot_memory() const override { return {slot_memory_.load(std::memory_order_relaxed)}; }

private:
    class PairConnection;
    Result<void> account(const RingShape& shape);

    std::byte* segment_;
    SegmentLayout layout_;
    Rank rank_, rank_count_;
    std::atomic<std::uint64_t> slot_memory_ = 0;  // any thread may ask
    std::shared_ptr<SlotBudget> budget_;
    std::function<std::unique_ptr<Reach>(Rank)> reach_of_;
    Shares shares_;
    std::mutex connecting_;  // any thread may ask what joins it to a peer
    std::vector<std::unique_ptr<PairConnection>> connections_;
    std::unique_ptr<SendEnd> board_out_;
    std::vector<std::unique_ptr<ReceiveEnd>> boards_in_;
};

}  // namespace tenon
