// Stream sockets, and local ones with abstract names: nothing in the file system, gone with their process. Those
// between hosts are in internet.hpp.
//
// Every wait takes a Deadline. Errors: Status::timeout and Status::aborted from the Deadline, Status::remote_error when
// the other side has closed, died or cannot be reached, Status::system_error for the rest. One thread uses a socket at
// a time. SIGPIPE is never raised.
#pragma once

#include <poll.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "os/clock.hpp"
#include "os/file_descriptor.hpp"

namespace tenon::os {

struct PeerCredentials {
    pid_t process = 0;  // 0 when the peer lives in a process namespace that we cannot see
    uid_t user = 0;
};

// A connected stream of bytes, whatever joins the two ends.
class StreamSocket {
public:
    StreamSocket() = default;
    explicit StreamSocket(FileDescriptor socket) : socket_{std::move(socket)} {}

    // All the bytes; `passed`, when given, travels with the first of them (between processes of one host only).
    Result<void> send(std::span<const std::byte> bytes, Deadline deadline, const FileDescriptor* passed = nullptr);
    // As many as there is room for now, from several places; 0 when there is none.
    Result<std::size_t> send_some(std::span<const iovec> parts);
    // Exactly that many bytes. A descriptor that comes with them goes to `passed`; without `passed`, or beyond the
    // first, the system closes it.
    Result<void> receive(std::span<std::byte> bytes, Deadline deadline, FileDescriptor* passed = nullptr);
    // What is there now, without waiting; 0 when nothing is.
    Result<std::size_t> receive_some(std::span<std::byte> bytes, FileDescriptor* passed = nullptr);

    // The same into several places, filled in order.
    Result<std::size_t> receive_some(std::span<const iovec> parts);

    const FileDescriptor& descriptor() const { return socket_; }
    // Gives the descriptor away; the socket is closed as far as this object goes.
    FileDescriptor release() { return std::move(socket_); }
    // The other side learns of it at once, also while a forked child still has the socket.
    void close();

private:
    FileDescriptor socket_;
};

class LocalSocket : public StreamSocket {
public:
    // Nothing when nobody listens under that name. While the listener's queue is full it waits.
    static Result<std::optional<LocalSocket>> connect(std::string_view name, Deadline deadline);
    static Result<std::pair<LocalSocket, LocalSocket>> pair();
    using StreamSocket::StreamSocket;

    // Who made the other end: for a connecting socket, the process that called listen.
    Result<PeerCredentials> peer() const;
};

class LocalListener {
public:
    // Nothing when the name is taken.
    static Result<std::optional<LocalListener>> listen(std::string_view name);

    // Nothing when no one is waiting to be accepted now.
    Result<std::optional<LocalSocket>> accept();
    Result<LocalSocket> accept(Deadline deadline);

    const FileDescriptor& descriptor() const { return socket_; }
    // From then on connecting is refused, also while a forked child still has the socket.
    void close();

private:
    explicit LocalListener(FileDescriptor socket) : socket_{std::move(socket)} {}
    FileDescriptor socket_;
};

// Wakes a thread that waits in wait_ready: put descriptor() among the watched, for reading.
class WakeSignal {
public:
    static Result<WakeSignal> create();
    void raise() const;
    void clear() const;
    const FileDescriptor& descriptor() const { return event_; }

private:
    explicit WakeSignal(FileDescriptor event) : event_{std::move(event)} {}
    FileDescriptor event_;
};

// Waits until the socket is ready for these events (POLLIN, POLLOUT); the deadline's error says what was waited for.
Result<void> wait_for(const FileDescriptor& socket, short events, Deadline deadline, std::string_view waited_for);

// Waits until one of them (of the first few) has something to read, or so many microseconds have passed.
void wait_readable(std::span<const int> descriptors, std::uint64_t most_us);

// Waits until one of `watched` is ready (true), or `most_ms` or the deadline has passed or the flag is set (false).
Result<bool> wait_ready(std::span<pollfd> watched, Deadline deadline, int most_ms = abort_check_ms);

}  // namespace tenon::os
