#include "bootstrap/frames.hpp"

namespace tenon::bootstrap {

Result<std::optional<Frame>> FrameReader::read(os::StreamSocket& socket, bool takes_descriptor) {
    for (;;) {
        const std::span<std::byte> whole = header_ ? std::span{frame_.payload} : std::span{header_bytes_};
        if (filled_ < whole.size()) {
            const auto received =
                socket.receive_some(whole.subspan(filled_), takes_descriptor ? &frame_.passed : nullptr);
            if (!received) return std::unexpected(received.error());
            if (*received == 0) return std::nullopt;
            filled_ += *received;
            continue;
        }
        filled_ = 0;
        if (header_) {
            header_.reset();
            return std::exchange(frame_, Frame{});
        }
        const auto header = read_frame_header(header_bytes_);
        if (!header) return std::unexpected(header.error());
        header_ = *header;
        frame_.kind = header->kind;
        frame_.payload.resize(header->payload_bytes);
    }
}

}  // namespace tenon::bootstrap
