// A connection to a peer, until its host's system has accepted it: that takes no process there, so a peer that computes
// is connected to at once, and one of which nothing is heard for so long as TcpSocket::longest_silence_ms() says is out
// of reach. Two things must not be taken for that:
// - A first packet gets lost. The system sends it again only after a second. So there are several tries beside each
//   other, each of which is waited for twice as long as the one before; the first that is answered is taken.
// - A process has not accepted for long, and its system holds as many connections as it may: then it does not answer
//   any more of them. So with the last try goes a HostQuestion, and while its host answers, the peer is tried again.
//
// Nothing waits: call advance() whenever there may be news. For one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "os/clock.hpp"
#include "os/internet.hpp"

namespace tenon::tcp {

// Whether a host is there, asked where it answers without a process: by connecting to a port of it at which nobody
// listens. It refuses that.
class HostQuestion {
public:
    explicit HostQuestion(const os::InternetAddress& host);
    bool is_answered();

private:
    std::optional<os::TcpSocket> socket_{};  // none: it could not be asked, or has been answered
    bool is_answered_ = false;
};

class Connecting {
public:
    Connecting(const os::InternetAddress& to, std::uint64_t patience_ms) : to_(to), patience_ms_(patience_ms) {}

    // The socket, once it is there. Errors: remote_error where it is refused, timeout where the host is out of reach.
    Result<std::optional<os::TcpSocket>> advance();
    // Has the host answered, without accepting?
    bool host_is_there() const { return host_is_there_; }

private:
    Result<void> begin_try();
    Result<std::optional<os::TcpSocket>> first_answered();
    Result<void> give_up_or_go_on();
    std::uint64_t wait_ms() const;

    os::InternetAddress to_;
    std::uint64_t patience_ms_;
    std::vector<os::TcpSocket> tries_{};
    unsigned begun_ = 0;  // tries since the host was heard of
    os::Deadline next_at_ = os::Deadline::after_ms(0), again_at_ = os::Deadline::after_ms(0);
    std::optional<HostQuestion> question_{};
    bool host_is_there_ = false;
    std::string last_problem_{};
};

}  // namespace tenon::tcp
