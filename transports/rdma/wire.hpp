// What ranks tell each other: introductions (over sockets that have proved who they belong to), and the heads of what
// goes through the queue pairs. Both hosts are of one kind, so numbers travel in their own byte order.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "tenon/plugin/types.hpp"
#include "transports/mirrors/frame.hpp"
#include "transports/mirrors/offers.hpp"

namespace tenon::rdma {

inline constexpr std::uint32_t wire_version = 8;

// Between two ranks: the queue pairs of all ports.
inline constexpr std::size_t most_paths = 4;
using Keys = std::array<std::uint32_t, most_paths>;  // of one piece of memory, by path

// A rank introduces itself with one for each path that it could use.
// How to reach one queue pair of a rank, and how many receives stand there for this peer's sends: none where the rank
// cannot use its port for this peer, which keeps the paths' numbers as they are.
struct Introduction {
    std::uint32_t version = wire_version;
    std::uint32_t pair_number = 0;
    std::uint32_t packet_number = 0;  // of the first packet that it sends
    std::uint32_t window = 0;
    std::uint32_t local_id = 0;
    std::uint32_t path_mtu = 0;    // an ibv_mtu
    std::uint32_t receive_bytes = 0;  // that each of its receives has room for
    std::byte global_id[16] = {};
    char device[64] = {};
};
static_assert(std::is_trivially_copyable_v<Introduction> && std::has_unique_object_representations_v<Introduction>);

// None where they are not such.
inline std::vector<Introduction> read_introductions(std::span<const std::byte> bytes) {
    const std::size_t count = bytes.size() / sizeof(Introduction);
    if (count == 0 || count > most_paths || bytes.size() != count * sizeof(Introduction)) return {};
    std::vector<Introduction> read(count);
    std::memcpy(read.data(), bytes.data(), bytes.size());
    for (Introduction& one : read) {
        if (one.version != wire_version) return {};
        one.device[sizeof one.device - 1] = 0;
    }
    return read;
}

enum class Note : std::uint16_t {
    frame = 1,  // of a Mirror, with its bytes; those of a bulk one without were written before
    ring = 2,   // where the payloads of a channel's incoming ring lie, for the peer to write there: Keys follow
    grant = 3,  // nothing but `granted`
    offers = 4,  // where messages of a channel may be put: WireOffers follow
    path_lost = 5,  // a path is closed at this side, which has received so many sends there
};

// One cache line.
struct WireHead {
    Note note{};
    std::uint16_t channel = 0;  // of a ring or of offers
    std::uint32_t granted = 0;  // so many receives are free for the peer's sends again
    FrameHead frame{};
    // What follows is not sent with small messages.
    // bulk: behind the start of the ring's payloads, or put_place; ring: its address at the sender;
    // path_lost: the sends received
    std::uint64_t place = 0;
    std::uint32_t path = 0;   // path_lost: which
    std::uint32_t size = 0;   // ring: how many bytes of payloads, which must be as many on both sides
};
static_assert(sizeof(WireHead) == 64);
static_assert(std::is_trivially_copyable_v<WireHead> && std::has_unique_object_representations_v<WireHead>);

// A small message's bytes begin where it needs no more of its head: so one of a line stays within the first size of
// memory that soft RoCE takes for a packet, and shorter packets are quicker everywhere.
inline constexpr std::size_t small_head_bytes = offsetof(WireHead, place);
inline std::size_t head_bytes(const WireHead& head) {
    const bool is_small = head.note == Note::frame && head.frame.kind == FrameKind::packed;
    return is_small ? small_head_bytes : sizeof(WireHead);
}

inline WireHead head_of(const std::byte* slot) {
    WireHead head;
    std::memcpy(&head, slot, sizeof head);
    return head;
}

// The place of a bulk message that lies where the receiver has offered.
inline constexpr std::uint64_t put_place = UINT64_MAX;

// Where one message may be put.
using WireOffer = tenon::WireOffer<Keys>;
static_assert(std::is_trivially_copyable_v<WireOffer> && std::has_unique_object_representations_v<WireOffer>);

// The immediate of a write to where the receiver offered: which message that was. All else that its head would say, the
// receiver has offered, or has been told before.
struct PutNotice {
    FrameKind kind{};
    std::uint16_t channel = 0, number = 0;  // the lower half of the message's
};
inline std::uint32_t write_immediate(const FrameHead& frame) {
    return frame.number << 16 | (frame.kind == FrameKind::large ? 0x8000U : 0U) | frame.channel;
}
inline PutNotice read_immediate(std::uint32_t immediate) {
    return {(immediate & 0x8000U) != 0 ? FrameKind::large : FrameKind::medium,
            static_cast<std::uint16_t>(immediate & 0x7fffU), static_cast<std::uint16_t>(immediate >> 16)};
}

}  // namespace tenon::rdma
