// One rank's way to a peer over RDMA: a queue pair, and the Mirrors of the channels in use.
//
// Until the peer is ready, messages wait in their rings. No function waits. What goes wrong in a completion is told by
// the next progress().
//
// Order: a queue pair keeps it. A bulk message is written into the peer's ring, and the send behind it says so.
// Receives: every send takes one of those that the peer keeps for this rank; it grants them again in what it sends, or
// in a note of their own. The last one is kept for such a note, so that two ranks never wait for each other's.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transports/mirrors/mirrored.hpp"
#include "transports/rdma/device.hpp"
#include "transports/rdma/registrations.hpp"

namespace tenon::rdma {

struct Ends {
    Rank own = 0, peer = 0;
    std::string peer_host{};
};

class RdmaConnection final : public MirroredConnection {
public:
    RdmaConnection(Ends ends, Device& device, Registrations& registrations, MirrorMemory& memory,
                   std::function<void()> wanted);
    std::string_view name() const override { return "rdma"; }
    // Only memory that can be registered; other large messages are copied through slots.
    std::optional<Exposure> expose(const void* bytes, std::size_t length) const override;
    const Ends& ends() const { return ends_; }

    // Makes the queue pair; what the peer must know of it.
    Result<Introduction> begin();
    std::uint32_t pair_number() const { return pair_->qp_num; }
    // The peer has introduced itself: from now on what it sends is taken in.
    Result<void> open(const Introduction& peer);
    // And it takes in what this rank sends.
    void peer_is_ready() { stage_ = Stage::ready; }
    Error broken(std::string_view why) const;

    // Completions: of what this connection has given to the device, by its id; and what has come.
    void completed(std::uint64_t id, ibv_wc_status status);
    void arrived(std::span<const std::byte> bytes);
    void receive_failed(ibv_wc_status status);
    // The device has reported this of its queue pair.
    void reported(ibv_event_type what);

    // True when all that was sent is with the device.
    Result<bool> progress();
    // The same, and then a goodbye, until the peer's device has it all.
    Result<bool> finish_sending();
    // Undoes the queue pair: whatever was under way either way is not any longer.
    void withdraw();

private:
    enum class Stage { closed, open, ready, ended };
    // The two payload areas of a channel's Mirror.
    struct Ring {
        Region outgoing{}, incoming{};
        bool is_told = false, is_known = false;
        std::uint64_t peer_address = 0;
        std::uint32_t peer_key = 0;
        // By the message's number, as many as the ring has slots: what the peer offers, and the memory behind what it
        // has been offered. Empty before the first.
        std::vector<WireOffer> peer_offers{};
        struct Told {
            std::uint32_t number = 0;
            InUse memory{};
        };
        std::vector<Told> told{};
    };

    // Leaving.
    Result<void> push();
    Result<void> register_new();
    Result<void> push(Mirror& mirror);
    Result<void> tell_ring(Mirror& mirror);
    Result<void> tell_offers(Mirror& mirror);
    Result<void> push_bulk(Mirror& mirror, const Mirror::Outgoing& outgoing, std::byte* slot);
    static const WireOffer* offer_for(const Ring& ring, const FrameHead& frame);
    bool may_send(std::uint32_t kept) const;
    Result<void> send(std::byte* slot, WireHead head, std::size_t length, ibv_send_wr* before = nullptr,
                      Work work = Work::send);
    Result<void> send_note(const WireHead& head);
    bool has_something_to_send() const;
    Result<void> drop_credits();
    // Arriving.
    Result<void> take(const WireHead& head, std::span<const std::byte> bytes);
    Result<void> take_frame(const WireHead& head, std::span<const std::byte> bytes);
    Result<void> take_ring(const WireHead& head);
    Result<void> take_offers(const WireHead& head, std::span<const std::byte> bytes);

    void fail_with(Error error);
    Error lost(std::string_view why, std::string_view advice) const;

    Ends ends_;
    Device& device_;
    Registrations& registrations_;
    std::unique_ptr<std::array<Ring, max_channels>> rings_;  // before the queue pair, which is undone first
    QueuePair pair_;
    Introduction own_{};
    std::uint32_t most_inline_ = 0;
    Stage stage_ = Stage::closed;
    std::optional<Error> error_{};
    std::size_t registered_ = 0;     // Mirrors
    std::uint32_t credits_ = 0;      // sends that the peer has receives for
    std::uint32_t window_ = 0;       // of the peer, in all
    std::uint32_t free_receives_ = 0;  // of this rank for the peer's sends, not granted yet
    std::uint32_t under_way_ = 0;    // sends that have not completed
    std::deque<InUse> carried_;      // the memory behind carrying sends that have not completed, in their order
    bool says_goodbye_ = false;
};

}  // namespace tenon::rdma
