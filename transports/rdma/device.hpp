// An RDMA device as one rank uses it: which one and which port, the queues that all its peers share, and the slots that
// what is sent and received lies in.
//
// The shared receive queue holds `window()` receives for each peer, and a peer sends no more than it has been granted:
// so a receive is always there. What is under way at once is bounded by the slots, and so fits the completion queue.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "os/memory.hpp"
#include "os/socket.hpp"
#include "tenon/plugin/rdma.hpp"
#include "tenon/plugin/slots.hpp"
#include "tenon/plugin/types.hpp"
#include "transports/rdma/verbs_api.hpp"
#include "transports/rdma/wire.hpp"

namespace tenon::rdma {

// What the library made, undone when it dies.
template <class T, int (VerbsApi::*undo)(T*)>
struct Undo {
    VerbsApi* api = nullptr;
    void operator()(T* made) const { (api->*undo)(made); }
};
template <class T, int (VerbsApi::*undo)(T*)>
using Handle = std::unique_ptr<T, Undo<T, undo>>;
using Region = Handle<ibv_mr, &VerbsApi::dereg_mr>;
using QueuePair = Handle<ibv_qp, &VerbsApi::destroy_qp>;

// What leaves lies in slots of this size, except the bytes of bulk messages; what arrives has as much room at least.
inline constexpr std::size_t slot_bytes = 640;
static_assert(sizeof(WireHead) + packed_bytes <= slot_bytes);
// Where there is memory for it, a receive has room for bulk messages of so many bytes: with its head, such a message is
// one packet or two.
inline constexpr std::size_t roomy_messages[] = {4096, 2048, 1024};

// What a completion is of: its id is the slot's address with this in the lowest bits.
enum class Work : std::uint64_t { receive = 0, send = 1, write = 2 };
inline Work work_of(std::uint64_t id) { return static_cast<Work>(id & 3); }
inline std::byte* slot_of(std::uint64_t id) { return reinterpret_cast<std::byte*>(id & ~std::uint64_t{3}); }

// A device and a port of it that can be used.
struct Port {
    Handle<ibv_context, &VerbsApi::close_device> context;
    std::string name;
    std::uint8_t number = 1;
    ibv_device_attr device{};
    ibv_port_attr facts{};
    std::uint8_t gid_index = 0;
    ibv_gid gid{};
    // Of the packets that it sends.
    std::uint16_t pkey_index = 0;
    std::uint8_t traffic_class = 0, service_level = 0;
};
// The active ports of all devices, by the devices' names; or those of them that are named ("mlx5_0:1,mlx5_1"), as they
// shall be used. An error that says what there is instead where there is none, or no such one.
Result<std::vector<Port>> find_ports(VerbsApi& api, const RdmaChoices& choices = {});
// What a device has reported unasked, beside what it says of its ports; of a queue pair, or of all that is on it.
struct Trouble {
    ibv_event_type what;
    std::optional<std::uint32_t> pair_number{};
};

// Why there is no RDMA here; empty where there is.
std::string obstacle(VerbsApi& api);
// To what kind of fabric this host's first device leads, if it can all that is needed: 1 InfiniBand, 2 Ethernet (RoCE).
std::uint8_t usable_fabrics(VerbsApi& api);

class Device {
public:
    static constexpr std::uint64_t most_send_slots = 256, least_send_slots = 16;

    struct Wanted {
        std::uint64_t peers = 1;
        std::uint64_t slots_cap_bytes = UINT64_MAX;  // as far as a few receives for each peer allow
        std::uint64_t patience_ms = 0;
        std::optional<std::uint32_t> timeout{};
        std::uint32_t retry_count = RdmaChoices{}.retry_count;
        bool is_timed = false;  // so that it can tell when what is found done was done
    };
    static Result<std::unique_ptr<Device>> open(VerbsApi& api, Port port, const Wanted& wanted);

