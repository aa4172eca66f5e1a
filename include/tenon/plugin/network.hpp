// The interface of a network: what joins a rank to those that share no memory with it. The library's Transport asks it
// for the connections to ranks of other hosts, and calls progress() while calls run.
//
// Threads: connection() and prepare() by any thread, everything else by the rank's own, one at a time. Nothing waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/rdma.hpp"
#include "tenon/plugin/slot_budget.hpp"
#include "tenon/plugin/transport.hpp"
#include "tenon/plugin/ucx.hpp"

namespace tenon {

class Network {
public:
    virtual ~Network() = default;
    // As of Transport, whose words hold here too.
    virtual Connection& connection(Rank peer) = 0;
    // An error of status `timeout`: the peer's host has been silent for too long (NetworkFacts::patience_ms). After any
    // other of a peer, the communicator waits a little for what explains it better, as the peer's death.
    virtual Result<bool> progress() = 0;
    // Becomes readable when progress() may have something to bring.
    virtual int wait_descriptor() const = 0;
    virtual Result<bool> finish_sending() = 0;
    // Of its rings and of what it keeps beside them for each peer, so far.
    virtual ByteCount slot_memory() const = 0;
    // Its name, and which hardware it uses, where it knows: "rdma (mlx5_0, port 1)".
    virtual std::string in_words() const = 0;
    virtual void withdraw() {}
    // This memory, which is known, has been given to tenonCommRegister: what takes its time is best done now. False
    // where there is nothing to be done, or it cannot be. By any thread.
    virtual bool prepare(std::span<std::byte>) { return false; }
};

inline bool lies_in(std::span<const std::byte> range, const void* bytes, std::size_t length) {
    const auto* const first = static_cast<const std::byte*>(bytes);
    return first >= range.data() && length <= range.size() && first <= range.data() + (range.size() - length);
}

// Memory of the program whose end the library learns of before it comes: what tenonMemAlloc has given out, and what is
// registered with the communicator. A network may prepare a range once, as devices want it, and keep it so to its end.
class KnownMemory {
public:
    virtual ~KnownMemory() = default;
    // The known range that all of these bytes lie in, if there is one.
    virtual std::optional<std::span<std::byte>> range_of(const void* bytes, std::size_t length) const = 0;
    // `ended` is called with each range that ends, just before, by whichever thread ends it, until what is returned is
    // destroyed.
    virtual std::shared_ptr<void> tell_ends(std::function<void(std::span<std::byte> range)> ended) = 0;
};

// How two ranks that have no connection yet tell each other what one needs to make it (addresses, keys): over a socket
// that has proved on both sides that it belongs to the job, and which stays, to see whether the peer does.
class Introductions {
public:
    static constexpr std::size_t most_bytes = 16 << 10;
    virtual ~Introductions() = default;
    // Tells the peer these bytes, and asks for its own. Once for each peer; both sides must.
    virtual Result<void> introduce(Rank peer, std::span<const std::byte> own) = 0;
    // What a peer has said that has not been returned yet.
    struct Answer {
        Rank peer;
        std::vector<std::byte> bytes;
    };
    virtual Result<std::optional<Answer>> next_answer() = 0;
    // Tells a peer that has answered that this rank is ready for what it sends by other ways; once, where a network
    // needs that. And which peer has told that and has not been returned yet.
    virtual Result<void> say_ready(Rank peer) = 0;
    virtual Result<std::optional<Rank>> next_ready() = 0;
    // An error that names the peer where one that was introduced is gone without farewell(), or out of reach.
    virtual Result<void> check() = 0;
    // This rank sends nothing more.
    virtual void farewell() = 0;
};

// What a network is made from.
struct NetworkFacts {
    Rank rank = 0;
    Rank rank_count = 1;
    std::vector<std::string> hosts{};  // by rank, for messages; also this rank's, and empty for those not joined
    std::function<RingShape(std::uint16_t channel)> shape_of{};  // of both rings of a channel; the same on all ranks
    std::shared_ptr<SlotBudget> slots{};  // for the rings; this rank's other networks take from it, too
    std::uint64_t peer_bytes = 64 << 10;  // what it may take for each peer beside them: queues, receives
    std::uint64_t patience_ms = 0;                               // how long a peer may be out of reach
    std::shared_ptr<Introductions> introductions{};
    std::shared_ptr<KnownMemory> known_memory{};  // null where there is none
    std::uint64_t registered_cap_bytes = 0;       // how much of it may be kept prepared
    RdmaChoices rdma{};
    UcxChoices ucx{};
    // The process's, for whoever must know what users have told another library.
    std::map<std::string, std::string, std::less<>> environment{};
    std::string interface {};  // of the system, for what goes by sockets, where the user has said; else empty
};

// A network as modules export it (module.hpp).
struct NetworkRow {
    std::string_view name;     // what TENON_TRANSPORT calls it, and Connection::name()
    std::string_view summary;
    // Why it cannot be used on this machine; empty where it can.
    std::string (*obstacle)() = nullptr;
    Result<std::unique_ptr<Network>> (*make)(NetworkFacts facts) = nullptr;
    // By which kinds of hardware here it beats sockets, a bit each, of at most eight: two processes are joined by what
    // both have. Where TENON_NETWORK leaves the choice to Tenon, only this is taken. Null or none: never.
    std::uint8_t (*beats_sockets)() = nullptr;
};

}  // namespace tenon
