// Makes the sockets between a rank and its peers on other hosts: the lower rank of a pair connects, the higher is
// connected to at its process's data port, and both prove that they know the job's key. All that are wanted at once.
//
// For the rank's thread. Nothing waits; a peer that cannot be reached in time is an error that names both ranks.
#pragma once

#include <string>
#include <vector>

#include "os/clock.hpp"
#include "transports/tcp/data_port.hpp"

namespace tenon::tcp {

struct Peer {
    os::InternetAddress address{};  // not valid for ranks that are not joined
    std::string host{};             // its name, for messages; also this rank's own
};

class Links {
public:
    Links(Rank own, std::vector<Peer> peers, Purpose purpose, const os::Secret& key, std::shared_ptr<DataPort> port,
          std::uint64_t patience_ms);

    void want(Rank peer);
    // Is some socket that is wanted not there yet?
    bool pending() const { return !new_.empty() || !calls_.empty() || !awaited_.empty(); }
    // One that has become ready. It may be of a peer that has not been wanted yet.
    struct Opened {
        Rank peer;
        os::TcpSocket socket;
    };
    Result<std::optional<Opened>> next();

    Rank own() const { return own_; }
    Rank peer_count() const { return static_cast<Rank>(peers_.size()); }
    const Peer& peer(Rank rank) const { return peers_[static_cast<std::size_t>(rank)]; }
    // The same error, with who has lost whom.
    Error lost(Rank peer, const Error& error) const;

private:
    // One that this rank makes.
    struct Call {
        Rank peer;
        os::TcpSocket socket;
        os::Deadline until;
        std::optional<os::Handshake> handshake{};  // once connected
        std::optional<os::Deadline> again_at{};    // it could not be reached: when to try anew
        std::string last_problem{};
    };
    Result<bool> connect(Call& call);
    Result<void> begin(Rank peer);
    Result<bool> advance(Call& call);
    Result<std::optional<Opened>> take_arrival();

    Rank own_;
    std::vector<Peer> peers_;
    Purpose purpose_;
    os::Secret key_;
    std::shared_ptr<DataPort> port_;
    std::uint64_t patience_ms_;
    std::vector<bool> came_;  // by rank: has a socket
    std::vector<Rank> new_, awaited_;
    std::vector<Call> calls_;
};

}  // namespace tenon::tcp
