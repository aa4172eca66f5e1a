// Which of many descriptors have something to read, at the cost of one system call (epoll). One thread at a time.
#pragma once

#include <array>
#include <span>

#include "os/file_descriptor.hpp"

namespace tenon::os {

class Poller {
public:
    static Result<Poller> create();

    // `tag` is what ready() says of it. A descriptor that is closed is no longer watched.
    Result<void> watch(const FileDescriptor& descriptor, void* tag);
    Result<void> watch(int descriptor, void* tag);  // which another library closes
    // From now on also ready when there is room to write, or not any more. It must be watched.
    Result<void> watch_for_room(const FileDescriptor& descriptor, void* tag, bool also) const;
    Result<void> forget(const FileDescriptor& descriptor);
    // The tags of some that are ready now, valid until the next call; empty after `most_ms` without any.
    Result<std::span<void* const>> ready(int most_ms);
    // Itself ready to be read when one of them is.
    const FileDescriptor& descriptor() const { return epoll_; }

private:
    explicit Poller(FileDescriptor epoll) : epoll_{std::move(epoll)} {}
    static constexpr std::size_t most_at_once = 64;
    FileDescriptor epoll_;
    std::array<void*, most_at_once> tags_{};
};

}  // namespace tenon::os
