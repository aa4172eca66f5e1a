#include "os/socket.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "os/system_error.hpp"

namespace tenon::os {
namespace {

constexpr int socket_flags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

struct Address {
    sockaddr_un where{};
    socklen_t bytes = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&where); }
};

// An abstract name starts with a zero byte and is not terminated: its length is the address's.
Result<Address> abstract_address(std::string_view name) {
    Address address;
    if (name.empty() || name.size() >= sizeof address.where.sun_path)
        return fail(Status::invalid_argument, fmt::format("a socket name must have 1 to {} bytes, this one has {}",
                                                          sizeof address.where.sun_path - 1, name.size()));
    address.where.sun_family = AF_UNIX;
    std::copy(name.begin(), name.end(), address.where.sun_path + 1);
    address.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    return address;
}

// What errno says of a connection that is over; nothing when it is something else.
std::optional<Error> lost_connection(int error) {
    switch (error) {
        case EPIPE:
        case ECONNRESET:
        case ECONNABORTED:
            return Error{Status::remote_error, "the other side closed the connection or its process ended"};
        case ETIMEDOUT:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EHOSTDOWN:
        case ENETDOWN:
            return Error{Status::remote_error,
                         fmt::format("the other side cannot be reached any more ({}): its host is down or the network "
                                     "between is cut",
                                     std::strerror(error))};
        default: return std::nullopt;
    }
}

// Room for one descriptor in a message's ancillary data, aligned as the kernel wants it.
struct PassedRoom {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes{};
};

void attach(msghdr& message, PassedRoom& room, const FileDescriptor& passed) {
    message.msg_control = room.bytes.data();
    message.msg_controllen = room.bytes.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = passed.number();
    std::memcpy(CMSG_DATA(header), &number, sizeof number);
}

FileDescriptor detach(msghdr& message) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int number = -1;
        std::memcpy(&number, CMSG_DATA(header), sizeof number);
        return FileDescriptor{number};
    }
    return FileDescriptor{};
}

msghdr message_of(std::span<const iovec> parts) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = parts.size();
    return message;
}

// What recv() or recvmsg() has said.
Result<std::size_t> what_came(ssize_t received) {
    if (received > 0) return static_cast<std::size_t>(received);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (const auto lost = lost_connection(received == 0 ? EPIPE : errno)) return std::unexpected(*lost);
    return system_error("cannot receive from a socket");
}

void shut_and_close(FileDescriptor& socket) {
    if (socket.valid() && socket.is_of_this_process()) ::shutdown(socket.number(), SHUT_RDWR);
    socket.close();
}

}  // namespace

void StreamSocket::close() { shut_and_close(socket_); }
void LocalListener::close() { shut_and_close(socket_); }

Result<void> wait_for(const FileDescriptor& socket, short events, Deadline deadline, std::string_view waited_for) {
    pollfd watched{socket.number(), events, 0};
    for (;;) {
        if (auto go_on = deadline.check(waited_for); !go_on) return go_on;
        auto ready = wait_ready(std::span{&watched, 1}, deadline);
        if (!ready) return std::unexpected(ready.error());
        if (*ready) return {};
    }
}

void wait_readable(std::span<const int> descriptors, std::uint64_t most_us) {
    std::array<pollfd, 8> watched;
    const std::size_t count = std::min(descriptors.size(), watched.size());
    for (std::size_t i = 0; i < count; i++) watched[i] = {descriptors[i], POLLIN, 0};
    const timespec most{.tv_sec = static_cast<time_t>(most_us / 1'000'000),
                        .tv_nsec = static_cast<long>(most_us % 1'000'000 * 1000)};
    ppoll(watched.data(), count, &most, nullptr);
}

Result<bool> wait_ready(std::span<pollfd> watched, Deadline deadline, int most_ms) {
    const int ready = poll(watched.data(), watched.size(), deadline.slice_ms(most_ms));
    if (ready < 0 && errno != EINTR) return system_error("cannot wait for a socket (poll)");
    return ready > 0;
}

Result<std::optional<LocalSocket>> LocalSocket::connect(std::string_view name, Deadline deadline) {
    const auto address = abstract_address(name);
    if (!address) return std::unexpected(address.error());
    FileDescriptor socket{::socket(AF_UNIX, socket_flags, 0)};
    if (!socket.valid()) return system_error("cannot create a local socket");
    socket.keep_from_children();
    while (::connect(socket.number(), address->get(), address->bytes) != 0) {
        if (errno == ECONNREFUSED) return std::nullopt;
        if (errno != EAGAIN && errno != EINTR) return system_error(fmt::format("cannot connect to @{}", name));
        if (auto go_on = deadline.check("a place in the listener's queue"); !go_on)
            return std::unexpected(go_on.error());
        sleep_ms(1);
    }
    return LocalSocket{std::move(socket)};
}

Result<std::pair<LocalSocket, LocalSocket>> LocalSocket::pair() {
    int ends[2];
    if (socketpair(AF_UNIX, socket_flags, 0, ends) != 0) return system_error("cannot create a pair of sockets");
    return std::pair{LocalSocket{FileDescriptor{ends[0]}}, LocalSocket{FileDescriptor{ends[1]}}};
}

