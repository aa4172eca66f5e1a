// One rank's way to a peer over UCX: an endpoint, and the Mirrors of the channels in use.
//
// Until both ends are connected, messages wait in their rings. No function waits, and UCX's callbacks throw nothing:
// what goes wrong in them is told by the next progress().
//
// Connecting: UCX 1.13 ends the process where an endpoint comes to its end while a message of UCX's own, by which two
// endpoints get to know each other, waits for a socket. So both sides first make their way to the other (reaching) and
// tell each other so by the introductions (reached); only then UCX gets something to send, a hello (greeting), and
// nothing more before it has connected both ends, which for the peer's side whatever comes from it proves.
//
// Order: UCX promises none between active messages. Frames of a channel are taken by their numbers; one that is ahead,
// or behind a rendezvous that is still under way, is held until its turn. The credits bound how many that can be.
// Memory: a frame's head, and bytes where they were packed, lie in one of at most 64 slots until UCX has done with
// them, and progress() is true only when no slot is in use. So the memory of a message is never read later.
//
// Puts (puts.cpp): a large message for which the peer has told an offer is put there, and the endpoint flushed; only
// when both are done, its head follows, since UCX orders no active message behind a put. It then has its turn as any.
#pragma once

#include <ucp/api/ucp.h>

#include <memory>
#include <string>

#include "os/clock.hpp"
#include "transports/mirrors/by_channel.hpp"
#include "transports/mirrors/mirrored.hpp"
#include "transports/ucx/ucx_memory.hpp"

namespace tenon::ucx {

// Who is at the two ends, for messages and for proof.
struct Ends {
    Rank own = 0, peer = 0;
    std::string peer_host{};
    Token token = 0;  // what the peer's messages must carry
};

// From here on; as rdma, which copies what is shorter.
inline constexpr std::size_t put_min_bytes = 16 << 10;

// What a rank's connections put by.
struct Puts {
    UcxPuts choice = UcxPuts::never;  // never also where the worker has none
    Registrations* registrations = nullptr;
};

class UcxConnection final : public MirroredConnection {
public:
    // Beside the rings it keeps about `slots_bytes`.
    UcxConnection(Ends ends, ucp_worker_h worker, Puts puts, MirrorMemory& memory, std::uint64_t slots_bytes,
                  std::function<void()> wanted);
    ~UcxConnection() override;
    std::string_view name() const override { return "ucx"; }
    const Ends& ends() const { return ends_; }
    void expect(Token token) { ends_.token = token; }

    // The peer has introduced itself.
    Result<void> open(const ReadIntroduction& peer);
    // True once, when there is a way to the peer, which is to be told so.
    bool reaches_peer();
    // The peer has told that.
    void peer_is_ready();

    // A message has come, with the right token: within the worker's progress, so its errors wait for progress().
    ucs_status_t arrived(const MessageHead& head, void* data, std::size_t length, bool is_rendezvous) noexcept;

    // True when all that calls have sent has gone, to the last byte.
    Result<bool> progress();
    // The same, and then a goodbye, until the peer says that it has everything, or has said nothing for a second.
    Result<bool> finish_sending();

    // Drops what is under way. True once UCX has done with it; until then, the worker must progress.
    bool close();
    // Before the worker ends.
    void forget_keys();
    // How many messages it has put.
    std::uint64_t messages_put() const { return messages_put_; }

private:
    enum class Stage { closed, reaching, reached, greeting, open, ended };
    static constexpr std::uint64_t least_slots = 4, most_slots_here = 64;
    struct Slot {
        UcxConnection* connection = nullptr;
        MessageHead head{};
        const std::byte* bytes = nullptr;
        // Of a put: how many of its steps are under way, what came of them, and the key that it needs.
        int steps = 0;
        ucs_status_t status = UCS_OK;
        PeerKeys::Key key{};
        Mirror::PackedRoom room;
    };
    struct Held {
        MessageHead head;
        void* rendezvous = nullptr;  // UCX's descriptor, or else
        std::vector<std::byte> bytes{};
    };
    // Of a channel: what arrives on it.
    struct Incoming {
        UcxConnection* connection = nullptr;
        std::uint32_t next = 1;  // the number whose turn it is
        bool is_receiving = false;
        FrameHead receiving{};
        std::vector<Held> held{};
        PeerOffers<KeyName> peer_offers{};
        ToldOffers<InUse> told{};
    };
    struct EarlyNote {
        MessageHead head;
        std::vector<std::byte> bytes;
    };

