// The interface of a transport: what joins one rank to the others of its communicator.
//
// A transport makes a Connection for each peer, lazily. A connection has channels, each a pair of ring ends (slots.hpp)
// that the executor works on directly, and, where it can, access to memory that the peer exposes. One rank's transport
// is used by one thread at a time; different ranks' transports in one process are independent.
//
// Lifetime: connections and ends belong to their transport and live until it is destroyed; rings that peers still map
// must outlive the peers' use (shared memory does; a network transport closes in order).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tenon/plugin/slots.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

// Where bytes of the sender (or, in an offer, the receiver) lie; travels in headers.
struct Exposure {
    MessageForm form = MessageForm::arena;  // arena, process or carried
    std::uint64_t address = 0;
};

class Connection {
public:
    virtual ~Connection() = default;

    // The ends of a channel's two rings, made on first use. Fails where slot memory would exceed its cap.
    virtual Result<SendEnd*> send_end(std::uint16_t channel) = 0;
    virtual Result<ReceiveEnd*> receive_end(std::uint16_t channel) = 0;

    // How the peer can reach these bytes of this process directly, if it can.
    virtual std::optional<Exposure> expose(const void* bytes, std::size_t length) const = 0;
    // An address in this process for what the peer exposed, or null where only read() and write() can get there.
    // The other way round: can the peer address what expose() returned? Also true where the transport carries the bytes
    // between the two memories (MessageForm::carried), which costs the ranks no copy either.
    virtual bool peer_addresses(const Exposure& exposure) const = 0;
    virtual std::byte* address_of(const Exposure& exposure, std::size_t length) = 0;
    virtual Result<void> read(void* to, const Exposure& from, std::size_t length) = 0;
    virtual Result<void> write(const Exposure& to, const void* from, std::size_t length) = 0;

    // Which path this is, in a word: "shm", "inproc".
    virtual std::string_view name() const = 0;
};

class Transport {
public:
    virtual ~Transport() = default;

    // By any thread.
    virtual Connection& connection(Rank peer) = 0;
    // This rank's board, which all others read, and the reading end of another rank's.
    virtual Result<SendEnd*> board_send_end() = 0;
    virtual Result<ReceiveEnd*> board_receive_end(Rank writer) = 0;

    // Could a peer address the memory of this process that begins here? Asked for each small call: where no buffer of
    // it is such memory, expose() is not asked.
    virtual bool shares(const void* bytes) const = 0;

    // What a slot holds; the same on every rank.
    virtual std::uint64_t slot_bytes() const = 0;
    // After how many bytes of large messages the memory of a ring is used again.
    virtual std::uint64_t ring_bytes() const = 0;
    // Bytes of slots that this rank reads from, so far; to other hosts, of all that it keeps for its peers.
    virtual ByteCount slot_memory() const = 0;

    // What a transport needs whose peers do not share memory; where all do, nothing ever waits to be moved.
    // Whether progress() must be called, often, for messages to move.
    virtual bool needs_progress() const { return false; }
    // Moves what can be moved now, without waiting. True when nothing that this rank has sent needs its memory or its
    // help any longer. Errors name the peer.
    virtual Result<bool> progress() { return true; }
    // One of them becomes readable when progress() may have something to bring. Valid until the next call.
    virtual std::span<const int> wait_descriptors() const { return {}; }
    // This rank sends nothing more. True when the peers' hosts have all that it sent; until then, call it again.
    virtual Result<bool> finish_sending() { return true; }
    // By what it reaches ranks of other hosts: "tcp", "rdma (mlx5_0, port 1)". Empty where there are none.
    virtual std::string network_in_words() const { return {}; }
    // A call has failed: from now on neither a peer nor a device touches memory that was exposed or offered. The
    // transport can do nothing else afterwards.
    virtual void withdraw() {}
    // As of Network; true where one has done so. By any thread.
    virtual bool prepare(std::span<std::byte>) { return false; }
};

}  // namespace tenon
