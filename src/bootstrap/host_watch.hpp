// Whether the host at the other end of an edge of the tree is there, whatever its process does: looked at now and then,
// as TcpSocket::reach() says. Where it is doubtful, a knock is sent, a frame that says nothing.
//
// So a host that dies while ranks meet is an error on its neighbours within the patience. For one thread.
#pragma once

#include "os/clock.hpp"
#include "os/internet.hpp"

namespace tenon::bootstrap {

class HostWatch {
public:
    explicit HostWatch(std::uint64_t patience_ms) : patience_ms_{patience_ms} {}

    // An error once the host is out of reach. `may_knock`: the other side still reads frames.
    Result<void> look(os::TcpSocket& edge, bool may_knock);
    // All the bytes; also until the host is out of reach.
    Result<void> send(os::TcpSocket& edge, std::span<const std::byte> bytes, os::Deadline deadline);

private:
    std::uint64_t patience_ms_;
    os::Deadline next_look_ = os::Deadline::after_ms(0);
};

}  // namespace tenon::bootstrap
