// Local stream sockets with abstract names: nothing in the file system, gone with their process.
//
// Every wait takes a Deadline. Errors: Status::timeout and Status::aborted from the Deadline, Status::remote_error when
// the other side has closed or died, Status::system_error for the rest. One thread uses a socket at a time. SIGPIPE is
// never raised.
#pragma once

#include <poll.h>
#include <sys/types.h>

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

class LocalSocket {
public:
    // Nothing when nobody listens under that name. While the listener's queue is full it waits.
    static Result<std::optional<LocalSocket>> connect(std::string_view name, Deadline deadline);
    static Result<std::pair<LocalSocket, LocalSocket>> pair();

    explicit LocalSocket(FileDescriptor socket) : socket_{std::move(socket)} {}

    // All the bytes; `passed`, when given, travels with the first of them.
    Result<void> send(std::span<const std::byte> bytes, Deadline deadline, const FileDescriptor* passed = nullptr);
    // Exactly that many bytes. A descriptor that comes with them goes to `passed`; without `passed`, or beyond the
    // first, the system closes it.
    Result<void> receive(std::span<std::byte> bytes, Deadline deadline, FileDescriptor* passed = nullptr);
    // What is there now, without waiting; 0 when nothing is.
    Result<std::size_t> receive_some(std::span<std::byte> bytes, FileDescriptor* passed = nullptr);
    // Who made the other end: for a connecting socket, the process that called listen.
    Result<PeerCredentials> peer() const;

    const FileDescriptor& descriptor() const { return socket_; }
    // The other side learns of it at once, also while a forked child still has the socket.
    void close();

private:
    FileDescriptor socket_;
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

// Waits until one of `watched` is ready (true), or `most_ms` or the deadline has passed or the flag is set (false).
Result<bool> wait_ready(std::span<pollfd> watched, Deadline deadline, int most_ms = abort_check_ms);

}  // namespace tenon::os
