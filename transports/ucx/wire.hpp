// What ranks tell each other over UCX: introductions (over sockets that have proved who they belong to) and the heads
// of active messages. UCX's own sockets prove nothing, so every message carries a token that its receiver made and told
// the sender alone; one without it is a stranger's.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "tenon/plugin/types.hpp"
#include "transports/mirrors/offers.hpp"

namespace tenon::ucx {

inline constexpr unsigned message_id = 0x7e;  // the one active message there is
inline constexpr std::uint16_t wire_version = 3;

using Token = std::uint64_t;

enum class Note : std::uint16_t {
    frame = 0,   // of a Mirror, with its bytes
    put = 1,     // a message whose bytes are already where the receiver has offered
    key = 2,     // of memory that messages may be put into: a WireKey, and what UCX has packed
    offers = 3,  // where messages of the frame's channel may be put: Offers
};

struct MessageHead {
    FrameHead frame{};  // goodbye: number is a Notice, taken[0] how many messages the sender has sent in all
    Token token = 0;
    Rank from = no_rank;
    std::uint16_t version = wire_version;
    Note note = Note::frame;
};
static_assert(std::is_trivially_copyable_v<MessageHead> && std::has_unique_object_representations_v<MessageHead>);

// `hello` opens every connection, so that UCX connects it in both directions before either side can leave.
enum class Notice : std::uint32_t { leaves = 0, has_everything = 1, hello = 2 };

// By which a rank tells one key of its memory from others; a newer one with an index is instead of the older.
inline constexpr std::uint32_t most_keys = 64;
struct KeyName {
    std::uint32_t index = 0, generation = 0;  // from 0, and from 1
};
struct WireKey {
    KeyName name{};
    std::uint64_t first = 0, bytes = 0;  // the memory, where its rank has it
};
static_assert(std::is_trivially_copyable_v<WireKey> && std::has_unique_object_representations_v<WireKey>);
using Offer = WireOffer<KeyName>;
static_assert(std::is_trivially_copyable_v<Offer> && std::has_unique_object_representations_v<Offer>);

// How to reach a rank: the token for messages to it, and the address of its worker.
struct Introduction {
    std::uint32_t version = wire_version;
    std::uint32_t release = 0;  // of UCX: major << 16 | minor
    Token token = 0;
};

inline std::vector<std::byte> to_bytes(const Introduction& introduction, std::span<const std::byte> address) {
    std::vector<std::byte> bytes(sizeof introduction);
    std::memcpy(bytes.data(), &introduction, sizeof introduction);
    bytes.insert(bytes.end(), address.begin(), address.end());
    return bytes;
}

// Nothing where the bytes are no introduction, or of another version.
struct ReadIntroduction {
    Introduction head;
    std::span<const std::byte> address;
};
inline std::optional<ReadIntroduction> read_introduction(std::span<const std::byte> bytes) {
    ReadIntroduction read;
    if (bytes.size() <= sizeof read.head) return std::nullopt;
    std::memcpy(&read.head, bytes.data(), sizeof read.head);
    if (read.head.version != wire_version) return std::nullopt;
    read.address = bytes.subspan(sizeof read.head);
    return read;
}

}  // namespace tenon::ucx
