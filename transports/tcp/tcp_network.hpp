// The network that needs no library: a socket to each peer on another host.
//
// Threads as of any Network. Sockets are made when first needed.
#pragma once

#include <mutex>
#include <vector>

#include "os/poller.hpp"
#include "tenon/plugin/network.hpp"
#include "transports/mirrors/peers.hpp"
#include "transports/tcp/links.hpp"
#include "transports/tcp/tcp_connection.hpp"

namespace tenon::tcp {

class TcpNetwork final : public Network {
public:
    static Result<std::unique_ptr<Network>> make(NetworkFacts facts, std::unique_ptr<Links> links);

    Connection& connection(Rank peer) override;
    Result<bool> progress() override;
    int wait_descriptor() const override { return poller_.descriptor().number(); }
    Result<bool> finish_sending() override;
    ByteCount slot_memory() const override { return memory_.taken(); }

private:
    struct Active {
        TcpConnection* connection;
        Rank peer;
    };

    TcpNetwork(NetworkFacts facts, std::unique_ptr<Links> links, os::Poller poller);
    TcpConnection& connection_to(Rank peer);
    Result<void> take_up_new();
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
    NowAndThen look_;  // whether peers answer
};

}  // namespace tenon::tcp
