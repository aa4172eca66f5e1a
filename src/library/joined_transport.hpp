// A rank's Transport where some peers are reached through shared memory and others over a network: each pair on its own
// path. There is no board: what one rank writes, not all others could read.
#pragma once

#include <vector>

#include "tenon/plugin/network.hpp"
#include "transports/rings/ring_transport.hpp"

namespace tenon {

class JoinedTransport final : public Transport {
public:
    // `is_remote`: by rank, who is reached over the network.
    JoinedTransport(std::unique_ptr<RingTransport> local, std::unique_ptr<Network> remote,
                    std::vector<bool> is_remote, std::uint64_t slot_bytes)
        : local_(std::move(local)),
          remote_(std::move(remote)),
          is_remote_(std::move(is_remote)),
          slot_bytes_(slot_bytes) {}

    Connection& connection(Rank peer) override {
        return is_remote_[static_cast<std::size_t>(peer)] ? remote_->connection(peer) : local_->connection(peer);
    }
    Result<SendEnd*> board_send_end() override { return std::unexpected(no_board()); }
    Result<ReceiveEnd*> board_receive_end(Rank) override { return std::unexpected(no_board()); }
    bool shares(const void* bytes) const override { return local_->shares(bytes); }
    std::uint64_t slot_bytes() const override { return slot_bytes_; }
    std::uint64_t ring_bytes() const override { return local_->ring_bytes(); }
    ByteCount slot_memory() const override { return {local_->slot_memory().value + remote_->slot_memory().value}; }

    bool needs_progress() const override { return true; }
    Result<bool> progress() override { return remote_->progress(); }
    int wait_descriptor() const override { return remote_->wait_descriptor(); }
    Result<bool> finish_sending() override { return remote_->finish_sending(); }

private:
    static Error no_board();

    std::unique_ptr<RingTransport> local_;
    std::unique_ptr<Network> remote_;
    std::vector<bool> is_remote_;
    std::uint64_t slot_bytes_;
};

}  // namespace tenon
