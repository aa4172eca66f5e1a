#include "bootstrap/branches.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "bootstrap/interfaces.hpp"
#include "bootstrap/roll_call.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::uint64_t stranger_patience_ms = 10'000;
constexpr std::uint64_t crowd_patience_ms = 250;
constexpr int most_accepted_at_once = 64;  // so that who connects again and again keeps nobody from being heard
constexpr std::uint64_t answer_ms = 100;  // an answer is short: it has room, or nobody reads

}  // namespace

std::string Branch::text() const {
    const std::string host = introduced ? name : "a host";
    const std::string who = ranks.empty() ? host : fmt::format("{} on {}", name_ranks(ranks), host);
    return fmt::format("{} ({})", who, listens.text());
}

void Branches::open(os::TcpListener listener, const Secret& secret, std::uint64_t patience_ms) {
    listener_ = std::move(listener);
    secret_ = secret;
    patience_ms_ = patience_ms;
}

void Branches::close_door() {
    listener_.close();
    newcomers_.clear();
}

void Branches::drop_unknown() {
    std::erase_if(children_, [](const Branch& child) { return !child.introduced; });
}

void Branches::watch(std::vector<pollfd>& watched) const {
    if (is_open() && has_room())
        watched.push_back({listener_.descriptor().number(), POLLIN, 0});
    for (const Newcomer& newcomer : newcomers_)
        watched.push_back({newcomer.socket.descriptor().number(), newcomer.handshake.awaits(), 0});
    for (const Branch& child : children_) {
        watched.push_back({child.socket.descriptor().number(), POLLIN, 0});
        if (child.packet_check) child.packet_check->watch(watched);
    }
}

Result<void> Branches::serve(const Take& take) {
    for (Branch& child : children_) {
        if (auto read = read_from(child, take); !read) return read;
        if (auto there = look_at(child); !there) return there;
    }
    if (auto checked = advance_packet_checks(); !checked) return checked;
    for (auto at = newcomers_.begin(); at != newcomers_.end();) {
        const auto done = advance(*at);
        if (!done) {
            newcomers_.erase(at);  // its fault is told once
            return std::unexpected(done.error());
        }
        at = *done ? newcomers_.erase(at) : at + 1;
    }
    accept_all();  // after what has come from those that are here: what waits for us is not their delay
    std::erase_if(children_, [](const Branch& child) { return !child.open(); });
    return {};
}

// Others wait at the door, in the system's queue, until one of these has been heard, or has had its time.
bool Branches::has_room() const {
    return newcomers_.size() < most_newcomers || newcomers_.front().makes_room.passed();
}

// Whatever a newcomer does wrong is its own affair, and so is what keeps the system from accepting it now.
void Branches::accept_all() {
    for (int round = 0; is_open() && has_room() && round < most_accepted_at_once; round++) {
        auto socket = listener_.accept();
        if (!socket || !*socket) return;
        if (newcomers_.size() == most_newcomers) {
            drop_stranger(newcomers_.front(), "it did not say who it is while others waited at the door");
            newcomers_.pop_front();
        }
        const auto from = (*socket)->peer_address();
        if (!from) continue;
        newcomers_.push_back({std::move(**socket), os::Handshake::accepting(secret_, wire_version),
                              os::Deadline::after_ms(stranger_patience_ms),
                              os::Deadline::after_ms(crowd_patience_ms), from->text()});
    }
}

void Branches::drop_stranger(Newcomer& newcomer, std::string_view why) {
    log(has_logged_stranger_ ? LogLevel::debug : LogLevel::warning,
        "a stranger ({}) connected to the rendezvous and was dropped: {}", newcomer.from, why);
    has_logged_stranger_ = true;
    if (newcomer.handshake.is_stranger() && refused_stranger_.empty())
        refused_stranger_ = fmt::format("{}, since {}", newcomer.from, why);
    newcomer.socket.close();
}

Result<bool> Branches::advance(Newcomer& newcomer) {
    const auto done = newcomer.handshake.advance(newcomer.socket);
    if (!done && done.error().status == Status::mismatch)
        return fail(Status::mismatch, fmt::format("{}: {}", newcomer.from, done.error().message));
    if (!done || (!*done && newcomer.until.passed())) {
        drop_stranger(newcomer, done ? "it did not say who it is in time" : done.error().message);
        return true;
    }
    if (!*done) return false;
    if (auto admitted = admit(newcomer); !admitted) return std::unexpected(admitted.error());
    return true;
}

void Branches::begin_packet_check(Newcomer& newcomer, const os::InternetAddress& whose) {
    const auto child = std::ranges::find(children_, whose, &Branch::listens);
    if (child != children_.end() && !child->packet_check)
        child->packet_check.emplace(std::move(newcomer.socket), own_host_);
}

Result<void> Branches::advance_packet_checks() {
    for (Branch& child : children_) {
        if (!child.packet_check || child.told) continue;
        const auto done = child.packet_check->advance(child.socket);
        if (done && !*done) continue;
        child.packet_check.reset();
        if (!done) return std::unexpected(done.error());
    }
    return {};
}

Result<void> Branches::admit(Newcomer& newcomer) {
    const auto claim = read_claim(newcomer.handshake.claim());
    if (!claim) return std::unexpected(claim.error());
    if (claim->errand == Errand::packet_check) {
        begin_packet_check(newcomer, claim->listens);
        return {};
    }
    if (!seen_as_.valid() || is_loopback(seen_as_))
        if (const auto local = newcomer.socket.local_address()) seen_as_ = *local;
    if (auto set = newcomer.socket.set_patience(patience_ms_); !set) return set;
    const auto soon = os::Deadline::after_ms(answer_ms);
    // Whoever does not take its answer has left, and is missed when it counts.
    if (children_.size() >= most_children_ && refusal_.empty()) {
        const Branch& next = children_[turn_++ % children_.size()];
        static_cast<void>(newcomer.socket.send(write_elsewhere({next.listens, next.name}), soon));
        return {};
    }
    const Bytes answer = refusal_.empty() ? write_welcome({own_, own_host_}) : refusal_;
    if (newcomer.socket.send(answer, soon))
        children_.push_back(
            {.socket = std::move(newcomer.socket), .listens = claim->listens, .watch = HostWatch{patience_ms_},
             .told = !refusal_.empty()});
    return {};
}

Result<void> Branches::read_from(Branch& child, const Take& take) {
    while (child.open()) {
        auto frame = child.reader.read(child.socket);
        if (frame && !*frame) return {};
        const bool has_left = !frame && frame.error().status == Status::remote_error;
        // A host that has not said who it is gave up on an answer that came too late for it, and comes again.
        if (!frame && (child.told || (has_left && !child.introduced))) {
            child.socket.close();
            return {};
        }
        if (has_left) {
            const std::string who = child.text();
            child.socket.close();
            return fail(Status::remote_error,
                        fmt::format("{} left before the job had met: look for its own error", who));
        }
        if (!frame) return std::unexpected(frame.error());
        if (child.told || (*frame)->kind == FrameKind::knock) continue;
        if (auto taken = take(child, **frame); !taken) return taken;
    }
    return {};
}

// Also one that has not said who it is: it was let in, and is of this job.
Result<void> Branches::look_at(Branch& child) {
    if (!child.open()) return {};
    const auto there = child.watch.look(child.socket, true);
    if (there) return {};
    const std::string who = child.text();
    child.socket.close();
    if (child.told) return {};
    return fail(Status::remote_error, fmt::format("host {} has lost {} before the job had met: {}", own_host_, who,
                                                  there.error().message));
}

}  // namespace tenon::bootstrap
