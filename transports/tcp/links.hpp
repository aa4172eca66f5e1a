// Makes the sockets between a rank and its peers on other hosts: the lower rank of a pair connects, the higher is
// connected to at its process's data port, and both prove that they know the job's key. All that are wanted at once; of
// a pair they are numbered, from 0.
//
// For the rank's thread. Nothing waits; a peer whose host cannot be reached in time is an error that names both ranks,
// while one that does something else may take as long as it likes to accept. A pair can do without further sockets than
// the first: where one cannot be made while the peer is there, that is logged.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "os/clock.hpp"
#include "transports/mirrors/peers.hpp"
#include "transports/tcp/connecting.hpp"
#include "transports/tcp/data_port.hpp"
#include "transports/tcp/socket_count.hpp"

namespace tenon::tcp {

struct Peer {
    os::InternetAddress address{};  // not valid for ranks that are not joined
    std::string host{};             // its name, for messages; also this rank's own
    std::string interface {};       // that has the address there; empty where that is unknown
};

class Links {
public:
    Links(Rank own, std::vector<Peer> peers, Purpose purpose, const os::Secret& key, std::shared_ptr<DataPort> port,
          std::uint64_t patience_ms);

    void want(Rank peer) { want(peer, 0); }
    // Those with the numbers 1 to count - 1; both sides must.
    void want_further(Rank peer, unsigned count);
    // Is some socket that is wanted not there yet?
    bool pending() const { return !new_.empty() || !calls_.empty() || !awaited_.empty(); }
    // Is it one that is a peer's first?
    bool lacks_first() const;
    // One that has become ready. It may be of a peer that has not been wanted yet.
    struct Opened {
        Rank peer;
        unsigned number;
        os::TcpSocket socket;
    };
    Result<std::optional<Opened>> next();
    // Logs which further sockets could not be made a second ago or earlier, to peers that are still there: at the end
    // of a job that is no news.
    void tell_of_failed(const std::function<bool(Rank)>& is_there);

    Rank own() const { return own_; }
    std::uint64_t patience_ms() const { return patience_ms_; }
    // How many peers have an address.
    std::uint64_t joined_count() const {
        const auto is_joined = [](const Peer& peer) { return peer.address.valid(); };
        return static_cast<std::uint64_t>(std::ranges::count_if(peers_, is_joined));
    }
    Rank peer_count() const { return static_cast<Rank>(peers_.size()); }
    const Peer& peer(Rank rank) const { return peers_[static_cast<std::size_t>(rank)]; }
    // The same error, with who has lost whom.
    Error lost(Rank peer, const Error& error) const;
    // It could not be connected to: at which address, what the system says, and what may help.
    Error unreachable(Rank peer, const Error& error) const;

private:
    struct Wanted {
        Rank peer;
        unsigned number;
        bool operator==(const Wanted&) const = default;
    };
    // One that this rank makes.
    struct Call {
        Wanted wanted;
        Connecting connecting;
        os::Deadline warn_at;  // that the peer's host does not let it in
        os::TcpSocket socket{};
        os::Deadline may_be_forgotten_at = os::Deadline::never();
        std::optional<os::Handshake> handshake{};  // once connected
        std::optional<HostQuestion> question{};    // since the handshake stays without an answer
    };
    void want(Rank peer, unsigned number);
    void begin(const Wanted& wanted);
    static bool is_own(const os::InternetAddress& address);
    Result<bool> advance(Call& call);
    Result<void> look(Call& call);
    void connect_anew(Call& call);
    static bool was_forgotten(const Call& call, const Error& why);
    void warn_of_closed_door(Call& call);
    bool may_fail(const Wanted& wanted, const Error& why);
    Result<std::optional<Opened>> take_arrival();
    bool has_come(const Wanted& wanted) const {
        return (came_[static_cast<std::size_t>(wanted.peer)] >> wanted.number & 1) != 0;
    }

    Rank own_;
    std::vector<Peer> peers_;
    Purpose purpose_;
    os::Secret key_;
    std::shared_ptr<DataPort> port_;
    std::uint64_t patience_ms_;
    std::vector<std::uint32_t> came_;  // by rank: which sockets of it have come, as bits
    std::vector<Wanted> new_, awaited_;  // awaited: those that the peer makes
    std::vector<Call> calls_;
    struct Failed {
        Wanted wanted;
        Error why;
        os::Deadline tell_at;
    };
    std::vector<Failed> failed_further_;
    os::Deadline further_soon_until_ = os::Deadline::after_ms(0);
    NowAndThen further_{1'000'000}, look_{os::TcpSocket::reach_look_every_ms * 1'000'000};
    std::optional<Error> failed_{};  // a socket tells only once what is wrong with it
};

}  // namespace tenon::tcp
