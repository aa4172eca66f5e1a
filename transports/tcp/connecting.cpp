#include "transports/tcp/connecting.hpp"

#include <fmt/format.h>

#include <utility>

namespace tenon::tcp {
namespace {

constexpr unsigned most_tries = 4;
// An address that the system says it cannot reach now may be a moment later.
constexpr std::uint64_t try_again_after_ms = 20;
// tcpmux, which no system serves.
constexpr std::uint16_t port_of_nobody = 1;

Result<bool> has_come_to_something(const os::TcpSocket& socket) {
    pollfd watched{socket.descriptor().number(), POLLOUT, 0};
    return os::wait_ready(std::span{&watched, 1}, os::Deadline::never(), 0);
}

}  // namespace

HostQuestion::HostQuestion(const os::InternetAddress& host) {
    auto socket = os::TcpSocket::start_connecting(host.with_port(port_of_nobody));
    if (socket) socket_.emplace(std::move(*socket));
    else is_answered_ = socket.error().status == Status::remote_error;
}

// A no is an answer, too.
bool HostQuestion::is_answered() {
    if (!socket_) return is_answered_;
    if (const auto ready = has_come_to_something(*socket_); !ready || !*ready) return false;
    const auto done = socket_->finish_connecting();
    is_answered_ = done || done.error().status == Status::remote_error;
    socket_.reset();
    return is_answered_;
}

// All of them add up to the longest silence: 1, 2, 4 and 8 fifteenths of it.
std::uint64_t Connecting::wait_ms() const {
    constexpr std::uint64_t parts = (1U << most_tries) - 1;
    return (os::TcpSocket::longest_silence_ms(patience_ms_) << (begun_ - 1)) / parts + 1;
}

// Answers are looked at before the clock is: this process may have been stopped meanwhile.
Result<std::optional<os::TcpSocket>> Connecting::advance() {
    auto answered = first_answered();
    if (!answered || *answered) return answered;
    if (next_at_.passed())
        if (auto goes_on = give_up_or_go_on(); !goes_on) return std::unexpected(goes_on.error());
    if (tries_.empty() && again_at_.passed())
        if (auto begun = begin_try(); !begun) return std::unexpected(begun.error());
    return std::nullopt;
}

Result<void> Connecting::give_up_or_go_on() {
    if (begun_ == most_tries) {
        if (!question_ || !question_->is_answered())
            return fail(Status::timeout, fmt::format("no answer in {} ms{}{}",
                                                     os::TcpSocket::longest_silence_ms(patience_ms_),
                                                     last_problem_.empty() ? "" : ": ", last_problem_));
        host_is_there_ = true;
        if (tries_.size() == most_tries) tries_.erase(tries_.begin());
    } else {
        begun_++;
    }
    if (begun_ == most_tries) question_.emplace(to_);
    next_at_ = os::Deadline::after_ms(wait_ms());
    return begin_try();
}

Result<void> Connecting::begin_try() {
    again_at_ = os::Deadline::after_ms(try_again_after_ms);
    auto socket = os::TcpSocket::start_connecting(to_);
    if (socket) {
        tries_.push_back(std::move(*socket));
        return {};
    }
    if (socket.error().status == Status::timeout) last_problem_ = socket.error().message;
    // Where no further one can be made, those that there are may come to something.
    else if (tries_.empty()) return std::unexpected(socket.error());
    return {};
}

Result<std::optional<os::TcpSocket>> Connecting::first_answered() {
    for (auto at = tries_.begin(); at != tries_.end();) {
        const auto ready = has_come_to_something(*at);
        if (!ready) return std::unexpected(ready.error());
        if (!*ready) {
            ++at;
            continue;
        }
        if (auto done = at->finish_connecting(); done) return std::exchange(*at, os::TcpSocket{});
        else if (done.error().status != Status::timeout) return std::unexpected(done.error());
        else last_problem_ = done.error().message;
        at = tries_.erase(at);
    }
    return std::nullopt;
}

}  // namespace tenon::tcp