Result<void> StreamSocket::send(std::span<const std::byte> bytes, Deadline deadline, const FileDescriptor* passed) {
    while (!bytes.empty()) {
        const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
        msghdr message = message_of({&part, 1});
        PassedRoom room;
        if (passed != nullptr) attach(message, room, *passed);
        const ssize_t sent = sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
            passed = nullptr;
        } else if (errno == ETOOMANYREFS) {  // too many descriptors are on their way: receivers must take some first
            if (auto go_on = deadline.check("receivers to take their descriptors"); !go_on) return go_on;
            sleep_ms(1);
        } else if (errno == EAGAIN) {
            if (auto room_made = wait_for(socket_, POLLOUT, deadline, "the other side to read"); !room_made)
                return room_made;
        } else if (const auto lost = lost_connection(errno)) {
            return std::unexpected(*lost);
        } else if (errno != EINTR) {
            return system_error("cannot send to a socket");
        }
    }
    return {};
}

// To tell the system of a list of places costs half a microsecond, of the 15 that 8 bytes take between two hosts of
// tests/cluster; so one place goes without.
Result<std::size_t> StreamSocket::send_some(std::span<const iovec> parts) {
    ssize_t sent = 0;
    if (parts.size() == 1) {
        sent = ::send(socket_.number(), parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    } else {
        const msghdr message = message_of(parts);
        sent = sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
    }
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == EINTR) return 0;
    if (const auto lost = lost_connection(errno)) return std::unexpected(*lost);
    return system_error("cannot send to a socket");
}

Result<std::size_t> StreamSocket::receive_some(std::span<std::byte> bytes, FileDescriptor* passed) {
    const iovec part{bytes.data(), bytes.size()};
    msghdr message = message_of({&part, 1});
    PassedRoom room;
    if (passed != nullptr) {
        message.msg_control = room.bytes.data();
        message.msg_controllen = room.bytes.size();
    }
    const auto received = what_came(recvmsg(socket_.number(), &message, MSG_CMSG_CLOEXEC));
    if (!received || *received == 0) return received;
    if (passed != nullptr) {
        if (FileDescriptor came = detach(message); came.valid()) *passed = std::move(came);
        // The system found no free number for it. (It also says so of a second descriptor, which nobody asked for.)
        else if ((message.msg_flags & MSG_CTRUNC) != 0)
            return system_error("cannot receive a descriptor", EMFILE);
    }
    return received;
}

Result<std::size_t> StreamSocket::receive_some(std::span<const iovec> parts) {
    if (parts.size() == 1) return what_came(recv(socket_.number(), parts[0].iov_base, parts[0].iov_len, 0));
    msghdr message = message_of(parts);
    return what_came(recvmsg(socket_.number(), &message, 0));
}

Result<void> StreamSocket::receive(std::span<std::byte> bytes, Deadline deadline, FileDescriptor* passed) {
    while (!bytes.empty()) {
        const auto received = receive_some(bytes, passed);
        if (!received) return std::unexpected(received.error());
        bytes = bytes.subspan(*received);
        if (*received > 0) continue;
        if (auto ready = wait_for(socket_, POLLIN, deadline, "the other side to send"); !ready) return ready;
    }
    return {};
}

Result<PeerCredentials> LocalSocket::peer() const {
    ucred who{};
    socklen_t bytes = sizeof who;
    if (getsockopt(descriptor().number(), SOL_SOCKET, SO_PEERCRED, &who, &bytes) != 0)
        return system_error("cannot read who the other side is (SO_PEERCRED)");
    return PeerCredentials{who.pid, who.uid};
}

Result<std::optional<LocalListener>> LocalListener::listen(std::string_view name) {
    const auto address = abstract_address(name);
    if (!address) return std::unexpected(address.error());
    FileDescriptor socket{::socket(AF_UNIX, socket_flags, 0)};
    if (!socket.valid()) return system_error("cannot create a local socket");
    socket.keep_from_children();
    if (bind(socket.number(), address->get(), address->bytes) != 0) {
        if (errno == EADDRINUSE) return std::nullopt;
        return system_error(fmt::format("cannot bind @{}", name));
    }
    if (::listen(socket.number(), SOMAXCONN) != 0) return system_error(fmt::format("cannot listen on @{}", name));
    return LocalListener{std::move(socket)};
}

Result<std::optional<LocalSocket>> LocalListener::accept() {
    FileDescriptor socket{accept4(socket_.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    socket.keep_from_children();
    if (socket.valid()) return LocalSocket{std::move(socket)};
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return std::nullopt;
    return system_error("cannot accept a connection");
}

Result<LocalSocket> LocalListener::accept(Deadline deadline) {
    for (;;) {
        auto socket = accept();
        if (!socket) return std::unexpected(socket.error());
        if (*socket) return std::move(**socket);
        if (auto ready = wait_for(socket_, POLLIN, deadline, "a connection"); !ready)
            return std::unexpected(ready.error());
    }
}

Result<WakeSignal> WakeSignal::create() {
    FileDescriptor event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!event.valid()) return system_error("cannot create an event (eventfd)");
    return WakeSignal{std::move(event)};
}

void WakeSignal::raise() const { eventfd_write(event_.number(), 1); }

void WakeSignal::clear() const {
    eventfd_t count = 0;
    eventfd_read(event_.number(), &count);
}

}  // namespace tenon::os
