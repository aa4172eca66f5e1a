// A rank's Transport where some peers are reached through shared memory and others over networks: each pair on its own
// path. There is no board: what one rank writes, not all others could read.
#pragma once

#include <vector>

#include "tenon/plugin/network.hpp"
#include "transports/rings/ring_transport.hpp"

namespace tenon {

// The networks of one rank, and which of them joins it to whom.
struct Networks {
    std::vector<std::unique_ptr<Network>> made;
    std::vector<Network*> by_rank;  // null for those who are not reached over a network
};

class JoinedTransport final : public Transport {
public:
    JoinedTransport(std::unique_ptr<RingTransport> local, Networks remote, std::uint64_t slot_bytes)
        : local_(std::move(local)),
          remote_(std::move(remote)),
          slot_bytes_(slot_bytes),
          wait_descriptors_(remote_.made.size()) {}

    Connection& connection(Rank peer) override;
    Result<SendEnd*> board_send_end() override { return std::unexpected(no_board()); }
    Result<ReceiveEnd*> board_receive_end(Rank) override { return std::unexpected(no_board()); }
    bool shares(const void* bytes) const override { return local_->shares(bytes); }
    std::uint64_t slot_bytes() const override { return slot_bytes_; }
    std::uint64_t ring_bytes() const override { return local_->ring_bytes(); }
    ByteCount slot_memory() const override;

    bool needs_progress() const override { return true; }
    Result<bool> progress() override;
    std::span<const int> wait_descriptors() const override;
    Result<bool> finish_sending() override;
    std::string network_in_words() const override;
    void withdraw() override;
    bool prepare(std::span<std::byte> range) override;

private:
    static Error no_board();

    std::unique_ptr<RingTransport> local_;
    Networks remote_;
    std::uint64_t slot_bytes_;
    mutable std::vector<int> wait_descriptors_;
};

}  // namespace tenon
