#include "os/poller.hpp"

#include <sys/epoll.h>

#include <cerrno>

#include "os/system_error.hpp"

namespace tenon::os {

Result<Poller> Poller::create() {
    FileDescriptor epoll{epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll.valid()) return system_error("cannot create a poller (epoll)");
    return Poller{std::move(epoll)};
}

Result<void> Poller::watch(const FileDescriptor& descriptor, void* tag) { return watch(descriptor.number(), tag); }

Result<void> Poller::watch(int descriptor, void* tag) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = tag}};
    if (epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, descriptor, &event) == 0) return {};
    return system_error("cannot watch a descriptor (epoll)");
}

Result<void> Poller::watch_for_room(const FileDescriptor& descriptor, void* tag, bool also) const {
    epoll_event event{.events = EPOLLIN | (also ? EPOLLOUT : 0U), .data = {.ptr = tag}};
    if (epoll_ctl(epoll_.number(), EPOLL_CTL_MOD, descriptor.number(), &event) == 0) return {};
    return system_error("cannot watch a descriptor for room (epoll)");
}

Result<void> Poller::forget(const FileDescriptor& descriptor) {
    if (epoll_ctl(epoll_.number(), EPOLL_CTL_DEL, descriptor.number(), nullptr) == 0 || errno == ENOENT) return {};
    return system_error("cannot stop watching a descriptor (epoll)");
}

Result<std::span<void* const>> Poller::ready(int most_ms) {
    std::array<epoll_event, most_at_once> events;
    const int count = epoll_wait(epoll_.number(), events.data(), static_cast<int>(events.size()), most_ms);
    if (count < 0 && errno != EINTR) return system_error("cannot wait for descriptors (epoll)");
    std::size_t found = 0;
    for (int i = 0; i < count; i++) tags_[found++] = events[static_cast<std::size_t>(i)].data.ptr;
    return std::span<void* const>{tags_}.first(found);
}

}  // namespace tenon::os
