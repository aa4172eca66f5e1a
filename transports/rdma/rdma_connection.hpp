// One rank's connection to a peer over RDMA: the paths between their ports, and the Mirrors of the channels in use.
//
// Until the peer is ready, messages wait in their rings. No function waits. What goes wrong in a completion is told by
// the next progress().
//
// Order: one path, the main one, carries all sends, and a queue pair keeps their order. A bulk message goes with its
// head where a receive of the peer's has room for it. Else it is written into the peer's memory, by the path that will
// be done with it first, and a send says so: behind it where that is the main path, else when the peer's device has
// acknowledged the write. The last of the peer's receives is kept for a note that grants some again, so that two ranks
// never wait for each other's.
//
// A path that fails is closed on both sides, who then tell each other what they have received there, before anything is
// sent again on another: so nothing comes twice, and nothing late (failover.cpp).
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transports/mirrors/by_channel.hpp"
#include "transports/mirrors/mirrored.hpp"
#include "transports/rdma/paces.hpp"

namespace tenon::rdma {

struct Ends {
    Rank own = 0, peer = 0;
    std::string peer_host{};
    std::uint64_t patience_ms = 0;  // how long a peer may be out of reach
};

class RdmaConnection final : public MirroredConnection {
public:
    RdmaConnection(Ends ends, std::vector<Device*> devices, Registrations& registrations, MirrorMemory& memory,
                   std::function<void()> wanted);
    std::string_view name() const override { return "rdma"; }
    // Only memory that can be registered; other large messages are copied through slots.
    std::optional<Exposure> expose(const void* bytes, std::size_t length) const override;
    const Ends& ends() const { return ends_; }

    // Makes the queue pairs, one for each device that can; what the peer must know of them.
    Result<std::vector<Introduction>> begin();
    std::span<const Path> paths() const { return paths_; }
    // The peer has introduced itself: from now on what it sends is taken in. There are as many paths as the one of the
    // two has devices that has fewer; what cannot be joined is lost, and an error only where it is all.
    Result<void> open(std::span<const Introduction> peer);
    // And it takes in what this rank sends.
    void peer_is_ready() { stage_ = Stage::ready; }
    Error broken(std::string_view why) const;

    // Completions: of what this connection has given to a path's device, by its id; and what has come.
    void completed(std::uint32_t path, std::uint64_t id, ibv_wc_status status);
    void arrived(std::uint32_t path, std::span<const std::byte> bytes);
    void put_arrived(std::uint32_t path, std::uint32_t immediate);
    void receive_failed(std::uint32_t path, ibv_wc_status status);
    // What has come by the device takes up no receives any longer.
    void receives_stand(const Device& device) {
        for (Path& path : paths_)
            if (&path.device() == &device) path.receives_stand();
    }
    // The device has reported this of its queue pair, or of itself.
    void reported(std::uint32_t path, ibv_event_type what);

    // True when all that was sent is with the device, as far as completions have been told. `drained`: all that there
    // were last.
    Result<bool> progress(bool drained);
    // The same, and then a goodbye, until the peer's device has it all.
    Result<bool> finish_sending();
    // Undoes the queue pairs: whatever was under way either way is not any longer.
    void withdraw();

private:
    enum class Stage { closed, open, ready, ended };
    // The two payload areas of a channel's Mirror.
    struct Ring {
        // By path; of a device, the first has its regions.
        std::array<Region, most_paths> outgoing{}, incoming{};
        Keys local{}, keys_told{};
        bool is_told = false, is_known = false;
        std::uint64_t peer_address = 0;
        Keys peer_keys{};
        PeerOffers<Keys> peer_offers{};
        ToldOffers<InUse> told{};
        std::array<std::uint64_t, std::size(FrameHead{}.taken)> taken_told{};  // by the last frame
    };
    // A send whose turn has not come, since what it tells of has not been written, or one before it waits.
    struct Pending {
        std::byte* slot;
        std::uint32_t length;      // behind the head
        Device* slots;             // whose the slot is
        Write write{};             // unless it is written:
        bool is_written = true;
        std::uint32_t writer = 0;  // the path that writes
    };
    // How far both sides are with a path that is lost.
    struct Loss {
        bool is_drained = false, is_told = false, is_answered = false, is_settled = false;
        std::uint64_t peer_received = 0;
    };

    Path& main() { return paths_[main_]; }
    const Path& main() const { return paths_[main_]; }
    // Leaving.
    Result<bool> push();
    Result<void> register_new();
    Result<void> register_ring(const Path& path, const Mirror& mirror, Ring& ring);
    Result<bool> push(Mirror& mirror);
    Result<void> tell_ring(Mirror& mirror);
    Result<void> tell_offers(Mirror& mirror);
    Result<void> push_bulk(Mirror& mirror, const Mirror::Outgoing& outgoing, std::byte* slot, bool tells_credits);
    Write write_of(Mirror& mirror, const Mirror::Outgoing& outgoing, WireHead& head);
    Path& path_for(std::uint32_t length);
    bool may_push() const;
    Result<void> send(const WireHead& head, const Send& send);
    Result<void> send_in_turn(const WireHead& head, const Send& send);
    Result<bool> send_note(const WireHead& head, std::span<const std::byte> bytes = {});
    Result<void> begin_write(Pending& pending);
    Result<void> send_pending();
    void written(const std::byte* slot);
    void acknowledge(Path& path);
    bool has_something_to_send() const;
    Result<void> drop_credits();
    // Arriving.
    Result<void> take(const WireHead& head, std::span<const std::byte> bytes);
    Result<void> take_frame(const WireHead& head, std::span<const std::byte> bytes);
    Result<void> take_put(const PutNotice& put);
    Result<void> place(const WireHead& head, std::span<const std::byte> bytes, const Mirror& mirror) const;
    Result<void> take_ring(const WireHead& head, std::span<const std::byte> bytes);
    Result<void> take_offers(const WireHead& head, std::span<const std::byte> bytes);
    // Losing a path (failover.cpp).
    bool may_lose_one() const { return paths_.size() > 1 && stage_ == Stage::ready; }
    void lose(Path& path, std::string_view why);
    void never_opens(Path& path, std::string why, bool peer_may_use_it);
    Result<void> begin_with_what_opens();
    Path* first_open();
    std::string why_lost() const;
    void close_stopped();
    Result<void> tell_lost();
    void wait_for_answer();
    Result<void> take_path_lost(const WireHead& head);
    Result<void> settle();
    Result<void> settle(Path& path);

    void fail_with(Error error);
    Error lost(std::string_view why, std::string_view advice) const;
    std::unexpected<Error> cannot_reach(std::string_view why) const;
    std::string devices_in_words() const;

    Ends ends_;
    std::vector<Device*> devices_;
    Registrations& registrations_;
    ByChannel<Ring> rings_;  // before the queue pairs, which are undone first
    std::vector<Path> paths_;
    std::size_t main_ = 0;
    Paces paces_;
    Stage stage_ = Stage::closed;
    std::optional<Error> error_{};
    std::size_t registered_ = 0;  // Mirrors
    std::deque<Pending> pending_;
    std::size_t carried_ = 0;     // sends under way on the main path behind writes out of the program's memory
    std::array<Loss, most_paths> losses_{};
    bool is_losing_ = false;      // a path, and both sides do not know yet what of it has come
    std::uint64_t losing_ns_ = 0, last_turn_ns_ = 0;  // how long this rank has looked for the peer's word
    bool has_told_of_wait_ = false;                   // since the last loss
    bool says_goodbye_ = false;
};

}  // namespace tenon::rdma