    void connect();
    void flush();
    void flushed(ucs_status_t status) noexcept;
    bool has_endpoint() const { return stage_ != Stage::closed && stage_ != Stage::ended; }
    // Leaving.
    bool take_frame();
    bool has_something_to_send();
    unsigned take_slot(const MessageHead& head);
    void submit(unsigned slot);
    void send(Slot& slot, std::size_t length);
    void send_notice(Notice what);
    void send_done(Slot& slot, ucs_status_t status) noexcept;
    Result<void> drop_credits();
    // Putting.
    void begin_puts();
    void tell_offers();
    void tell_offers(Mirror& mirror);
    InUse memory_to_tell(const Mirror::Offered& offered);
    void send_note(Note note, std::uint16_t channel, unsigned slot, std::size_t length);
    void put(Slot& slot, const Offer& offer, PeerKeys::Key key);
    void put_step(Slot& slot, ucs_status_ptr_t request);
    void put_step_done(Slot& slot, ucs_status_t status) noexcept;
    void send_put_heads();
    void take_note(const MessageHead& head, std::span<const std::byte> bytes);
    void deliver_put(Incoming& in, const FrameHead& head);
    // Arriving.
    ucs_status_t accept(const MessageHead& head, void* data, std::size_t length, bool is_rendezvous);
    bool is_known(const MessageHead& head, std::size_t length, bool is_rendezvous) const;
    void hold(Incoming& in, const MessageHead& head, void* data, std::size_t length, bool is_rendezvous);
    void deliver(Incoming& in, const FrameHead& head, const void* bytes);
    void receive(Incoming& in, const FrameHead& head, void* rendezvous);
    void receive_done(Incoming& in, ucs_status_t status) noexcept;
    void take_held();
    void take_held(Incoming& in);
    bool has_everything() const { return peer_leaves_ && received_ == peer_sent_; }

    void endpoint_failed(ucs_status_t status) noexcept;
    void broken(std::string_view why);
    void fail_with(Error error);
    Error lost(std::string_view why, std::string_view advice) const;
    Result<void> end_or_fail();

    Ends ends_;
    ucp_worker_h worker_;
    ucp_ep_h endpoint_ = nullptr;
    Stage stage_ = Stage::closed;
    bool is_flushing_ = false, is_peer_ready_ = false, is_greeted_ = false;
    ucs_status_t endpoint_status_ = UCS_OK;
    std::optional<Error> error_{};
    bool is_closing_ = false;
    ucs_status_ptr_t closing_ = nullptr;

    Puts puts_;
    bool has_puts_ = false;  // known once it is open
    std::string put_lane_{};
    ToldKeys told_keys_;
    PeerKeys peer_keys_;
    std::vector<EarlyNote> early_notes_{};
    std::uint64_t messages_put_ = 0;
    std::size_t failed_put_bytes_ = 0;

    std::vector<Slot> slots_;
    std::uint64_t all_slots_, free_slots_;  // a bit each
    std::uint64_t put_ = 0;      // slots whose message is in the peer's memory, and whose head has not been sent
    std::uint64_t notices_ = 0;  // slots with what no call waits for: a peer that is done with its own may not take it
    std::optional<unsigned> queued_{};  // a slot with a frame that has not been given to UCX
    Token token_ = 0;                   // which messages to the peer carry
    std::uint64_t sent_ = 0;            // messages, without credits
    bool has_lost_messages_ = false;

    ByChannel<Incoming> incoming_;
    std::size_t held_ = 0, receiving_ = 0;
    std::uint64_t received_ = 0;

    // Parting.
    bool peer_leaves_ = false, has_acknowledged_ = false;
    std::uint64_t peer_sent_ = 0;
    bool leaves_ = false, is_acknowledged_ = false;
    std::optional<os::Deadline> patience_{};  // once this rank leaves
};

}  // namespace tenon::ucx
