#include "bootstrap/lobby.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "bootstrap/roll_call.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::uint64_t stranger_patience_ms = 10'000;
constexpr std::size_t stranger_limit = 256;
constexpr int most_accepted_at_once = 64;  // so that who connects again and again keeps nobody from being heard

std::string name_process(const os::PeerCredentials& peer) { return fmt::format("process {}", peer.process); }

}  // namespace

std::string Lobby::name_of(const Guest& guest) {
    const std::string ranks = guest.ranks.empty() ? "a rank" : name_ranks(guest.ranks);
    return fmt::format("{} ({})", ranks, name_process(guest.peer));
}

void Lobby::watch(std::vector<pollfd>& watched) {
    const bool takes_more = stranger_count() < stranger_limit;
    watched.push_back({takes_more ? listener_.descriptor().number() : -1, POLLIN, 0});
    for (const auto& guest : guests_) watched.push_back({guest->socket.descriptor().number(), POLLIN, 0});
    watched_guests_ = guests_.size();
}

Result<void> Lobby::serve(std::span<const pollfd> ready, const Reception& reception) {
    for (std::size_t i = 0; i < watched_guests_; i++)
        if (ready[i + 1].revents != 0)
            if (auto read = read_from(*guests_[i], reception); !read) return read;
    if (ready[0].revents != 0)
        if (auto accepted = accept_all(); !accepted) return accepted;
    for (auto& guest : guests_)
        if (guest->open() && !guest->known && guest->stranger_until.passed()) drop_stranger(*guest, "it said nothing");
    std::erase_if(guests_, [](const auto& guest) { return !guest->open(); });
    return {};
}

Result<void> Lobby::accept_all() {
    for (int round = 0; is_open() && round < most_accepted_at_once && stranger_count() < stranger_limit; round++) {
        auto socket = listener_.accept();
        if (!socket) return std::unexpected(socket.error());
        if (!*socket) return {};
        const auto peer = (*socket)->peer();
        if (!peer) return std::unexpected(peer.error());
        auto guest = std::make_unique<Guest>(std::move(**socket), *peer, os::Deadline::after_ms(stranger_patience_ms));
        if (peer->user != os::user_id() && peer->user != 0) {
            if (refused_user_.empty()) refused_user_ = fmt::format("{} of user {}", name_process(*peer), peer->user);
            drop_stranger(*guest, fmt::format("it belongs to user {}", peer->user));
            continue;
        }
        guests_.push_back(std::move(guest));
    }
    return {};
}

std::size_t Lobby::stranger_count() const {
    return static_cast<std::size_t>(
        std::count_if(guests_.begin(), guests_.end(), [](const auto& g) { return g->open() && !g->known; }));
}

void Lobby::drop_stranger(Guest& guest, std::string_view why) {
    log(has_logged_stranger_ ? LogLevel::debug : LogLevel::warning,
        "a stranger ({}) connected to the rendezvous and was dropped: {}", name_process(guest.peer), why);
    has_logged_stranger_ = true;
    guest.socket.close();
}

// Descriptors are only taken from those who have shown the secret; the system closes a stranger's.
Result<void> Lobby::read_from(Guest& guest, const Reception& reception) {
    while (guest.open()) {
        const std::size_t wanted = guest.known ? hello_bytes : proof_bytes;
        os::FileDescriptor passed;
        const auto room = std::span{guest.buffer}.subspan(guest.filled, wanted - guest.filled);
        const auto received = guest.socket.receive_some(room, guest.known ? &passed : nullptr);
        if (!received && received.error().status == Status::remote_error) return lost(guest, reception);
        if (!received) return std::unexpected(received.error());
        if (*received == 0) return {};
        if (passed.valid() && !guest.arena.valid()) guest.arena = std::move(passed);
        guest.filled += *received;
        if (guest.filled < wanted) continue;
        guest.filled = 0;
        if (!guest.known) {
            if (auto shown = check_proof(guest); !shown) return shown;
            continue;
        }
        const auto hello = read_hello(guest.buffer);
        if (!hello) return std::unexpected(hello.error());
        guest.ranks.push_back(hello->who.rank);
        if (auto taken = reception.take_hello(guest, *hello); !taken) return taken;
    }
    return {};
}

Result<void> Lobby::check_proof(Guest& guest) {
    const auto version = read_proof(std::span{guest.buffer}.first<proof_bytes>(), secret_);
    if (!version) {
        drop_stranger(guest, "it does not know the job's secret");
        return {};
    }
    guest.known = true;
    if (*version == wire_version) return {};
    return fail(Status::mismatch, fmt::format("{} speaks version {} of the rendezvous, process {} version {}: use one "
                                              "build of Tenon in all processes of the job",
                                              name_process(guest.peer), *version, os::process_id(), wire_version));
}

Result<void> Lobby::lost(Guest& guest, const Reception& reception) {
    guest.socket.close();
    if (guest.known) return reception.lost(guest);
    drop_stranger(guest, "it left before it said who it is");
    return {};
}

}  // namespace tenon::bootstrap
