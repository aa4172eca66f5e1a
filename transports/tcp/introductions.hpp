// Introductions over sockets of their own. What a peer says is its length and its bytes, once; later, one more byte
// when it is ready, where the network needs that, and one when it says farewell; and one in between whenever it doubts
// that this host is there, which this host's system acknowledges.
#pragma once

#include <map>

#include "os/poller.hpp"
#include "tenon/plugin/network.hpp"
#include "transports/tcp/links.hpp"

namespace tenon::tcp {

class TcpIntroductions final : public Introductions {
public:
    static Result<std::shared_ptr<Introductions>> make(std::unique_ptr<Links> links);

    Result<void> introduce(Rank peer, std::span<const std::byte> own) override;
    Result<std::optional<Answer>> next_answer() override;
    Result<void> say_ready(Rank peer) override;
    Result<std::optional<Rank>> next_ready() override;
    Result<void> check() override;
    void farewell() override;

private:
    struct Acquaintance {
        Rank peer;
        os::TcpSocket socket{};             // once there
        std::vector<std::byte> leaving{};   // what has not gone yet
        std::vector<std::byte> arrived{};   // so far, length first
        bool introduced = false, answered = false, said_ready = false, gone = false;
    };
    TcpIntroductions(std::unique_ptr<Links> links, os::Poller poller)
        : links_(std::move(links)), poller_(std::move(poller)) {}
    Acquaintance& with(Rank peer) { return all_.try_emplace(peer, Acquaintance{peer}).first->second; }
    Result<void> take_up_new();
    Result<bool> advance(Acquaintance& a);
    Result<void> receive(Acquaintance& a, std::size_t wanted);
    Result<void> look_at(Acquaintance& a);
    Result<void> check_reach();
    static Result<void> say(Acquaintance& a, std::byte word);

    std::unique_ptr<Links> links_;
    os::Deadline next_look_ = os::Deadline::after_ms(0);  // whether peers' hosts answer
    bool said_farewell_ = false;
    os::Poller poller_;  // of the sockets of those who have answered
    std::map<Rank, Acquaintance> all_;
    std::size_t unanswered_ = 0;
    std::vector<Rank> ready_;  // and not yet returned
};

}  // namespace tenon::tcp
