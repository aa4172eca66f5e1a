// The processes of this host at the rendezvous: who connects to the local socket, shows the secret, and says hello.
//
// All are served at once, so that a stranger who connects and says nothing, or garbage, delays nobody: strangers are
// dropped when their patience ends or their proof is wrong, and only so many are kept. For one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bootstrap/wire.hpp"
#include "os/socket.hpp"

namespace tenon::bootstrap {

struct Guest {
    os::LocalSocket socket;
    os::PeerCredentials peer;
    os::Deadline stranger_until;
    bool known = false;  // has shown the secret
    HelloBytes buffer{};
    std::size_t filled = 0;
    std::vector<Rank> ranks{};
    os::FileDescriptor arena{};
    std::int32_t arena_number = -1;
    bool open() const { return socket.descriptor().valid(); }
};

class Lobby {
public:
    struct Reception {
        std::function<Result<void>(Guest&, const Hello&)> take_hello;
        std::function<Result<void>(const Guest&)> lost;  // one who was known
    };

    Lobby(const Secret& secret, os::LocalListener listener) : secret_{secret}, listener_{std::move(listener)} {}

    void watch(std::vector<pollfd>& watched);
    // `ready` is what watch() added. What the reception says of a guest ends the round.
    Result<void> serve(std::span<const pollfd> ready, const Reception& reception);
    Result<void> accept_all();
    bool is_open() const { return listener_.descriptor().valid(); }
    void close() { listener_.close(); }
    bool empty() const { return guests_.empty(); }
    bool has_strangers() const { return stranger_count() > 0; }
    std::vector<std::unique_ptr<Guest>>& guests() { return guests_; }
    const std::vector<std::unique_ptr<Guest>>& guests() const { return guests_; }
    // The first process of another user that wanted to come in, "process 12 of user 1000"; or empty.
    const std::string& refused_user() const { return refused_user_; }
    // "ranks 3 and 5 (process 12)"
    static std::string name_of(const Guest& guest);

private:
    Result<void> read_from(Guest& guest, const Reception& reception);
    Result<void> check_proof(Guest& guest);
    Result<void> lost(Guest& guest, const Reception& reception);
    void drop_stranger(Guest& guest, std::string_view why);
    std::size_t stranger_count() const;

    const Secret secret_;
    os::LocalListener listener_;
    std::vector<std::unique_ptr<Guest>> guests_;
    std::size_t watched_guests_ = 0;
    bool has_logged_stranger_ = false;
    std::string refused_user_;
};

}  // namespace tenon::bootstrap
