// The network of whatever UCX finds: RDMA, TCP and others, chosen by UCX (UCX_TLS, UCX_NET_DEVICES).
//
// Threads as of any Network; it has no thread of its own (UCX has one for its events). Endpoints are made when first
// needed, from addresses that come by the introductions; these also tell of peers that are gone while UCX says nothing.
// What a stranger sends to the worker is dropped, and logged once.
#pragma once

#include <mutex>
#include <vector>

#include "tenon/plugin/network.hpp"
#include "transports/mirrors/peers.hpp"
#include "transports/ucx/ucx_connection.hpp"
#include "transports/ucx/ucx_worker.hpp"

namespace tenon::ucx {

class UcxNetwork final : public Network {
public:
    static Result<std::unique_ptr<Network>> make(NetworkFacts facts);
    ~UcxNetwork() override;  // within two seconds, whatever the peers do

    Connection& connection(Rank peer) override;
    Result<bool> progress() override;
    int wait_descriptor() const override;
    Result<bool> finish_sending() override;
    void withdraw() override;
    bool prepare(std::span<std::byte> range) override {
        return registrations_ != nullptr && registrations_->find(range.data(), range.size()) != nullptr;
    }
    std::string in_words() const override { return "ucx"; }
    ByteCount slot_memory() const override { return memory_.taken(); }

    // Of a message that has come; within the worker's progress.
    ucs_status_t arrived(const void* head, std::size_t head_length, void* data, std::size_t length,
                         bool is_rendezvous) noexcept;

private:
    explicit UcxNetwork(NetworkFacts facts);
    Result<void> open();
    void introduce(Rank peer);
    Result<void> take_answers();
    Result<void> tell_who_is_reached();
    void close();

    NetworkFacts facts_;
    MirrorMemory memory_;
    std::unique_ptr<Registrations> registrations_;  // null where messages are never put
    std::mutex connecting_;
    std::vector<std::unique_ptr<UcxConnection>> connections_;  // by rank; they outlive the worker, which calls them
    std::unique_ptr<UcxWorker> worker_;                      // null once withdrawn

    std::vector<UcxConnection*> introduced_;  // by rank
    std::vector<UcxConnection*> active_;      // the same, in order
    std::size_t unanswered_ = 0, untold_ = 0, unready_ = 0;
    std::optional<Error> introduction_error_{};
    bool has_told_of_stranger_ = false;
    mutable NowAndThen check_;  // of who is still there
};

}  // namespace tenon::ucx
