// What connections of networks have in common: the Mirrors of the channels in use, and how much memory they may take.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "os/memory.hpp"
#include "tenon/plugin/plan.hpp"
#include "tenon/plugin/slot_budget.hpp"
#include "tenon/plugin/transport.hpp"
#include "transports/mirrors/mirror.hpp"

namespace tenon {

// Makes the Mirrors of one rank in one network, as many as its budget allows, and counts what else the network takes
// for each peer. It must outlive them.
class MirrorMemory {
public:
    MirrorMemory(Rank own, std::function<RingShape(std::uint16_t channel)> shape_of,
                 std::shared_ptr<SlotBudget> budget)
        : own_(own), shape_of_(std::move(shape_of)), budget_(std::move(budget)) {}
    Result<std::unique_ptr<Mirror>> make(std::uint16_t channel);
    // What a network is about to allocate beside rings. It is so little (NetworkFacts::peer_bytes) that the rings,
    // which come first, are what is refused.
    void count(std::uint64_t bytes) {
        bytes_ += bytes;
        static_cast<void>(budget_->take(bytes));
    }
    ByteCount taken() const { return {bytes_.load(std::memory_order_relaxed)}; }  // by any thread

private:
    Result<std::span<std::byte>> memory_of(std::uint64_t bytes);

    Rank own_;
    std::function<RingShape(std::uint16_t channel)> shape_of_;
    std::shared_ptr<SlotBudget> budget_;
    std::atomic<std::uint64_t> bytes_ = 0;
    std::vector<os::Mapping> mappings_;
    std::span<std::byte> rest_;  // of the last one that many share
};

// A connection to a peer that shares no memory. Large messages go from buffer to buffer (MessageForm::carried).
class MirroredConnection : public Connection {
public:
    // `wanted` is called, once, when an end is first asked for, so that there should be a way to the peer.
    MirroredConnection(MirrorMemory& memory, std::function<void()> wanted)
        : memory_(memory), wanted_(std::move(wanted)) {}

    Result<SendEnd*> send_end(std::uint16_t channel) override;
    Result<ReceiveEnd*> receive_end(std::uint16_t channel) override;
    std::optional<Exposure> expose(const void* bytes, std::size_t length) const override;
    bool peer_addresses(const Exposure&) const override { return true; }
    std::byte* address_of(const Exposure&, std::size_t) override { return nullptr; }
    Result<void> read(void* to, const Exposure& from, std::size_t length) override;
    Result<void> write(const Exposure& to, const void* from, std::size_t length) override;

protected:
    // Of a channel; made on first use. An error where there is no such channel or no room for it.
    Result<Mirror*> mirror(std::uint16_t channel);
    std::span<Mirror* const> mirrors() const { return used_; }  // in the order of first use

private:
    void want();

    MirrorMemory& memory_;
    std::function<void()> wanted_;
    std::array<std::unique_ptr<Mirror>, max_channels> mirrors_;
    std::vector<Mirror*> used_;
};

}  // namespace tenon
