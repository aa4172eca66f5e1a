// Takes frames from a socket that may give them in pieces. Never waits, and never reads beyond a frame: what follows
// the last one belongs to whoever gets the socket next. For one thread.
#pragma once

#include "bootstrap/wire.hpp"
#include "os/socket.hpp"

namespace tenon::bootstrap {

struct Frame {
    FrameKind kind{};
    Bytes payload{};
    os::FileDescriptor passed{};
};

class FrameReader {
public:
    // Nothing when it has not come whole yet. `takes_descriptor`: one may come with it.
    Result<std::optional<Frame>> read(os::StreamSocket& socket, bool takes_descriptor = false);

private:
    std::array<std::byte, frame_header_bytes> header_bytes_{};
    std::optional<FrameHeader> header_;
    Frame frame_;
    std::size_t filled_ = 0;  // of the header, then of the payload
};

}  // namespace tenon::bootstrap
