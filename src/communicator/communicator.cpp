// How a communicator is made, split and ended. See run.cpp for calls and watch.cpp for what ends a wait.
#include "communicator/communicator.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.hpp"
#include "bootstrap/checks.hpp"
#include "bootstrap/launch.hpp"
#include "communicator/start.hpp"
#include "os/clock.hpp"
#include "os/peer_memory.hpp"
#include "os/shared_arena.hpp"
#include "topology/shape.hpp"

namespace tenon {
namespace {

constexpr Rank most_ranks = 1 << 16;

Result<Selection> selection_of(const Config& config) {
    auto known = known_algorithms(config);
    if (!known) return std::unexpected(known.error());
    return Selection::make(*known, config);
}

// Files of one name may differ between hosts, and files of two names may be the same.
std::string agreed_tuning(const Tuning& tuning) {
    return tuning.fingerprint == 0 ? "" : fmt::format("TENON_TUNING_FILE's contents={:016x}\n", tuning.fingerprint);
}

// Those that the user wants instead of the hosts; none where there are none for so many ranks.
Result<std::vector<Level>> groups_of(const Config& config, Rank rank_count) {
    if (config.groups.empty()) return std::vector<Level>{};
    auto levels = levels_of_shape(config.groups);
    if (!levels) return fail(levels.error().status, "TENON_GROUPS: " + levels.error().message);
    if (levels->front().group_of.size() != static_cast<std::size_t>(rank_count)) levels->clear();
    return levels;
}

std::vector<std::uint32_t> speeds_of(const Job& job) {
    std::vector<std::uint32_t> speeds;
    if (job.meeting != nullptr)
        for (const HostNetwork& network : job.meeting->networks) speeds.push_back(network.speed_mbps);
    return speeds;
}

// As lines like those of settings: the kind of the ranks' devices.
std::string agreed_device(const OpenDevice* device) {
    return fmt::format("device={}\n", device == nullptr ? "none" : device->provider->name());
}

Result<void> check_size(Rank rank_count) {
    if (rank_count >= 1 && rank_count <= most_ranks) return {};
    return fail(Status::invalid_argument,
                fmt::format("a communicator has 1 to {} ranks, not {}", most_ranks, rank_count));
}

std::string names_of(std::span<const std::string> hosts) {
    constexpr std::size_t most_named = 4;
    std::string names = fmt::format("{}", fmt::join(hosts.first(std::min(hosts.size(), most_named)), ", "));
    return hosts.size() > most_named ? fmt::format("{} and {} more", names, hosts.size() - most_named) : names;
}

// Whether the configured transport can join these ranks.
Result<void> check_transport(const Job& job, const Config& config) {
    if (config.transport == TransportChoice::inproc && !job.one_process)
        return fail(Status::invalid_usage,
                    "TENON_TRANSPORT=inproc joins threads of one process, but the ranks are in several");
    if (config.transport == TransportChoice::shm && job.hosts.size() > 1)
        return fail(Status::invalid_usage,
                    fmt::format("TENON_TRANSPORT=shm joins the ranks of one host, but they are on {}: {}",
                                job.hosts.size(), names_of(job.hosts)));
    return {};
}

Result<Job> job_of(const std::shared_ptr<const Meeting>& meeting, const Config& config) {
    Job job{.meeting = meeting,
            .segment = std::shared_ptr<const os::Mapping>(meeting, &meeting->memory),
            .hosts = meeting->hosts,
            .network = {.listener = std::shared_ptr<const os::TcpListener>(meeting, &meeting->listener),
                        .key = meeting->key,
                        .patience_ms = config.network_timeout_ms,
                        .name = config.network,
                        .own = networks_here(config),
                        .sockets_per_peer = config.sockets_per_peer},
            .one_process = true};
    for (const Introduction& i : meeting->ranks) {
        job.places.push_back({i.cores, i.host});
        job.processes.push_back(i.process);
        job.addresses.push_back(i.address);
        job.networks.push_back(i.networks);
        job.one_process = job.one_process && i.process_token == os::process_token();
    }
    if (job.hosts.empty()) job.hosts.push_back(os::host_name());
    if (auto ok = check_transport(job, config); !ok) return std::unexpected(ok.error());
    return job;
}

// Where ranks of one process shall talk over TCP all the same.
Result<void> add_loopback(Job& job, const Config& config) {
    const auto loopback = os::resolve("localhost", 0);
    if (!loopback) return std::unexpected(loopback.error());
    auto listener = os::TcpListener::listen(loopback->front());
    if (!listener) return std::unexpected(listener.error());
    job.network = {.listener = std::make_shared<os::TcpListener>(std::move(**listener)),
                   .patience_ms = config.network_timeout_ms,
                   .name = config.network,
                   .sockets_per_peer = config.sockets_per_peer};
    job.addresses.assign(job.places.size(), job.network.listener->address());
    return os::fill_random(job.network.key.bytes);
}

}  // namespace

Result<void> Communicator::check_place(Rank rank, Rank rank_count) {
    if (auto ok = check_size(rank_count); !ok) return ok;
    if (rank < 0 || rank >= rank_count)
        return fail(Status::invalid_argument, fmt::format("rank {} is not in [0, {})", rank, rank_count));
    return {};
}

Result<std::unique_ptr<Communicator>> Communicator::join(const UniqueId& id, Rank rank, Rank rank_count,
                                                         const Config& config, std::shared_ptr<OpenDevice> device,
                                                         const std::atomic<bool>* aborted) {
    if (auto ok = check_place(rank, rank_count); !ok) return std::unexpected(ok.error());
    auto selection = selection_of(config);
    if (!selection) return std::unexpected(selection.error());
    const std::uint64_t control = JobControl::bytes(rank_count);
    const Agreement agreement{.rank_count = rank_count,
                              .segment = {segment_bytes(rank_count, config.slot_memory.value, control)},
                              .build = TENON_BUILD_ID,
                              .configuration = agreed_settings(config) + agreed_tuning(selection->tuning()) +
                                               agreed_device(device.get()),
                              .preferences = bootstrap::line_of_refused_network(refused_networks(config)) +
                                             preferred_settings(config)};
    os::Deadline deadline = os::Deadline::after_ms(config.init_timeout_ms);
    if (aborted != nullptr) deadline = deadline.or_abort(*aborted);
    NetworkSettings network = network_settings(config);
    network.obstacle = network_obstacle(config);
    network.networks = networks_here(config);
    auto arena = os::SharedArena::of_this_process();
    auto meeting = meet(id, rank, agreement, arena ? &(*arena)->file() : nullptr, deadline, network);
    if (!meeting) return std::unexpected(meeting.error());
    auto job = job_of(*meeting, config);
    if (!job) return std::unexpected(job.error());
    auto made = make(std::move(*job), rank, rank_count, config, std::move(*selection));
    if (made && device != nullptr)
        if (auto used = (*made)->use_device(std::move(device)); !used) return std::unexpected(used.error());
    return made;
}

Result<std::vector<std::unique_ptr<Communicator>>> Communicator::make_local(Rank rank_count, const Config& config) {
    if (auto ok = check_size(rank_count); !ok) return std::unexpected(ok.error());
    auto selection = selection_of(config);
    if (!selection) return std::unexpected(selection.error());
    auto cores = os::cores_of_this_thread();
    if (!cores) return std::unexpected(cores.error());
    const std::uint64_t control = JobControl::bytes(rank_count);
    auto segment = os::Mapping::anonymous({segment_bytes(rank_count, config.slot_memory.value, control)});
    if (!segment) return std::unexpected(segment.error());
    const auto ranks = static_cast<std::size_t>(rank_count);
    Job job{.segment = std::make_shared<os::Mapping>(std::move(*segment)),
            .places = std::vector(ranks, RankFacts{.cores = *cores}),
            .processes = std::vector(ranks, os::process_id()),
            .addresses = std::vector(ranks, os::InternetAddress{}),
            .networks = std::vector(ranks, NetworkSet{0}),
            .hosts = {os::host_name()},
            .one_process = true};
    if (config.transport == TransportChoice::network)
        if (auto ok = add_loopback(job, config); !ok) return std::unexpected(ok.error());
    std::vector<std::unique_ptr<Communicator>> made;
    for (Rank r = 0; r < rank_count; r++) {
        auto rank = make(job, r, rank_count, config, *selection);
        if (!rank) return std::unexpected(rank.error());
        made.push_back(std::move(*rank));
    }
    return made;
}

Result<PeerFacts> Communicator::facts_of(const Job& job, Rank own, Rank peer, const Config& config) {
    const auto at = static_cast<std::size_t>(peer);
    PeerFacts facts{.process = job.processes[at], .same_process = true};
    if (peer == own) {
        facts.host = job.host_of(own);
        return facts;
    }
    if (!job.on_one_host(own, peer) || config.transport == TransportChoice::network) {
        facts.same_process = false;
        facts.over_network = true;
        facts.address = job.addresses[at];
        facts.networks = job.networks[at];
        facts.host = job.host_of(peer);
        if (job.meeting != nullptr) facts.interface = job.network_of(peer).interface;
        if (facts.address.valid()) return facts;
        return fail(Status::internal_error, fmt::format("rank {}: rank {} on {} takes no connections from other hosts",
                                                        own, peer, facts.host));
    }
    if (job.meeting != nullptr) {
        const Introduction& introduction = job.meeting->ranks[at];
        facts.same_process = introduction.process_token == os::process_token();
        if (!facts.same_process && introduction.arena >= 0)
            if (auto arena = job.meeting->arenas[static_cast<std::size_t>(introduction.arena)].duplicate())
                facts.arena = std::move(*arena);
    }
    if (facts.same_process && config.transport == TransportChoice::shm) {
        facts.same_process = false;  // as if it were another process
        if (auto arena = os::SharedArena::of_this_process())
            if (auto file = (*arena)->file().duplicate()) facts.arena = std::move(*file);
    }
    facts.kernel_copies = !facts.same_process && os::peer_memory_is_readable();
    return facts;
}

Result<std::unique_ptr<Communicator>> Communicator::make(Job job, Rank rank, Rank rank_count, const Config& config,
                                                         Selection selection) {
    auto groups = groups_of(config, rank_count);
    if (!groups) return std::unexpected(groups.error());
    HostShare share{.segment = job.segment->data(), .control_bytes = JobControl::bytes(rank_count), .rank = rank,
                    .rank_count = rank_count, .slot_memory_bytes = config.slot_memory.value, .network = job.network,
                    .registered_cap_bytes = config.registered_memory.value, .rdma = config.rdma,
                    .ucx = {.puts = config.ucx_puts}};
    if (!config.socket_interface.empty() && job.meeting != nullptr) share.interface = job.network_of(rank).interface;
    for (Rank peer = 0; peer < rank_count; peer++) {
        auto facts = facts_of(job, rank, peer, config);
        if (!facts) return std::unexpected(facts.error());
        share.peers.push_back(std::move(*facts));
    }
    const auto arena = os::SharedArena::of_this_process();
    auto memory = std::make_shared<CommunicatorMemory>(arena ? *arena : nullptr);
    share.known_memory = memory;
    auto transport = make_transport(std::move(share));
    if (!transport) return std::unexpected(transport.error());
    std::unique_ptr<Communicator> made(new Communicator(std::move(job), rank, rank_count, config, std::move(selection),
                                                        std::move(*groups), std::move(memory), std::move(*transport)));
    if (auto relayed = made->start_relay(); !relayed) return std::unexpected(relayed.error());
    if (made->job_.meeting != nullptr)
        tell_of_start(*made->job_.meeting, rank, made->transport_->network_in_words());
    return made;
}

Communicator::Communicator(Job job, Rank rank, Rank rank_count, const Config& config, Selection selection,
                           std::vector<Level> groups, std::shared_ptr<CommunicatorMemory> memory,
                           std::unique_ptr<Transport> transport)
    : job_(std::move(job)),
      rank_(rank),
      rank_count_(rank_count),
      config_(config),
      control_(job_.segment->data(), rank, rank_count),
      selection_(std::move(selection)),
      memory_(std::move(memory)),
      transport_(std::move(transport)),
      is_networked_(transport_->needs_progress()) {
    const TransportChoice asked = config.transport;
    if (asked == TransportChoice::shm || asked == TransportChoice::network) job_.one_process = false;
    topology_ = topology_of(job_.places, {.one_process = job_.one_process, .has_boards = !is_networked_,
                                          .slot_bytes = transport_->slot_bytes(), .speeds_mbps = speeds_of(job_)});
    if (!groups.empty()) topology_.levels = std::move(groups);
    topology_ = selection_.tuning().applied_to(std::move(topology_));
    traffic_ = Traffic(std::make_shared<PeerLevels>(topology_, rank, job_.host_numbers()));
    decisions_ = decide(config_, topology_);
    execution_.heed(control_.failure_flag());
    watch_peers();
    control_.join();
}

// The lowest rank of a host speaks for it.
Result<void> Communicator::start_relay() {
    if (job_.meeting == nullptr || job_.meeting->links == nullptr) return {};
    for (Rank r = 0; r < rank_; r++)
        if (job_.on_one_host(r, rank_)) return {};
    auto relay = Relay::start(job_, rank_, std::move(*job_.meeting->links));
    if (!relay) return std::unexpected(relay.error());
    relay_ = std::move(*relay);
    return {};
}

// The processes of this host; what other hosts' do, they tell.
void Communicator::watch_peers() {
    peers_alive_.resize(static_cast<std::size_t>(rank_count_));
    died_before_.resize(static_cast<std::size_t>(rank_count_));
    for (Rank r = 0; r < rank_count_; r++) {
        const auto at = static_cast<std::size_t>(r);
        if (!job_.on_one_host(rank_, r) || job_.processes[at] == os::process_id()) continue;
        auto alive = os::watch_process(job_.processes[at]);
        if (alive) peers_alive_[at] = std::move(*alive);
        // It met the others, and may have died since.
        else if (alive.error().status == Status::remote_error) died_before_[at] = true;
    }
}

Communicator::~Communicator() {
    leave();
    const std::scoped_lock lock(children_mutex_);
    for (Communicator* child : children_) child->parent_ = nullptr;
    if (parent_ != nullptr) {
        const std::scoped_lock parents(parent_->children_mutex_);
        std::erase(parent_->children_, this);
    }
}

void Communicator::leave() {
    auto links = device_calls_ != nullptr ? device_calls_->leave() : nullptr;
    if (is_networked_) send_what_is_left();
    control_.leave();
    if (relay_ != nullptr) relay_->tell_now();
    if (links != nullptr) close_device(std::move(links));
}

// What other hosts still miss of this rank's last messages; those who fail or are gone miss nothing.
void Communicator::send_what_is_left() {
    const os::Deadline deadline = os::Deadline::after_ms(config_.timeout_ms);
    while (!control_.failed() && !stopped_.load(std::memory_order_relaxed) && !deadline.passed()) {
        const auto sent = transport_->finish_sending();
        if (!sent || *sent) return;
        sleep(1000);
    }
}

void Communicator::abort() {
    aborted_.store(true, std::memory_order_relaxed);
    stopped_.store(true, std::memory_order_release);
    control_.raise({Status::remote_error, fmt::format("rank {} aborted the communicator", rank_)});
    const std::scoped_lock lock(children_mutex_);
    for (Communicator* child : children_) child->abort();
}

std::optional<Error> Communicator::failure() {
    if (aborted()) return Error{Status::aborted, fmt::format("rank {}: the communicator was aborted", rank_)};
    if (over_.load(std::memory_order_acquire)) {
        const std::scoped_lock lock(over_mutex_);
        return over_error_;
    }
    if (control_.failed()) return control_.failure();
    if (const Rank dead = death(); dead != no_rank) return over(death_of(dead, current_call()));
    return std::nullopt;
}

std::string_view Communicator::transport_name(Rank peer) {
    return peer == rank_ ? "self" : transport_->connection(peer).name();
}

void Communicator::wait_for_turn(std::uint64_t ticket) const {
    for (std::uint64_t now = turn_.load(std::memory_order_acquire); now != ticket;
         now = turn_.load(std::memory_order_acquire))
        turn_.wait(now, std::memory_order_acquire);
}

namespace {

struct Membership {
    std::int64_t color, key;
};

}  // namespace

// The ranks tell each other color and key; the first of each color makes an id, and all of them meet there.
Result<std::unique_ptr<Communicator>> Communicator::split(int color, int key, const Config& config,
                                                          std::shared_ptr<OpenDevice> device) {
    const auto ranks = static_cast<std::size_t>(rank_count_);
    std::vector<Membership> everybody(ranks);
    const Membership mine{color, key};
    if (auto ok = run(
            {.collective = Collective::all_gather, .send = &mine, .receive = everybody.data(), .count = sizeof mine});
        !ok)
        return std::unexpected(ok.error());
    std::vector<Rank> members;
    for (Rank r = 0; r < rank_count_; r++)
        if (everybody[static_cast<std::size_t>(r)].color == color) members.push_back(r);
    std::ranges::sort(members, {}, [&](Rank r) { return std::pair(everybody[static_cast<std::size_t>(r)].key, r); });
    UniqueId own{};
    Error not_made;
    if (color >= 0 && members.front() == rank_) {
        auto made = create_unique_id(network_settings(config));
        if (made) own = *made;
        else not_made = made.error();
    }
    std::vector<UniqueId> ids(ranks);
    if (auto ok = run({.collective = Collective::all_gather, .send = &own, .receive = ids.data(), .count = sizeof own});
        !ok)
        return std::unexpected(ok.error());
    if (color < 0) return nullptr;
    const UniqueId& id = ids[static_cast<std::size_t>(members.front())];
    if (id == UniqueId{})
        return fail(Status::system_error,
                    fmt::format("rank {} could not serve the split communicator's meeting{}{}", members.front(),
                                not_made.message.empty() ? "" : ": ", not_made.message));
    const auto position = std::find(members.begin(), members.end(), rank_) - members.begin();
    auto made = join(id, static_cast<Rank>(position), static_cast<Rank>(members.size()), config, std::move(device),
                     &aborted_);
    if (!made) return made;
    const std::scoped_lock lock(children_mutex_);
    (*made)->parent_ = this;
    children_.push_back(made->get());
    return made;
}

}  // namespace tenon
