#include "os/internet.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "os/system_error.hpp"

namespace tenon::os {
namespace {

constexpr int socket_flags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int probe_every_ms = 1000;  // the system counts in seconds
// So many packets in a row must have stayed without an answer before a host is out of reach.
constexpr unsigned least_unanswered = 3;
constexpr int tcp_rto_max_ms = 44;  // the option TCP_RTO_MAX_MS, which the C library's headers do not have yet

struct SystemAddress {
    sockaddr_storage where{};
    socklen_t bytes = sizeof where;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&where); }
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&where); }
    int family() const { return where.ss_family; }
};

SystemAddress to_system(const InternetAddress& address) {
    SystemAddress made;
    if (address.is_ipv4()) {
        auto* in = reinterpret_cast<sockaddr_in*>(&made.where);
        in->sin_family = AF_INET;
        in->sin_port = htons(address.port);
        std::memcpy(&in->sin_addr, address.host.data() + mapped_prefix.size(), 4);
        made.bytes = sizeof *in;
    } else {
        auto* in = reinterpret_cast<sockaddr_in6*>(&made.where);
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(address.port);
        in->sin6_scope_id = address.scope;
        std::memcpy(&in->sin6_addr, address.host.data(), 16);
        made.bytes = sizeof *in;
    }
    return made;
}

// Not valid for what is neither IPv4 nor IPv6.
InternetAddress of_system(const sockaddr* where) {
    InternetAddress address;
    if (where->sa_family == AF_INET) {
        const auto* in = reinterpret_cast<const sockaddr_in*>(where);
        std::ranges::copy(mapped_prefix, address.host.begin());
        std::memcpy(address.host.data() + mapped_prefix.size(), &in->sin_addr, 4);
        address.port = ntohs(in->sin_port);
        address.known = 1;
    } else if (where->sa_family == AF_INET6) {
        const auto* in = reinterpret_cast<const sockaddr_in6*>(where);
        std::memcpy(address.host.data(), &in->sin6_addr, 16);
        address.scope = in->sin6_scope_id;
        address.port = ntohs(in->sin6_port);
        address.known = 1;
    }
    return address;
}

Result<void> set_option(const FileDescriptor& socket, int level, int option, int value, std::string_view name) {
    if (setsockopt(socket.number(), level, option, &value, sizeof value) == 0) return {};
    return system_error(fmt::format("cannot set {} of a socket", name));
}

// Who refuses is there, and will not change; what cannot be reached may be a moment later.
std::unexpected<Error> cannot_connect(const std::string& tried, int error) {
    switch (error) {
        case ECONNREFUSED:
        case ECONNRESET: return fail(Status::remote_error, fmt::format("{}: {}", tried, std::strerror(error)));
        case ENETUNREACH:
        case EHOSTUNREACH:
        case ENETDOWN:
        case EHOSTDOWN:
        case ETIMEDOUT: return fail(Status::timeout, fmt::format("{}: {}", tried, std::strerror(error)));
        default: return system_error(tried, error);
    }
}

int mtu_of(const FileDescriptor& socket, const char* interface) {
    ifreq request{};
    std::strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    return ioctl(socket.number(), SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : 0;
}

// Reading it fails where there is no cable, or no such thing.
int speed_of(const std::string& interface) {
    std::ifstream file("/sys/class/net/" + interface + "/speed");
    int speed = 0;
    return file >> speed && speed > 0 ? speed : 0;
}

}  // namespace

bool InternetAddress::is_ipv4() const {
    return std::equal(mapped_prefix.begin(), mapped_prefix.end(), host.begin());
}

InternetAddress InternetAddress::with_port(std::uint16_t number) const {
    InternetAddress changed = *this;
    changed.port = number;
    return changed;
}

std::string InternetAddress::host_text() const {
    if (!valid()) return "no address";
    char text[INET6_ADDRSTRLEN] = {};
    if (is_ipv4()) inet_ntop(AF_INET, host.data() + mapped_prefix.size(), text, sizeof text);
    else inet_ntop(AF_INET6, host.data(), text, sizeof text);
    char link[IF_NAMESIZE];
    if (scope != 0 && if_indextoname(scope, link) != nullptr) return fmt::format("{}%{}", text, link);
    return text;
}

