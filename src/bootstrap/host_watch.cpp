#include "bootstrap/host_watch.hpp"

#include "bootstrap/wire.hpp"

namespace tenon::bootstrap {

Result<void> HostWatch::look(os::TcpSocket& edge, bool may_knock) {
    if (!next_look_.passed()) return {};
    next_look_ = os::Deadline::after_ms(os::TcpSocket::reach_look_every_ms);
    const auto reach = edge.reach(patience_ms_);
    if (!reach) return fail(Status::remote_error, reach.error().message);
    // It has room: nothing else is on the way. What fails is seen when the edge is read from.
    if (*reach == os::TcpSocket::Reach::doubtful && may_knock)
        static_cast<void>(edge.send(write_frame(FrameKind::knock), os::Deadline::after_ms(0)));
    return {};
}

Result<void> HostWatch::send(os::TcpSocket& edge, std::span<const std::byte> bytes, os::Deadline deadline) {
    while (!bytes.empty()) {
        const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
        const auto sent = edge.send_some(std::span{&part, 1});
        if (!sent) return std::unexpected(sent.error());
        bytes = bytes.subspan(*sent);
        if (*sent > 0) continue;
        if (auto go_on = deadline.check("the other host to take what it is sent"); !go_on) return go_on;
        if (auto there = look(edge, false); !there) return there;
        pollfd watched{edge.descriptor().number(), POLLOUT, 0};
        if (auto ready = os::wait_ready(std::span{&watched, 1}, deadline); !ready)
            return std::unexpected(ready.error());
    }
    return {};
}

}  // namespace tenon::bootstrap
