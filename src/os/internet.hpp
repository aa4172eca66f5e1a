// Addresses and sockets between hosts: TCP over IPv4 and IPv6.
//
// Errors and deadlines as in socket.hpp. One thread uses a socket at a time; listeners may be used by any.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "os/socket.hpp"

namespace tenon::os {

// Where somebody listens. Travels in messages between hosts of one kind: no padding, no pointers.
struct InternetAddress {
    std::array<std::uint8_t, 16> host{};  // IPv6, or IPv4 in its mapped form (::ffff:a.b.c.d)
    std::uint32_t scope = 0;              // which link, for a link-local IPv6 address
    std::uint16_t port = 0;
    std::uint16_t known = 0;  // 0: no address

    bool valid() const { return known == 1; }
    bool is_ipv4() const;
    bool same_host(const InternetAddress& other) const { return host == other.host && scope == other.scope; }
    InternetAddress with_port(std::uint16_t number) const;
    std::string text() const;  // "10.77.0.1:5000", "[fd77::1]:5000"
    std::string host_text() const;
    friend bool operator==(const InternetAddress&, const InternetAddress&) = default;
};

// What a host's name or numeric address means, in the resolver's order; never empty.
Result<std::vector<InternetAddress>> resolve(const std::string& host, std::uint16_t port);

struct NetworkInterface {
    std::string name;
    InternetAddress address;
    bool is_loopback = false;
    int mtu = 0;
    int speed_mbps = 0;  // 0: unknown, as of most virtual ones
};
// Those that are up, each address apart, in the system's order.
Result<std::vector<NetworkInterface>> network_interfaces();

// What the system knows of the interface with this address.
struct LinkFacts {
    std::uint64_t megabits = 0;  // a second; 0: it does not know
    std::uint32_t vendor = 0;    // of the device, in PCI's numbers; 0: there is none
};
LinkFacts link_with(const InternetAddress& own);

class TcpSocket : public StreamSocket {
public:
    using StreamSocket::StreamSocket;
    // Begins to connect: writable when it has come to something, which finish_connecting() then tells. `from`: the
    // local address to use, or an invalid one. `most_segment_bytes`: both ways nothing larger is put into a packet; 0:
    // whatever the path takes. Errors of both: remote_error where nobody listens, timeout where the address cannot be
    // reached now.
    static Result<TcpSocket> start_connecting(const InternetAddress& to, const InternetAddress& from = {},
                                              int most_segment_bytes = 0);
    Result<void> finish_connecting() const;
    static Result<TcpSocket> connect(const InternetAddress& to, Deadline deadline, const InternetAddress& from = {});

    // Is the peer's host there, whatever its process does? `patience_ms` is how long it takes at most until all ranks
    // of a job have been told that it is not, from the moment on which nothing of it comes any more:
    //   longest_silence_ms, after which reach() says so, if at least three packets in a row stayed without an answer
    //   + the rest for looking (reach_look_every_ms) and telling.
    // What is sent and not answered the system sends again, after 0.2 s, 0.4 s later, and so on: three packets within
    // a second. Where nothing is sent it probes only once a second. So as soon as one probe has stayed unanswered,
    // reach() is `doubtful`, and its caller sends something, whatever it is. Below 2,000 ms, a connection on which
    // nothing is sent takes up to two seconds nevertheless.
    static constexpr std::uint64_t longest_silence_ms(std::uint64_t patience_ms) { return patience_ms / 6 * 5; }
    static constexpr std::uint64_t reach_look_every_ms = 150;
    enum class Reach { answers, doubtful };
    // An error of status `timeout`: the host is out of reach. The process there may leave unread what it likes.
    Result<Reach> reach(std::uint64_t patience_ms) const;
    // For those who call reach(). While nobody does, the system gives up a connection on which nothing is sent about a
    // second later.
    Result<void> set_probes(std::uint64_t patience_ms) const;
    // For those who do not: the system gives it up in any case, up to a second and a half later. The process must read
    // sooner or later what is sent: with much unread, a stopped one is lost too.
    Result<void> set_patience(std::uint64_t patience_ms) const;
    // What a packet to the peer holds of what is sent, and how large it is in all, as far as the system knows the path.
    Result<std::size_t> segment_bytes() const;
    Result<std::uint32_t> path_mtu() const;
    // How often in a row the system has sent again what stays unanswered, and how long ago the peer's answered last.
    struct Answers {
        unsigned sent_again = 0;
        std::uint64_t silent_ms = 0;
    };
    Result<Answers> answers() const;
    // Bytes that the peer's host has not yet said it has.
    Result<std::size_t> unacknowledged_bytes() const;
    Result<InternetAddress> local_address() const;
    Result<InternetAddress> peer_address() const;
};

class TcpListener {
public:
    TcpListener() = default;
    // Port 0: any that is free. Nothing when the port is taken.
    static Result<std::optional<TcpListener>> listen(const InternetAddress& at);
    // Nothing when no one is waiting to be accepted now.
    Result<std::optional<TcpSocket>> accept() const;
    const InternetAddress& address() const { return address_; }  // with the port that it got
    const FileDescriptor& descriptor() const { return socket_; }
    // From then on connecting is refused, also while a forked child still has the socket.
    void close();

private:
    TcpListener(FileDescriptor socket, const InternetAddress& address)
        : socket_{std::move(socket)}, address_{address} {}
    FileDescriptor socket_;
    InternetAddress address_;
};

}  // namespace tenon::os
