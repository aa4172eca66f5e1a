// The network that needs no library: a socket to each peer on another host, or several.
//
// Threads as of any Network. Sockets are made when first needed.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "os/poller.hpp"
#include "tenon/plugin/network.hpp"
#include "transports/mirrors/peers.hpp"
#include "transports/tcp/links.hpp"
#include "transports/tcp/tcp_connection.hpp"

namespace tenon::tcp {

class TcpNetwork final : public Network {
public:
    // `sockets`: how many it would have to each peer; nothing: as many as the link is worth. The peer may have fewer.
    static Result<std::unique_ptr<Network>> make(NetworkFacts facts, std::unique_ptr<Links> links,
                                                 std::optional<unsigned> sockets);

    Connection& connection(Rank peer) override;
    Result<bool> progress() override;
    int wait_descriptor() const override;
    Result<bool> finish_sending() override;
    std::string in_words() const override { return "tcp"; }
    ByteCount slot_memory() const override { return memory_.taken(); }

private:
    struct Active {
        TcpConnection* connection;
        Rank peer;
    };

    TcpNetwork(NetworkFacts facts, std::unique_ptr<Links> links, std::optional<unsigned> sockets, os::Poller poller);
    TcpConnection& connection_to(Rank peer);
    Result<void> take_up_new();
    unsigned sockets_over(const os::TcpSocket& socket);
    Result<void> find_readable();
    bool something_waits();
    Result<void> check_reach();
    Result<bool> named(const Active& a, Result<bool> said) const;

    NetworkFacts facts_;
    std::unique_ptr<Links> links_;
    os::Poller poller_;  // of the sockets
    MirrorMemory memory_;
    std::mutex connecting_;
    std::vector<std::unique_ptr<TcpConnection>> connections_;  // by rank
    std::vector<Active> active_;
    std::size_t socket_count_ = 0;
    std::optional<unsigned> sockets_;
    std::map<std::string, unsigned> usual_sockets_;  // by own address
    mutable NowAndThen look_;  // whether peers answer
};

}  // namespace tenon::tcp
