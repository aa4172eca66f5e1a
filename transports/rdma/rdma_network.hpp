// The network over RDMA (libibverbs): a queue pair to each peer for each device.
//
// Threads as of any Network. Queue pairs are made when a peer is first needed; what their making needs to be told goes
// through the introductions, and nothing is sent before the peer has said that it is ready, since a queue pair that is
// not yet connected drops what comes.
#pragma once

#include <mutex>
#include <unordered_map>
#include <vector>

#include "os/poller.hpp"
#include "tenon/plugin/network.hpp"
#include "transports/mirrors/peers.hpp"
#include "transports/rdma/rdma_connection.hpp"

namespace tenon::rdma {

class RdmaNetwork final : public Network {
public:
    static Result<std::unique_ptr<Network>> make(NetworkFacts facts, VerbsApi& api);

    Connection& connection(Rank peer) override { return connection_to(peer); }
    Result<bool> progress() override;
    int wait_descriptor() const override;
    Result<bool> finish_sending() override;
    std::string in_words() const override;
    ByteCount slot_memory() const override { return memory_.taken(); }
    void withdraw() override;
    bool prepare(std::span<std::byte> range) override {
        return registrations_.find(range.data(), range.size()) != nullptr;
    }

private:
    RdmaNetwork(NetworkFacts facts, std::vector<std::unique_ptr<Device>> devices, std::optional<os::Poller> poller);
    RdmaConnection& connection_to(Rank peer);
    void introduce(Rank peer);
    Result<void> take_answers();
    std::vector<Device*> devices() const;
    // True when there are no more.
    Result<bool> take_completions(std::size_t device);
    Result<void> post_receives(std::size_t device);
    Result<void> take(std::size_t device, const ibv_wc& done);
    Result<void> take_troubles();
    Result<void> take_trouble(std::size_t device, const Trouble& trouble);

    NetworkFacts facts_;
    MirrorMemory memory_;
    std::vector<std::unique_ptr<Device>> devices_;
    std::optional<os::Poller> poller_;  // of their completions, where there are several
    Registrations registrations_;  // outlives the connections, whose devices may be at work in them
    std::mutex connecting_;
    std::vector<std::unique_ptr<RdmaConnection>> connections_;  // by rank
    std::vector<RdmaConnection*> active_;                       // introduced
    struct Joined {
        RdmaConnection* connection;
        std::uint32_t path;
    };
    std::vector<std::unordered_map<std::uint32_t, Joined>> by_pair_;  // of each device
    std::size_t unanswered_ = 0, unready_ = 0;
    bool drained_ = false;  // by the last progress(): all completions that there were have been told
    std::optional<Error> introduction_error_{}, over_{};
    mutable NowAndThen check_;  // of who is still there, and of what the device reports
};

}  // namespace tenon::rdma
