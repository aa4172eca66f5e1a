#include "transports/tcp/data_port.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.hpp"

namespace tenon::tcp {
namespace {

constexpr std::size_t most_guests = 256;
constexpr std::uint64_t guest_patience_ns = 10'000'000'000;
// Time counts only while ranks look, often; a guest need not pay for a process that did something else.
constexpr std::uint64_t most_between_looks_ns = 100'000'000;

Claim claim_of(const os::Handshake::Claim& bytes) {
    Claim claim;
    std::memcpy(&claim, bytes.data(), sizeof claim);
    return claim;
}

}  // namespace

os::Handshake::Claim to_bytes(const Claim& claim) {
    os::Handshake::Claim bytes{};
    std::memcpy(bytes.data(), &claim, sizeof claim);
    return bytes;
}

Result<std::optional<DataPort::Arrival>> DataPort::take(Rank to, Purpose purpose) {
    const std::scoped_lock lock(mutex_);
    if (auto accepted = accept_all(); !accepted) return std::unexpected(accepted.error());
    advance_guests();
    const auto at = std::ranges::find_if(
        waiting_, [&](const Waiting& w) { return w.claim.to == to && w.claim.purpose == purpose; });
    if (at == waiting_.end()) return std::nullopt;
    Arrival arrival{at->claim.from, at->claim.number, std::move(at->socket)};
    waiting_.erase(at);
    return arrival;
}

Result<void> DataPort::accept_all() {
    while (guests_.size() < most_guests) {
        auto socket = listener_.accept();
        if (!socket) return std::unexpected(socket.error());
        if (!*socket) return {};
        guests_.push_back(std::make_unique<Guest>(std::move(**socket), os::Handshake::accepting(key_, wire_version),
                                                  guest_patience_ns));
    }
    return {};
}

void DataPort::advance_guests() {
    const std::uint64_t now = os::now_ns();
    const std::uint64_t waited = std::min(now - std::exchange(last_look_ns_, now), most_between_looks_ns);
    std::erase_if(guests_, [&](const auto& guest) { return !advance(*guest, waited); });
}

bool DataPort::advance(Guest& guest, std::uint64_t waited_ns) {
    const auto done = guest.handshake.advance(guest.socket);
    if (!done) {
        // One who leaves before saying anything may as well be of the job.
        if (guest.handshake.is_stranger()) tell_of_stranger(guest, done.error().message);
        return false;
    }
    if (*done) {
        const Claim claim = claim_of(guest.handshake.claim());
        const bool is_known = claim.purpose == Purpose::messages || claim.purpose == Purpose::introductions;
        if (is_known) waiting_.push_back({claim, std::move(guest.socket)});
        else tell_of_stranger(guest, "it knows the job's secret, but not what it came for");
        return false;
    }
    guest.patience_left_ns -= std::min(guest.patience_left_ns, waited_ns);
    if (guest.patience_left_ns != 0) return true;
    tell_of_stranger(guest, "it said nothing");
    return false;
}

void DataPort::tell_of_stranger(const Guest& guest, std::string_view why) {
    const auto address = guest.socket.peer_address();
    log(has_told_ ? LogLevel::debug : LogLevel::warning,
        "a stranger ({}) connected to the port {} for data and was dropped: {}",
        address ? address->text() : "already gone", listener_.address().text(), why);
    has_told_ = true;
}

}  // namespace tenon::tcp