    VerbsApi& api() const { return api_; }
    const std::string& name() const { return port_.name; }
    std::string in_words() const;  // "mlx5_0, port 1, packets of 4096 bytes"
    // To a peer's queue pair: "mlx5_0 (port 1, GID 3) and mlx5_2 there, in packets of 4096 bytes".
    std::string way_in_words(const Introduction& peer) const;
    // Its name, and what is known to be amiss with it; for errors.
    std::string name_and_state() const;
    std::uint32_t window() const { return window_; }
    // Of slots: for what is sent, and for what all peers send.
    std::uint64_t slot_memory() const { return receive_count_ * receive_bytes_ + send_count_ * slot_bytes; }
    std::size_t receive_bytes() const { return receive_bytes_; }
    const ibv_port_attr& port_facts() const { return port_.facts; }

    Result<Region> register_memory(std::span<std::byte> memory, bool peers_write) const;

    struct NewPair {
        QueuePair pair;
        std::uint32_t most_inline;
    };
    Result<NewPair> make_pair() const;
    Introduction introduction(const ibv_qp& pair) const;
    // Joins it to the peer's; from then on it takes in what comes.
    Result<void> connect(ibv_qp& pair, const Introduction& own, const Introduction& peer) const;
    // From now on it takes in nothing more.
    void stop(ibv_qp& pair) const;

    // For what is sent; null where all are in use.
    std::byte* take_send_slot();
    void free_send_slot(std::byte* slot) { free_sends_.push_back(slot); }
    std::uint32_t slots_key() const { return region_->lkey; }

    // Up to `done.size()` completions, without waiting.
    std::size_t poll(std::span<ibv_wc> done);
    // What has just been found done was done by then, and may have been for so long; where it is timed.
    std::uint64_t polled_ns() const { return polled_ns_; }
    std::uint64_t unknown_ns() const { return unknown_ns_; }
    // The slot of a receive that has completed may be used again, from when it is posted: all of them at one time, when
    // nothing has come that is worth more, or when they are many for the window.
    void free_receive_slot(std::byte* slot) { free_receives_.push_back(slot); }
    bool should_post_receives(bool is_idle) const { return free_receives_.size() >= (is_idle ? 1 : most_unposted_); }
    Result<void> post_free_receives();
    // Readable when there may be completions. At first it is at once, so that the caller polls again before it sleeps.
    int wait_descriptor();
    // The same but for the first time.
    int completion_descriptor() const { return channel_->fd; }

    // The next thing that the device has reported and that ends something; takes what it says of its port on the way.
    // A system call or more.
    std::optional<Trouble> next_trouble();

private:
    Device(VerbsApi& api, Port port, os::WakeSignal always_ready)
        : api_(api), port_(std::move(port)), always_ready_(std::move(always_ready)) {}
    Result<void> set_up(const Wanted& wanted);
    Result<void> size_window(const Wanted& wanted);
    std::unexpected<Error> failed(std::string_view what, int error) const;
    static bool is_readable(int descriptor);
    void tell_time();
    void take_port_event(ibv_event_type what, int number);

    VerbsApi& api_;
    Port port_;
    os::WakeSignal always_ready_;
    std::uint32_t window_ = 0;
    std::uint64_t receive_count_ = 0, send_count_ = 0;
    std::size_t receive_bytes_ = slot_bytes;
    std::uint8_t timeout_ = 0;  // 4.096 us * 2^timeout
    std::uint8_t retry_count_ = 0;
    os::Mapping slots_;  // the receives, then the sends
    std::vector<std::byte*> free_sends_, free_receives_;
    std::size_t most_unposted_ = 1;
    Handle<ibv_pd, &VerbsApi::dealloc_pd> domain_;
    Handle<ibv_comp_channel, &VerbsApi::destroy_comp_channel> channel_;
    Handle<ibv_cq, &VerbsApi::destroy_cq> completions_;
    Handle<ibv_srq, &VerbsApi::destroy_srq> receives_;
    Region region_;  // of the slots
    bool is_armed_ = false;
    bool is_timed_ = false, is_awaited_ = false, has_more_ = false;
    std::uint64_t polled_ns_ = 0, unknown_ns_ = 0;
    bool port_is_down_ = false;
};

}  // namespace tenon::rdma
