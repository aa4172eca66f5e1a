// Where a process takes data connections from other hosts, for all of its ranks: accepts, lets the other side prove
// that it knows the job's secret before it reads anything else, and keeps the socket until the rank that it is for
// asks.
//
// Thread-safe: whichever rank waits for a peer does the work for all. Strangers are bounded in number and in time, and
// the first is logged.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "os/clock.hpp"
#include "os/handshake.hpp"
#include "os/internet.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon::tcp {

inline constexpr std::uint32_t wire_version = 3;

// What a socket is for.
enum class Purpose : std::uint32_t { messages = 1, introductions = 2 };

// Who a connecting rank says it is, under the handshake's proof.
struct Claim {
    Rank from = no_rank, to = no_rank;
    Purpose purpose{};
    std::uint32_t number = 0;  // of the sockets between the two for that purpose
};
os::Handshake::Claim to_bytes(const Claim& claim);

class DataPort {
public:
    // The listener must outlive it.
    DataPort(const os::TcpListener& listener, const os::Secret& key) : listener_(listener), key_(key) {}

    // Does what can be done now, without waiting, and returns a socket that has come for this rank and purpose, if one
    // has.
    struct Arrival {
        Rank from;
        std::uint32_t number;
        os::TcpSocket socket;
    };
    Result<std::optional<Arrival>> take(Rank to, Purpose purpose);

private:
    struct Guest {
        os::TcpSocket socket;
        os::Handshake handshake;
        std::uint64_t patience_left_ns;
    };
    struct Waiting {
        Claim claim;
        os::TcpSocket socket;
    };
    Result<void> accept_all();
    void advance_guests();
    bool advance(Guest& guest, std::uint64_t waited_ns);  // false: it has come to an end
    void tell_of_stranger(const Guest& guest, std::string_view why);

    const os::TcpListener& listener_;
    os::Secret key_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Guest>> guests_;
    std::vector<Waiting> waiting_;
    std::uint64_t last_look_ns_ = 0;
    bool has_told_ = false;
};

}  // namespace tenon::tcp
