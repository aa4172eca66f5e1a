// What hosts send each other while a job meets: whole frames are taken as they were sent however the bytes come in
// pieces, and no byte beyond them; a host that knows the secret and breaks the rules is an error in words, and only
// that.
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "bootstrap/branches.hpp"
#include "os/process.hpp"
#include "tests/fuzz/input.hpp"

namespace tenon::bootstrap {
namespace {

using fuzz::Input;

os::Deadline ample() { return os::Deadline::after_ms(60'000); }

// Frames, some of them wrong, and then perhaps bytes that are none.
Bytes some_bytes(Input& input) {
    Bytes bytes;
    for (std::size_t count = input.below(4); count > 0; count--) {
        const auto payload = input.bytes(input.byte());
        Bytes frame = write_frame(static_cast<FrameKind>(1 + input.below(10)), payload);
        if (input.below(4) == 0) frame[input.below(frame_header_bytes)] = std::byte{input.byte()};
        bytes.insert(bytes.end(), frame.begin(), frame.end());
    }
    const auto rest = input.bytes(input.byte());
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    return bytes;
}

struct Expected {
    std::vector<std::pair<FrameKind, Bytes>> frames{};
    bool is_broken = false;     // what follows them
    std::size_t taken = 0;      // bytes of the whole frames
};
// By the format alone.
Expected expected_of(std::span<const std::byte> bytes) {
    Expected expected;
    while (bytes.size() - expected.taken >= frame_header_bytes) {
        const auto rest = bytes.subspan(expected.taken);
        const auto header = read_frame_header(rest.first<frame_header_bytes>());
        expected.is_broken = !header;
        if (!header || rest.size() - frame_header_bytes < header->payload_bytes) break;
        const auto payload = rest.subspan(frame_header_bytes, header->payload_bytes);
        expected.frames.emplace_back(header->kind, Bytes(payload.begin(), payload.end()));
        expected.taken += frame_header_bytes + payload.size();
    }
    return expected;
}

// ---- frames that come in pieces -------------------------------------------------------------------------------------

void read_in_pieces(Input& input) {
    auto ends = std::move(*os::LocalSocket::pair());
    const Bytes bytes = some_bytes(input);
    const Expected expected = expected_of(bytes);
    FrameReader reader;
    std::size_t sent = 0, found = 0;
    while (true) {
        // Whoever has all frames stops there: what follows is somebody else's.
        if (found == expected.frames.size() && sent == bytes.size() && !expected.is_broken) break;
        auto frame = reader.read(ends.first);
        if (!frame) {
            TENON_ASSERT(expected.is_broken && found == expected.frames.size(),
                         "only what breaks the rules is an error");
            return;
        }
        if (*frame) {
            TENON_ASSERT(found < expected.frames.size(), "only whole frames come");
            TENON_ASSERT(
                (*frame)->kind == expected.frames[found].first && (*frame)->payload == expected.frames[found].second,
                "as they were sent");
            found++;
            continue;
        }
        TENON_ASSERT(sent < bytes.size(), "what has come whole is read");
        const auto piece =
            std::span{bytes}.subspan(sent).first(std::min<std::size_t>(1 + input.byte(), bytes.size() - sent));
        TENON_ASSERT(ends.second.send(piece, ample()), "there is room for it");
        sent += piece.size();
    }
}

// ---- a host below -------------------------------------------------------------------------------------------------

// The same for all runs.
os::TcpListener& door() {
    static auto* const made = [] {
        set_log_level(LogLevel::off);
        return new os::TcpListener(std::move(**os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front())));
    }();
    return *made;
}

class Below {
public:
    explicit Below(Input& input) {
        TENON_ASSERT(os::fill_random(secret_.bytes), "there are random numbers");
        claim_ = write_claim({os::resolve("127.0.0.1", 1)->front()});
        if (input.below(4) == 0) {
            const auto lies = input.bytes(claim_.size());
            std::ranges::copy(lies, claim_.begin());
        }
        said_ = some_bytes(input);
        expected_ = expected_of(said_);
    }

    void run() {
        branches_.open(std::move(door()), secret_, 2500);
        come_in();
        if (!failed_ && !only_tries_packets()) talk();
        door() = std::move(const_cast<os::TcpListener&>(branches_.listener()));
    }

private:
    // Then it is no host that joins.
    bool only_tries_packets() const {
        const auto claim = read_claim(claim_);
        return claim && claim->errand == Errand::packet_check;
    }

    void come_in() {
        auto handshake = os::Handshake::connecting(secret_, wire_version, claim_);
        auto socket = os::TcpSocket::connect(branches_.listener().address(), ample());
        TENON_ASSERT(socket.has_value(), "whoever comes is heard");
        const linger none{1, 0};
        setsockopt(socket->descriptor().number(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
        host_ = std::move(*socket);
        for (Result<bool> done = false; !*done; done = handshake.advance(host_)) {
            serve(!read_claim(claim_));
            if (failed_) return;
            TENON_ASSERT(done.has_value(), "who knows the secret is believed");
        }
        const os::Deadline deadline = ample();
        while (!failed_ && !only_tries_packets() && !branches_.has_children()) {
            serve(!read_claim(claim_));
            TENON_ASSERT(!deadline.passed(), "and taken in, or refused");
        }
        TENON_ASSERT(failed_ || read_claim(claim_), "with a claim that can be read");
    }

    void talk() {
        static_cast<void>(host_.send(said_, ample()));
        const os::Deadline deadline = ample();
        while (!failed_ && (taken_ < expected_.frames.size() || expected_.is_broken)) {
            serve(expected_.is_broken);
            TENON_ASSERT(!deadline.passed(), "all that was said is heard");
        }
        // One who leaves before it has said who it is has only given up.
        host_.close();
        while (!failed_ && branches_.has_children()) serve(false);
    }

    void serve(bool may_fail) {
        const auto served = branches_.serve([this](Branch&, Frame& frame) -> Result<void> {
            TENON_ASSERT(taken_ < expected_.frames.size(), "only whole frames come");
            const auto& [kind, payload] = expected_.frames[taken_++];
            TENON_ASSERT(frame.kind == kind && frame.payload == payload, "as they were sent");
            return {};
        });
        if (served) return;
        TENON_ASSERT(may_fail && !served.error().message.empty(), "only what breaks the rules is an error, in words");
        failed_ = true;
    }

    os::Secret secret_;
    os::Handshake::Claim claim_{};
    Bytes said_;
    Expected expected_;
    Branches branches_{NodeToken{}, "host"};
    os::TcpSocket host_;
    std::size_t taken_ = 0;
    bool failed_ = false;
};

}  // namespace
}  // namespace tenon::bootstrap

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    tenon::fuzz::Input input(data, size);
    if (input.below(2) == 0) tenon::bootstrap::read_in_pieces(input);
    else tenon::bootstrap::Below(input).run();
    return 0;
}
