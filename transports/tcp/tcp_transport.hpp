// The part of a rank's Transport that joins it to ranks on other hosts, over TCP.
//
// Threads as in Transport: connection() by any thread, all else by the rank's. Sockets are made when first needed. The
// data port, which the ranks of a process share, must outlive it.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "os/poller.hpp"
#include "transports/tcp/data_port.hpp"
#include "transports/tcp/tcp_connection.hpp"

namespace tenon::tcp {

struct Peer {
    os::InternetAddress address;  // not valid for ranks that this transport does not join
    std::string host;
};

class TcpTransport {
public:
    // shape_of(channel): of both rings of each channel; the same on both sides.
    using ShapeOf = std::function<RingShape(std::uint16_t channel)>;
    static Result<std::unique_ptr<TcpTransport>> make(Rank rank, std::vector<Peer> peers, const os::Secret& key,
                                                      std::shared_ptr<DataPort> port, std::uint64_t patience_ms,
                                                      std::uint64_t slot_memory_cap_bytes, ShapeOf shape_of);

    Connection& connection(Rank peer);
    Result<bool> progress();
    int wait_descriptor() const { return poller_.descriptor().number(); }
    Result<bool> finish_sending();
    ByteCount slot_memory() const { return {slot_memory_.load(std::memory_order_relaxed)}; }

private:
    TcpTransport(Rank rank, std::vector<Peer> peers, const os::Secret& key, std::shared_ptr<DataPort> port,
                 std::uint64_t patience_ms, std::uint64_t slot_memory_cap_bytes, ShapeOf shape_of, os::Poller poller);
    Result<std::unique_ptr<Mirror>> make_mirror(std::uint16_t channel);
    Result<void> begin_new();
    Result<void> begin(TcpConnection& connection);
    Result<void> take_arrivals();
    Result<void> find_readable();

    struct Active {
        TcpConnection* connection;
        bool may_have_come = true;
    };
    Rank rank_;
    std::vector<Peer> peers_;
    os::Secret key_;
    std::shared_ptr<DataPort> port_;
    std::uint64_t patience_ms_, slot_memory_cap_;
    ShapeOf shape_of_;
    os::Poller poller_;  // of the sockets, and the port while a peer is awaited there
    std::atomic<std::uint64_t> slot_memory_ = 0;
    std::mutex connecting_;
    std::vector<std::unique_ptr<TcpConnection>> connections_;  // by rank
    std::vector<TcpConnection*> new_;  // wanted, and nothing done about it yet
    std::vector<Active> active_;
    std::vector<TcpConnection*> awaited_;  // who should come to the port
};

}  // namespace tenon::tcp
