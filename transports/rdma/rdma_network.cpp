#include "transports/rdma/rdma_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "os/clock.hpp"

namespace tenon::rdma {
namespace {

constexpr std::size_t completions_at_once = 16;
constexpr int most_rounds = 4;  // of them in one progress()
constexpr std::uint64_t check_every_ns = 5'000'000;

}  // namespace

Result<std::unique_ptr<Network>> RdmaNetwork::make(NetworkFacts facts, VerbsApi& api) {
    std::uint64_t peers = 0;
    for (Rank r = 0; r < static_cast<Rank>(facts.hosts.size()); r++)
        peers += r != facts.rank && !facts.hosts[static_cast<std::size_t>(r)].empty() ? 1 : 0;
    auto device = Device::open(api, {.peers = peers,
                                     .slots_cap_bytes = facts.slot_memory_cap_bytes / 8,
                                     .patience_ms = facts.patience_ms});
    if (!device)
        return fail(device.error().status, fmt::format("rank {}: {}", facts.rank, device.error().message));
    return std::unique_ptr<Network>(new RdmaNetwork(std::move(facts), std::move(*device)));
}

RdmaNetwork::RdmaNetwork(NetworkFacts facts, std::unique_ptr<Device> device)
    : facts_(std::move(facts)),
      memory_(facts_.rank, facts_.shape_of, facts_.slot_memory_cap_bytes),
      device_(std::move(device)),
      registrations_(*device_, facts_.known_memory, {.bytes = facts_.registered_cap_bytes}),
      connections_(static_cast<std::size_t>(facts_.rank_count)),
      check_(check_every_ns) {}

// ---- peers --------------------------------------------------------------------------------------------------------

RdmaConnection& RdmaNetwork::connection_to(Rank peer) {
    TENON_ASSERT(peer >= 0 && peer < facts_.rank_count && peer != facts_.rank, "no such peer");
    const std::scoped_lock lock(connecting_);
    auto& made = connections_[static_cast<std::size_t>(peer)];
    if (made == nullptr)
        made = std::make_unique<RdmaConnection>(
            Ends{.own = facts_.rank, .peer = peer, .peer_host = facts_.hosts[static_cast<std::size_t>(peer)]}, *device_,
            registrations_, memory_, [this, peer] { introduce(peer); });
    return *made;
}

// By the rank's own thread, when it first asks for an end.
void RdmaNetwork::introduce(Rank peer) {
    RdmaConnection& connection = connection_to(peer);
    const auto own = connection.begin();
    auto told = own ? facts_.introductions->introduce(peer, std::as_bytes(std::span{&*own, 1}))
                    : Result<void>{std::unexpected(own.error())};
    if (told) {
        by_pair_[connection.pair_number()] = &connection;
        active_.push_back(&connection);
        unanswered_++;
        unready_++;
    } else if (!introduction_error_) {
        introduction_error_ = told.error();
    }
}

Result<void> RdmaNetwork::take_answers() {
    while (unanswered_ != 0) {
        const auto answer = facts_.introductions->next_answer();
        if (!answer) return std::unexpected(answer.error());
        if (!*answer) break;
        unanswered_--;
        const Rank peer = (*answer)->peer;
        RdmaConnection& connection = connection_to(peer);
        const auto read = read_introduction((*answer)->bytes);
        if (!read)
            return std::unexpected(connection.broken("it introduces itself in a way that this version does not know"));
        if (auto ok = connection.open(*read); !ok) return ok;
        if (auto ok = facts_.introductions->say_ready(peer); !ok) return ok;
    }
    while (unready_ != 0) {
        const auto ready = facts_.introductions->next_ready();
        if (!ready) return std::unexpected(ready.error());
        if (!*ready) return {};
        unready_--;
        connection_to(**ready).peer_is_ready();
    }
    return {};
}

// ---- moving -------------------------------------------------------------------------------------------------------

Result<void> RdmaNetwork::take_completions() {
    std::array<ibv_wc, completions_at_once> done;
    for (int round = 0; round < most_rounds; round++) {
        const std::size_t count = device_->poll(done);
        for (std::size_t i = 0; i < count; i++)
            if (auto ok = take(done[i]); !ok) return ok;
        if (count < completions_at_once) break;
    }
    return {};
}

Result<void> RdmaNetwork::take(const ibv_wc& done) {
    const auto at = by_pair_.find(done.qp_num);
    TENON_ASSERT(at != by_pair_.end(), "a completion is of a queue pair that this network has made");
    RdmaConnection& connection = *at->second;
    // What the device has to say about it belongs into the error.
    if (done.status != IBV_WC_SUCCESS)
        if (auto ok = take_troubles(); !ok) return ok;
    if (work_of(done.wr_id) != Work::receive) {
        connection.completed(done.wr_id, done.status);
        return {};
    }
    std::byte* const slot = slot_of(done.wr_id);
    if (done.status == IBV_WC_SUCCESS) {
        connection.arrived({slot, std::min<std::size_t>(done.byte_len, slot_bytes)});
    } else {
        connection.receive_failed(done.status);
    }
    return device_->receive_into(slot);
}

Result<void> RdmaNetwork::take_troubles() {
    while (const auto trouble = device_->next_trouble()) {
        if (trouble->pair_number) {
            const auto at = by_pair_.find(*trouble->pair_number);
            if (at != by_pair_.end()) at->second->reported(trouble->what);
            continue;
        }
        over_ = {Status::system_error,
                         fmt::format("rank {}: the RDMA device {} reports: {}; it can be used no longer, look at it "
                                     "(ibv_devinfo, dmesg)",
                                     facts_.rank, device_->name_and_state(), ibv_event_type_str(trouble->what))};
        break;
    }
    return over_ ? Result<void>{std::unexpected(*over_)} : Result<void>{};
}

Result<bool> RdmaNetwork::progress() {
    if (over_) return std::unexpected(*over_);
    if (introduction_error_) return std::unexpected(*introduction_error_);
    if (unanswered_ != 0 || unready_ != 0)
        if (auto ok = take_answers(); !ok) return std::unexpected(ok.error());
    if (auto ok = take_completions(); !ok) return std::unexpected(ok.error());
    if (!active_.empty() && check_.is_due()) {
        if (auto ok = take_troubles(); !ok) return std::unexpected(ok.error());
        if (auto ok = facts_.introductions->check(); !ok) return std::unexpected(ok.error());
    }
    return ask_all(active_, [](auto* c) { return c->progress(); });
}

int RdmaNetwork::wait_descriptor() const {
    check_.slept();
    return device_->wait_descriptor();
}

// Devices write on their own: only a queue pair that is no more takes nothing more in.
void RdmaNetwork::withdraw() {
    for (RdmaConnection* const connection : active_) connection->withdraw();
    if (!over_) over_ = {Status::invalid_usage, fmt::format("rank {}: an earlier call has failed", facts_.rank)};
}

Result<bool> RdmaNetwork::finish_sending() {
    const auto moved = progress();
    if (moved && !*moved) return false;
    // Also where one peer is lost: the others must have their goodbye.
    const auto finished = ask_all(active_, [](auto* c) { return c->finish_sending(); });
    if (!finished || *finished) facts_.introductions->farewell();
    return moved ? finished : moved;
}

}  // namespace tenon::rdma
