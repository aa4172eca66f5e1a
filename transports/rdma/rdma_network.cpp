#include "transports/rdma/rdma_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "os/clock.hpp"

namespace tenon::rdma {
namespace {

constexpr std::size_t completions_at_once = 16;
constexpr int most_rounds = 4;  // of them in one progress()
constexpr std::uint64_t check_every_ns = 5'000'000;

Result<std::optional<os::Poller>> poller_of(const std::vector<std::unique_ptr<Device>>& devices) {
    if (devices.size() == 1) return std::nullopt;
    auto poller = os::Poller::create();
    if (!poller) return std::unexpected(poller.error());
    for (const auto& device : devices)
        if (auto ok = poller->watch(device->completion_descriptor(), device.get()); !ok)
            return std::unexpected(ok.error());
    return std::optional(std::move(*poller));
}

struct Opened {
    std::vector<std::unique_ptr<Device>> devices;
    std::vector<Error> left_out;
};

Opened open_devices(VerbsApi& api, std::vector<Port> ports, const Device::Wanted& wanted) {
    Opened opened;
    for (Port& port : ports) {
        auto device = Device::open(api, std::move(port), wanted);
        if (device) opened.devices.push_back(std::move(*device));
        else opened.left_out.push_back(std::move(device.error()));
    }
    return opened;
}

}  // namespace

// Of several devices that nobody has named, those that cannot be used are left out.
Result<std::unique_ptr<Network>> RdmaNetwork::make(NetworkFacts facts, VerbsApi& api) {
    std::uint64_t peers = 0;
    for (Rank r = 0; r < static_cast<Rank>(facts.hosts.size()); r++)
        peers += r != facts.rank && !facts.hosts[static_cast<std::size_t>(r)].empty() ? 1 : 0;
    const auto failed = [&](const Error& error) {
        return fail(error.status, fmt::format("rank {}: {}", facts.rank, error.message));
    };
    auto ports = find_ports(api, facts.rdma);
    if (!ports) return failed(ports.error());
    ports->resize(std::min(ports->size(), std::max<std::size_t>(most_paths / facts.rdma.queue_pairs, 1)));
    const Device::Wanted wanted{.peers = peers, .slots_cap_bytes = facts.slots->cap_bytes() / 8 / ports->size(),
                                .patience_ms = facts.patience_ms, .timeout = facts.rdma.timeout,
                                .retry_count = facts.rdma.retry_count,
                                .is_timed = ports->size() * facts.rdma.queue_pairs > 1};
    auto opened = open_devices(api, std::move(*ports), wanted);
    if (!opened.left_out.empty() && (opened.devices.empty() || !facts.rdma.devices.empty()))
        return failed(opened.left_out.front());
    auto& devices = opened.devices;
    for (const Error& error : opened.left_out)
        log(LogLevel::warning, "rank {} does without an RDMA device and uses {}: {}", facts.rank,
            devices.front()->name(), error.message);
    auto poller = poller_of(devices);
    if (!poller) return failed(poller.error());
    return std::unique_ptr<Network>(new RdmaNetwork(std::move(facts), std::move(devices), std::move(*poller)));
}

RdmaNetwork::RdmaNetwork(NetworkFacts facts, std::vector<std::unique_ptr<Device>> devices,
                         std::optional<os::Poller> poller)
    : facts_(std::move(facts)),
      memory_(facts_.rank, facts_.shape_of, facts_.slots),
      devices_(std::move(devices)),
      poller_(std::move(poller)),
      registrations_([all = this->devices()](std::span<std::byte> range) { return register_with_all(all, range); },
                     facts_.known_memory, {.bytes = facts_.registered_cap_bytes}),
      connections_(static_cast<std::size_t>(facts_.rank_count)),
      by_pair_(devices_.size()),
      check_(check_every_ns) {
    for (const auto& device : devices_) memory_.count(device->slot_memory());
}

// As often as there are queue pairs on it, those of a port behind each other, so that both sides pair the same ones.
std::vector<Device*> RdmaNetwork::devices() const {
    std::vector<Device*> all;
    for (const auto& device : devices_) all.insert(all.end(), facts_.rdma.queue_pairs, device.get());
    return all;
}

std::string RdmaNetwork::in_words() const {
    std::vector<std::string> all;
    for (const auto& device : devices_) all.push_back(device->in_words());
    return fmt::format("rdma ({})", fmt::join(all, "; "));
}

// ---- peers --------------------------------------------------------------------------------------------------------

RdmaConnection& RdmaNetwork::connection_to(Rank peer) {
    TENON_ASSERT(peer >= 0 && peer < facts_.rank_count && peer != facts_.rank, "no such peer");
    const std::scoped_lock lock(connecting_);
    auto& made = connections_[static_cast<std::size_t>(peer)];
    if (made == nullptr)
        made = std::make_unique<RdmaConnection>(
            Ends{.own = facts_.rank,
                 .peer = peer,
                 .peer_host = facts_.hosts[static_cast<std::size_t>(peer)],
                 .patience_ms = facts_.patience_ms},
            devices(), registrations_, memory_, [this, peer] { introduce(peer); });
    return *made;
}

// By the rank's own thread, when it first asks for an end.
void RdmaNetwork::introduce(Rank peer) {
    RdmaConnection& connection = connection_to(peer);
    const auto own = connection.begin();
    auto told = own ? facts_.introductions->introduce(peer, std::as_bytes(std::span{*own}))
                    : Result<void>{std::unexpected(own.error())};
    if (told) {
        for (const Path& path : connection.paths())
            if (path.is_open())
                by_pair_[path.number() / facts_.rdma.queue_pairs][path.pair_number()] = {&connection, path.number()};
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
        const auto read = read_introductions((*answer)->bytes);
        if (read.empty())
            return std::unexpected(connection.broken("it introduces itself in a way that this version does not know"));
        if (auto ok = connection.open(read); !ok) return ok;
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

// False when there may be more.
Result<bool> RdmaNetwork::take_completions(std::size_t device) {
    std::array<ibv_wc, completions_at_once> done;
    std::size_t count = completions_at_once, all = 0;
    for (int round = 0; round < most_rounds && count == completions_at_once; round++) {
        count = devices_[device]->poll(done);
        for (std::size_t i = 0; i < count; i++)
            if (auto ok = take(device, done[i]); !ok) return std::unexpected(ok.error());
        all += count;
    }
    if (devices_[device]->should_post_receives(all == 0))
        if (auto ok = post_receives(device); !ok) return std::unexpected(ok.error());
    return count < completions_at_once;
}

Result<void> RdmaNetwork::post_receives(std::size_t device) {
    if (auto ok = devices_[device]->post_free_receives(); !ok) return ok;
    for (RdmaConnection* const connection : active_) connection->receives_stand(*devices_[device]);
    return {};
}

Result<void> RdmaNetwork::take(std::size_t device, const ibv_wc& done) {
    const auto at = by_pair_[device].find(done.qp_num);
    TENON_ASSERT(at != by_pair_[device].end(), "a completion is of a queue pair that this network has made");
    const auto [connection, path] = at->second;
    // What the device has to say about it belongs into the error.
    if (done.status != IBV_WC_SUCCESS)
        if (auto ok = take_troubles(); !ok) return ok;
    if (path >= connection->paths().size()) return {};
    if (work_of(done.wr_id) != Work::receive) {
        connection->completed(path, done.wr_id, done.status);
        return {};
    }
    std::byte* const slot = slot_of(done.wr_id);
    if (done.status == IBV_WC_SUCCESS && done.opcode == IBV_WC_RECV_RDMA_WITH_IMM) {
        connection->put_arrived(path, done.imm_data);
    } else if (done.status == IBV_WC_SUCCESS) {
        connection->arrived(path, {slot, std::min<std::size_t>(done.byte_len, devices_[device]->receive_bytes())});
    } else {
        connection->receive_failed(path, done.status);
    }
    devices_[device]->free_receive_slot(slot);
    return {};
}

Result<void> RdmaNetwork::take_troubles() {
    for (std::size_t i = 0; i < devices_.size(); i++)
        while (const auto trouble = devices_[i]->next_trouble())
            if (auto ok = take_trouble(i, *trouble); !ok) return ok;
    return over_ ? Result<void>{std::unexpected(*over_)} : Result<void>{};
}

Result<void> RdmaNetwork::take_trouble(std::size_t device, const Trouble& trouble) {
    if (trouble.pair_number) {
        const auto at = by_pair_[device].find(*trouble.pair_number);
        if (at != by_pair_[device].end() && at->second.path < at->second.connection->paths().size())
            at->second.connection->reported(at->second.path, trouble.what);
        return {};
    }
    if (devices_.size() == 1) {
        over_ = {Status::system_error,
                 fmt::format("rank {}: the RDMA device {} reports: {}; it can be used no longer, look at it "
                             "(ibv_devinfo, dmesg)",
                             facts_.rank, devices_[device]->name_and_state(), ibv_event_type_str(trouble.what))};
        return std::unexpected(*over_);
    }
    for (RdmaConnection* const connection : active_)
        for (const Path& path : connection->paths())
            if (&path.device() == devices_[device].get()) connection->reported(path.number(), trouble.what);
    return {};
}

Result<bool> RdmaNetwork::progress() {
    if (over_) return std::unexpected(*over_);
    if (introduction_error_) return std::unexpected(*introduction_error_);
    if (unanswered_ != 0 || unready_ != 0)
        if (auto ok = take_answers(); !ok) return std::unexpected(ok.error());
    // What waits to be sent goes first, and what has come is the rank's at once. One lost peer keeps no other's from
    // being taken.
    const auto all_gone = ask_all(active_, [this](auto* c) { return c->progress(drained_); });
    drained_ = true;
    for (std::size_t i = 0; i < devices_.size(); i++) {
        const auto taken = take_completions(i);
        if (!taken) return taken;
        drained_ &= *taken;
    }
    if (!active_.empty() && check_.is_due()) {
        if (auto ok = take_troubles(); !ok) return std::unexpected(ok.error());
        if (auto ok = facts_.introductions->check(); !ok) return std::unexpected(ok.error());
    }
    return all_gone;
}

// Each arms its own; whoever has something to bring sends the caller back.
int RdmaNetwork::wait_descriptor() const {
    check_.slept();
    for (const auto& device : devices_) {
        const int descriptor = device->wait_descriptor();
        if (!poller_ || descriptor != device->completion_descriptor()) return descriptor;
    }
    return poller_->descriptor().number();
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
