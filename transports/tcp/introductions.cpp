#include "transports/tcp/introductions.hpp"

#include <cstring>
#include <utility>

#include "base/assert.hpp"

namespace tenon::tcp {
namespace {

using Length = std::uint32_t;
constexpr std::byte farewell_word{1}, ready_word{2}, knock_word{3};

std::optional<std::size_t> whole_length(std::span<const std::byte> arrived) {
    if (arrived.size() < sizeof(Length)) return std::nullopt;
    Length length = 0;
    std::memcpy(&length, arrived.data(), sizeof length);
    return sizeof length + length;
}

}  // namespace

Result<std::shared_ptr<Introductions>> TcpIntroductions::make(std::unique_ptr<Links> links) {
    auto poller = os::Poller::create();
    if (!poller) return std::unexpected(poller.error());
    return std::shared_ptr<Introductions>(new TcpIntroductions(std::move(links), std::move(*poller)));
}

Result<void> TcpIntroductions::introduce(Rank peer, std::span<const std::byte> own) {
    TENON_ASSERT(own.size() <= most_bytes, "an introduction is short");
    Acquaintance& a = with(peer);
    TENON_ASSERT(!a.introduced, "a rank introduces itself once");
    a.introduced = true;
    const auto length = static_cast<Length>(own.size());
    const auto head = std::as_bytes(std::span{&length, 1});
    a.leaving.assign(head.begin(), head.end());
    a.leaving.insert(a.leaving.end(), own.begin(), own.end());
    unanswered_++;
    links_->want(peer);
    return {};
}

Result<void> TcpIntroductions::take_up_new() {
    while (links_->pending()) {
        auto opened = links_->next();
        if (!opened) return std::unexpected(opened.error());
        if (!*opened) break;
        with((*opened)->peer).socket = std::move((*opened)->socket);
    }
    return {};
}

Result<std::optional<Introductions::Answer>> TcpIntroductions::next_answer() {
    if (unanswered_ == 0) return std::nullopt;
    if (auto ok = take_up_new(); !ok) return std::unexpected(ok.error());
    if (auto ok = check_reach(); !ok) return std::unexpected(ok.error());
    for (auto& [peer, a] : all_) {
        if (!a.introduced || a.answered || !a.socket.descriptor().valid()) continue;
        const auto whole = advance(a);
        if (!whole) return std::unexpected(links_->lost(peer, whole.error()));
        if (!*whole) continue;
        a.answered = true;
        unanswered_--;
        if (auto ok = poller_.watch(a.socket.descriptor(), &a); !ok) return std::unexpected(ok.error());
        return Answer{peer, {a.arrived.begin() + sizeof(Length), a.arrived.end()}};
    }
    return std::nullopt;
}

// True when both have said what they had to say.
Result<bool> TcpIntroductions::advance(Acquaintance& a) {
    const iovec part{a.leaving.data(), a.leaving.size()};
    if (!a.leaving.empty()) {
        const auto sent = a.socket.send_some(std::span{&part, 1});
        if (!sent) return std::unexpected(sent.error());
        a.leaving.erase(a.leaving.begin(), a.leaving.begin() + static_cast<std::ptrdiff_t>(*sent));
    }
    if (!whole_length(a.arrived))
        if (auto ok = receive(a, sizeof(Length)); !ok) return std::unexpected(ok.error());
    const auto whole = whole_length(a.arrived);
    if (!whole) return false;
    if (*whole > sizeof(Length) + most_bytes)
        return fail(Status::remote_error, "it sent what breaks the protocol: too long an introduction");
    if (auto ok = receive(a, *whole); !ok) return std::unexpected(ok.error());
    return a.arrived.size() == *whole && a.leaving.empty();
}

// Until so many bytes are there, as far as they are.
Result<void> TcpIntroductions::receive(Acquaintance& a, std::size_t wanted) {
    const std::size_t before = a.arrived.size();
    if (before == wanted) return {};
    a.arrived.resize(wanted);
    const auto got = a.socket.receive_some(std::span{a.arrived}.subspan(before));
    a.arrived.resize(before + got.value_or(0));
    return got ? Result<void>{} : std::unexpected(got.error());
}

Result<void> TcpIntroductions::check() {
    const auto ready = poller_.ready(0);
    if (!ready) return std::unexpected(ready.error());
    for (void* const tag : *ready) {
        auto& a = *static_cast<Acquaintance*>(tag);
        if (auto ok = look_at(a); !ok) return std::unexpected(links_->lost(a.peer, ok.error()));
    }
    return check_reach();
}

Result<void> TcpIntroductions::check_reach() {
    if (!next_look_.passed()) return {};
    next_look_ = os::Deadline::after_ms(os::TcpSocket::reach_look_every_ms);
    for (auto& [peer, a] : all_) {
        if (a.gone || !a.socket.descriptor().valid()) continue;
        const auto reach = a.socket.reach(links_->patience_ms());
        if (!reach) return std::unexpected(links_->lost(peer, reach.error()));
        if (*reach == os::TcpSocket::Reach::doubtful && a.introduced && a.leaving.empty() && !said_farewell_)
            if (auto ok = say(a, knock_word); !ok) return std::unexpected(links_->lost(peer, ok.error()));
    }
    return {};
}

// After its introduction a peer says that it is ready, perhaps, and farewell, each once; then its socket may end. It
// may knock before.
Result<void> TcpIntroductions::look_at(Acquaintance& a) {
    std::byte word{};
    const auto got = a.socket.receive_some(std::span{&word, 1});
    if (got && *got == 0) return {};
    if (a.gone) {
        a.socket.close();
        return {};
    }
    if (!got) return std::unexpected(got.error());
    if (word == farewell_word) {
        a.gone = true;
    } else if (word == ready_word && !std::exchange(a.said_ready, true)) {
        ready_.push_back(a.peer);
    } else if (word != knock_word) {
        return fail(Status::remote_error, "it sent what breaks the protocol: a word that is not its turn to say");
    }
    return {};
}

// A byte always fits: little else goes this way.
Result<void> TcpIntroductions::say(Acquaintance& a, std::byte word) {
    const iovec part{&word, 1};
    const auto sent = a.socket.send_some(std::span{&part, 1});
    return sent ? Result<void>{} : std::unexpected(sent.error());
}

Result<void> TcpIntroductions::say_ready(Rank peer) {
    Acquaintance& a = with(peer);
    TENON_ASSERT(a.answered, "only who has answered is told");
    if (auto ok = say(a, ready_word); !ok) return std::unexpected(links_->lost(peer, ok.error()));
    return {};
}

Result<std::optional<Rank>> TcpIntroductions::next_ready() {
    if (ready_.empty())
        if (auto ok = check(); !ok) return std::unexpected(ok.error());
    if (ready_.empty()) return std::nullopt;
    const Rank peer = ready_.back();
    ready_.pop_back();
    return peer;
}

void TcpIntroductions::farewell() {
    said_farewell_ = true;
    for (auto& [_, a] : all_)
        // A peer that is gone needs none.
        if (a.answered && a.socket.descriptor().valid()) static_cast<void>(say(a, farewell_word));
}

}  // namespace tenon::tcp
