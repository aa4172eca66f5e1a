// Ranks on different hosts, as far as their networks can tell, all in this thread. And the suite of what every network
// over Mirrors must do (network_cases.cpp), which a network's own test instantiates with the way to make it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "os/process.hpp"
#include "tenon/plugin/network.hpp"
#include "transports/tcp/links.hpp"

namespace tenon {

inline constexpr RingShape network_shape{.slots = 4, .slot_bytes = 16 << 10, .area_bytes = 5 * (16 << 10),
                                         .medium_slots = 4, .medium_bytes = 2 << 10};
inline constexpr std::uint32_t network_signature = 77;

// Makes a rank's network; the sockets to its peers where it needs them.
using LinksFor = std::function<std::unique_ptr<tcp::Links>(tcp::Purpose purpose)>;
// For a network that needs no more than that.
std::shared_ptr<Introductions> introductions(const LinksFor& links_for);
struct NetworkKind {
    std::string name;
    std::function<Result<std::unique_ptr<Network>>(NetworkFacts facts, const LinksFor& links_for)> make;
};

inline os::Secret fresh_secret() {
    os::Secret secret;
    EXPECT_TRUE(os::fill_random(secret.bytes));
    return secret;
}

// Memory of this program that the networks of a test know, and whose end they are told.
class ToldMemory final : public KnownMemory {
public:
    void add(std::span<std::byte> range) { ranges_.push_back(range); }
    void end(std::span<std::byte> range) {
        std::erase_if(ranges_, [&](const auto& r) { return r.data() == range.data(); });
        for (const auto& ended : told_) ended(range);
    }
    std::optional<std::span<std::byte>> range_of(const void* bytes, std::size_t length) const override {
        for (const auto& range : ranges_)
            if (lies_in(range, bytes, length)) return range;
        return std::nullopt;
    }
    std::shared_ptr<void> tell_ends(std::function<void(std::span<std::byte>)> ended) override {
        told_.push_back(std::move(ended));
        return {nullptr, [this, at = std::prev(told_.end())](void*) { told_.erase(at); }};
    }

private:
    std::vector<std::span<std::byte>> ranges_;
    std::list<std::function<void(std::span<std::byte>)>> told_;
};

// Each rank with a listener of its own.
class NetworkHosts {
public:
    static constexpr std::uint64_t patience_ms = 2500;
    NetworkHosts(const NetworkKind& kind, Rank count, std::uint64_t cap = 64 << 20,
                 std::uint64_t registered_cap = 64 << 20, const RingShape& shape = network_shape,
                 std::uint64_t peer_bytes = NetworkFacts{}.peer_bytes)
        : secret(fresh_secret()) {
        std::vector<tcp::Peer> peers;
        NetworkFacts facts{.rank_count = count, .shape_of = [shape](std::uint16_t) { return shape; },
                           .peer_bytes = peer_bytes, .patience_ms = patience_ms, .known_memory = memory,
                           .registered_cap_bytes = registered_cap};
        for (Rank r = 0; r < count; r++) {
            auto listener = os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front());
            EXPECT_TRUE(listener && *listener);
            listeners.push_back(std::make_unique<os::TcpListener>(std::move(**listener)));
            facts.hosts.push_back("host" + std::to_string(r));
            peers.push_back({listeners.back()->address(), facts.hosts.back()});
        }
        for (Rank r = 0; r < count; r++) {
            auto port = std::make_shared<tcp::DataPort>(*listeners[static_cast<std::size_t>(r)], secret);
            facts.rank = r;
            facts.slots = std::make_shared<SlotBudget>(cap);
            auto made = kind.make(facts, [&](tcp::Purpose purpose) {
                return std::make_unique<tcp::Links>(r, peers, purpose, secret, port, patience_ms);
            });
            EXPECT_TRUE(made) << made.error().message;
            ranks.push_back(std::move(*made));
        }
    }
    // Moves what can be moved until `done` says so; an error of a rank ends it.
    template <class Done>
    Result<void> move_until(const Done& done) {
        const os::Deadline deadline = os::Deadline::after_ms(60'000);
        while (!done()) {
            for (auto& rank : ranks)
                if (rank != nullptr)
                    if (auto moved = rank->progress(); !moved) return std::unexpected(moved.error());
            if (auto in_time = deadline.check("messages to arrive"); !in_time) return in_time;
        }
        return {};
    }
    SendEnd& send_end(Rank from, Rank to, std::uint16_t channel = 0) {
        return **ranks[static_cast<std::size_t>(from)]->connection(to).send_end(channel);
    }
    ReceiveEnd& receive_end(Rank at, Rank from, std::uint16_t channel = 0) {
        return **ranks[static_cast<std::size_t>(at)]->connection(from).receive_end(channel);
    }

    os::Secret secret;
    std::shared_ptr<ToldMemory> memory = std::make_shared<ToldMemory>();
    std::vector<std::unique_ptr<os::TcpListener>> listeners;
    std::vector<std::unique_ptr<Network>> ranks;
};

// Bytes that differ by place and by salt.
std::vector<std::byte> bytes_of(std::size_t length, std::size_t salt);
// False where there is no credit for it.
bool try_send(SendEnd& end, const std::vector<std::byte>& bytes);
// Nothing while it has not come.
std::optional<std::vector<std::byte>> try_receive(ReceiveEnd& end, std::size_t length);

class NetworkCases : public ::testing::TestWithParam<NetworkKind> {};

}  // namespace tenon