std::string InternetAddress::text() const {
    if (!valid()) return "no address";
    return is_ipv4() ? fmt::format("{}:{}", host_text(), port) : fmt::format("[{}]:{}", host_text(), port);
}

Result<std::vector<InternetAddress>> resolve(const std::string& host, std::uint16_t port) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int answer = getaddrinfo(host.c_str(), nullptr, &wanted, &found);
    if (answer == EAI_SYSTEM) return system_error(fmt::format("cannot look up host {}", host));
    if (answer != 0)
        return fail(Status::system_error, fmt::format("cannot look up host {}: {}", host, gai_strerror(answer)));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all{found, freeaddrinfo};
    std::vector<InternetAddress> addresses;
    for (const addrinfo* at = all.get(); at != nullptr; at = at->ai_next)
        if (const InternetAddress a = of_system(at->ai_addr).with_port(port);
            a.valid() && std::ranges::find(addresses, a) == addresses.end())
            addresses.push_back(a);
    if (addresses.empty()) return fail(Status::system_error, fmt::format("host {} has no internet address", host));
    return addresses;
}

Result<std::vector<NetworkInterface>> network_interfaces() {
    ifaddrs* found = nullptr;
    if (getifaddrs(&found) != 0) return system_error("cannot list the network interfaces (getifaddrs)");
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> all{found, freeifaddrs};
    const FileDescriptor asking{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    std::vector<NetworkInterface> interfaces;
    for (const ifaddrs* at = all.get(); at != nullptr; at = at->ifa_next) {
        if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
        const InternetAddress address = of_system(at->ifa_addr);
        if (address.valid())
            interfaces.push_back({at->ifa_name, address, (at->ifa_flags & IFF_LOOPBACK) != 0,
                                  mtu_of(asking, at->ifa_name), speed_of(at->ifa_name)});
    }
    return interfaces;
}

LinkFacts link_with(const InternetAddress& own) {
    LinkFacts facts;
    const auto interfaces = network_interfaces();
    if (!interfaces) return facts;
    const auto at = std::ranges::find_if(*interfaces, [&](const auto& i) { return i.address.same_host(own); });
    if (at == interfaces->end()) return facts;
    facts.megabits = static_cast<std::uint64_t>(at->speed_mbps);
    std::ifstream{fmt::format("/sys/class/net/{}/device/vendor", at->name)} >> std::hex >> facts.vendor;
    return facts;
}

Result<TcpSocket> TcpSocket::start_connecting(const InternetAddress& to, const InternetAddress& from,
                                              int most_segment_bytes) {
    const SystemAddress target = to_system(to);
    FileDescriptor socket{::socket(target.family(), socket_flags, 0)};
    if (!socket.valid()) return system_error("cannot create a socket");
    socket.keep_from_children();
    // Small messages must not wait for more to come.
    if (auto set = set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !set)
        return std::unexpected(set.error());
    if (most_segment_bytes != 0)
        if (auto set = set_option(socket, IPPROTO_TCP, TCP_MAXSEG, most_segment_bytes, "TCP_MAXSEG"); !set)
            return std::unexpected(set.error());
    if (from.valid()) {
        const SystemAddress source = to_system(from.with_port(0));
        if (bind(socket.number(), source.get(), source.bytes) != 0)
            return system_error(fmt::format("cannot use the local address {}", from.host_text()));
    }
    if (::connect(socket.number(), target.get(), target.bytes) != 0 && errno != EINPROGRESS && errno != EINTR) {
        return cannot_connect(fmt::format("cannot connect to {}", to.text()), errno);
    }
    return TcpSocket{std::move(socket)};
}

Result<void> TcpSocket::finish_connecting() const {
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(descriptor().number(), SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        return system_error("cannot read the state of a socket");
    if (error == 0) return {};
    return cannot_connect("cannot connect", error);
}

Result<TcpSocket> TcpSocket::connect(const InternetAddress& to, Deadline deadline, const InternetAddress& from) {
    auto socket = start_connecting(to, from);
    if (!socket) return socket;
    if (auto ready = wait_for(socket->descriptor(), POLLOUT, deadline, fmt::format("{} to answer", to.text())); !ready)
        return std::unexpected(ready.error());
    if (auto done = socket->finish_connecting(); !done)
        return fail(done.error().status, fmt::format("{} ({})", done.error().message, to.text()));
    return socket;
}

// Beside the probes: what is sent again is never more than a second apart, or, so that the system does not give up
// first, a sixth of the patience (Linux 6.15 and newer).
Result<void> TcpSocket::set_probes(std::uint64_t patience_ms) const {
    const auto count = std::clamp<std::uint64_t>(patience_ms / probe_every_ms, least_unanswered, 100);
    struct Option {
        int level, name, value;
        std::string_view text;
    };
    for (const auto& [level, option, value, name] :
         {Option{SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"}, Option{IPPROTO_TCP, TCP_KEEPIDLE, 1, "TCP_KEEPIDLE"},
          Option{IPPROTO_TCP, TCP_KEEPINTVL, 1, "TCP_KEEPINTVL"},
          Option{IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(count), "TCP_KEEPCNT"},
          Option{IPPROTO_TCP, TCP_USER_TIMEOUT, 0, "TCP_USER_TIMEOUT"}})
        if (auto set = set_option(descriptor(), level, option, value, name); !set) return set;
    const auto most_ms = std::clamp<std::uint64_t>(patience_ms / 6, probe_every_ms, 120'000);
    static_cast<void>(
        set_option(descriptor(), IPPROTO_TCP, tcp_rto_max_ms, static_cast<int>(most_ms), "TCP_RTO_MAX_MS"));
    return {};
}

Result<void> TcpSocket::set_patience(std::uint64_t patience_ms) const {
    if (auto set = set_probes(patience_ms); !set) return set;
    constexpr std::uint64_t least_ms = least_unanswered * probe_every_ms + probe_every_ms / 2;
    const auto whole = static_cast<int>(std::clamp<std::uint64_t>(patience_ms, least_ms, 1'000'000'000));
    return set_option(descriptor(), IPPROTO_TCP, TCP_USER_TIMEOUT, whole, "TCP_USER_TIMEOUT");
}

namespace {

Result<tcp_info> info_of(const FileDescriptor& socket) {
    tcp_info info{};
    socklen_t bytes = sizeof info;
    if (getsockopt(socket.number(), IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0)
        return system_error("cannot read the state of a connection");
    return info;
}

}  // namespace

Result<TcpSocket::Answers> TcpSocket::answers() const {
    const auto info = info_of(descriptor());
    if (!info) return std::unexpected(info.error());
    return Answers{info->tcpi_retransmits, info->tcpi_last_ack_recv};
}

Result<std::size_t> TcpSocket::segment_bytes() const {
    int value = 0;
    socklen_t bytes = sizeof value;
    if (getsockopt(descriptor().number(), IPPROTO_TCP, TCP_MAXSEG, &value, &bytes) != 0)
        return system_error("cannot read the segment size of a connection");
    return static_cast<std::size_t>(value);
}

Result<std::uint32_t> TcpSocket::path_mtu() const {
    SystemAddress own;
    int value = 0;
    socklen_t bytes = sizeof value;
    const bool is_known = getsockname(descriptor().number(), own.get(), &own.bytes) == 0;
    const bool is_ipv6 = own.family() == AF_INET6;
    if (!is_known || getsockopt(descriptor().number(), is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                is_ipv6 ? IPV6_MTU : IP_MTU, &value, &bytes) != 0)
        return system_error("cannot read the MTU of a connection's path");
    return static_cast<std::uint32_t>(value);
}

// A host that is up acknowledges what is sent again, or says that its process has no room: then neither counter grows.
// What is only received is not acknowledged by anyone, but is a sign of life, too.
Result<TcpSocket::Reach> TcpSocket::reach(std::uint64_t patience_ms) const {
    const auto info = info_of(descriptor());
    if (!info) return std::unexpected(info.error());
    const std::uint32_t silent_ms = std::min(info->tcpi_last_ack_recv, info->tcpi_last_data_recv);
    const bool is_silent = info->tcpi_retransmits + 1U >= least_unanswered || info->tcpi_probes >= least_unanswered;
    if (is_silent && silent_ms > longest_silence_ms(patience_ms)) {
        const auto mtu = path_mtu();  // not known any more where the system has no way there
        return fail(Status::timeout,
                    fmt::format("the other side cannot be reached any more (no answer for {} ms): its host is down, "
                                "the network between is cut, or it does not carry {} (MTU)",
                                silent_ms, mtu ? fmt::format("packets of {} bytes", *mtu) : "large packets"));
    }
    if (info->tcpi_probes == 0) return Reach::answers;
    const auto on_the_way = unacknowledged_bytes();
    if (!on_the_way) return std::unexpected(on_the_way.error());
    return *on_the_way == 0 ? Reach::doubtful : Reach::answers;
}

Result<std::size_t> TcpSocket::unacknowledged_bytes() const {
    int bytes = 0;
    if (ioctl(descriptor().number(), SIOCOUTQ, &bytes) != 0) return system_error("cannot read a socket's send queue");
    return static_cast<std::size_t>(bytes);
}

Result<InternetAddress> TcpSocket::local_address() const {
    SystemAddress found;
    if (getsockname(descriptor().number(), found.get(), &found.bytes) != 0)
        return system_error("cannot read a socket's own address");
    return of_system(found.get());
}

Result<InternetAddress> TcpSocket::peer_address() const {
    SystemAddress found;
    if (getpeername(descriptor().number(), found.get(), &found.bytes) != 0)
        return system_error("cannot read the address of a socket's other side");
    return of_system(found.get());
}

Result<std::optional<TcpListener>> TcpListener::listen(const InternetAddress& at) {
    const SystemAddress where = to_system(at);
    FileDescriptor socket{::socket(where.family(), socket_flags, 0)};
    if (!socket.valid()) return system_error("cannot create a socket");
    socket.keep_from_children();
    // The address of all IPv6 interfaces is that of all IPv4 ones, too, whatever the system's default.
    if (!at.is_ipv4())
        if (auto set = set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0, "IPV6_V6ONLY"); !set)
            return std::unexpected(set.error());
    // A port that a finished job used may be taken again at once.
    if (auto set = set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"); !set)
        return std::unexpected(set.error());
    if (bind(socket.number(), where.get(), where.bytes) != 0) {
        if (errno == EADDRINUSE) return std::nullopt;
        return system_error(fmt::format("cannot bind {}", at.text()));
    }
    if (::listen(socket.number(), SOMAXCONN) != 0) {
        if (errno == EADDRINUSE) return std::nullopt;
        return system_error(fmt::format("cannot listen on {}", at.text()));
    }
    SystemAddress got;
    if (getsockname(socket.number(), got.get(), &got.bytes) != 0)
        return system_error("cannot read a socket's own address");
    return TcpListener{std::move(socket), of_system(got.get())};
}

Result<std::optional<TcpSocket>> TcpListener::accept() const {
    FileDescriptor socket{accept4(socket_.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket.valid()) {
        // Whoever was about to connect is gone already: that is no fault of the listener's.
        for (const int error : {EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH})
            if (errno == error) return std::nullopt;
        return system_error("cannot accept a connection");
    }
    socket.keep_from_children();
    if (auto set = set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !set)
        return std::unexpected(set.error());
    return TcpSocket{std::move(socket)};
}

void TcpListener::close() {
    if (socket_.valid() && socket_.is_of_this_process()) ::shutdown(socket_.number(), SHUT_RDWR);
    socket_.close();
}

}  // namespace tenon::os
