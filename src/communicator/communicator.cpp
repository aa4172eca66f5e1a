// How a communicator is made, split and ended. See run.cpp for calls and watch.cpp for what ends a wait.
#include "communicator/communicator.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.hpp"
#include "communicator/surroundings.hpp"
#include "os/clock.hpp"
#include "os/peer_memory.hpp"
#include "os/shared_arena.hpp"
#include "topology/flat.hpp"

namespace tenon {
namespace {

constexpr Rank most_ranks = 1 << 16;

Result<Selection> selection_of(const Config& config) {
    auto known = known_algorithms(config);
    if (!known) return std::unexpected(known.error());
    return Selection::make(*known, config.algorithms);
}

Result<void> check_size(Rank rank_count) {
    if (rank_count >= 1 && rank_count <= most_ranks) return {};
    return fail(Status::invalid_argument,
                fmt::format("a communicator has 1 to {} ranks, not {}", most_ranks, rank_count));
}

}  // namespace

Result<void> Communicator::check_place(Rank rank, Rank rank_count) {
    if (auto ok = check_size(rank_count); !ok) return ok;
    if (rank < 0 || rank >= rank_count)
        return fail(Status::invalid_argument, fmt::format("rank {} is not in [0, {})", rank, rank_count));
    return {};
}

Result<std::unique_ptr<Communicator>> Communicator::join(const UniqueId& id, Rank rank, Rank rank_count,
                                                         const Config& config, const std::atomic<bool>* aborted) {
    if (auto ok = check_place(rank, rank_count); !ok) return std::unexpected(ok.error());
    auto selection = selection_of(config);
    if (!selection) return std::unexpected(selection.error());
    const std::uint64_t control = JobControl::bytes(rank_count);
    const Agreement agreement{.rank_count = rank_count,
                              .segment = {segment_bytes(rank_count, config.slot_memory.value, control)},
                              .build = TENON_BUILD_ID,
                              .configuration = agreed_settings(config)};
    auto arena = os::SharedArena::of_this_process();
    os::Deadline deadline = os::Deadline::after_ms(config.init_timeout_ms);
    if (aborted != nullptr) deadline = deadline.or_abort(*aborted);
    auto meeting = meet(id, rank, agreement, arena ? &(*arena)->file() : nullptr, deadline);
    if (!meeting) return std::unexpected(meeting.error());
    Job job{.meeting = *meeting,
            .segment = std::shared_ptr<const os::Mapping>(*meeting, &(*meeting)->memory),
            .one_process = true};
    for (const Introduction& i : (*meeting)->ranks) {
        job.cores.push_back(i.cores);
        job.processes.push_back(i.process);
        job.one_process = job.one_process && i.process_token == os::process_token();
    }
    if (config.transport == TransportChoice::inproc && !job.one_process)
        return fail(
            Status::invalid_usage,
            fmt::format("rank {}: TENON_TRANSPORT=inproc joins threads of one process, but the ranks are in several",
                        rank));
    std::unique_ptr<Communicator> made(
        new Communicator(std::move(job), rank, rank_count, config, std::move(*selection)));
    return made;
}

Result<std::vector<std::unique_ptr<Communicator>>> Communicator::make_local(Rank rank_count, const Config& config) {
    if (auto ok = check_size(rank_count); !ok) return std::unexpected(ok.error());
    auto cores = os::cores_of_this_thread();
    if (!cores) return std::unexpected(cores.error());
    const std::uint64_t control = JobControl::bytes(rank_count);
    auto segment = os::Mapping::anonymous({segment_bytes(rank_count, config.slot_memory.value, control)});
    if (!segment) return std::unexpected(segment.error());
    const auto ranks = static_cast<std::size_t>(rank_count);
    const Job job{.segment = std::make_shared<os::Mapping>(std::move(*segment)),
                  .cores = std::vector(ranks, *cores),
                  .processes = std::vector(ranks, os::process_id()),
                  .one_process = true};
    std::vector<std::unique_ptr<Communicator>> made;
    for (Rank r = 0; r < rank_count; r++) {
        auto selection = selection_of(config);
        if (!selection) return std::unexpected(selection.error());
        made.emplace_back(new Communicator(job, r, rank_count, config, std::move(*selection)));
    }
    return made;
}

Communicator::Communicator(Job job, Rank rank, Rank rank_count, const Config& config, Selection selection)
    : job_(std::move(job)),
      rank_(rank),
      rank_count_(rank_count),
      config_(config),
      control_(job_.segment->data(), rank, rank_count),
      selection_(std::move(selection)) {
    if (config.transport == TransportChoice::shm) job_.one_process = false;
    HostShare share{.segment = job_.segment->data(), .control_bytes = JobControl::bytes(rank_count), .rank = rank,
                    .rank_count = rank_count, .slot_memory_bytes = config.slot_memory.value};
    peers_alive_.resize(static_cast<std::size_t>(rank_count));
    died_before_.resize(static_cast<std::size_t>(rank_count));
    for (Rank r = 0; r < rank_count; r++) {
        const auto at = static_cast<std::size_t>(r);
        PeerFacts facts{.process = job_.processes[at], .same_process = true};
        if (job_.meeting != nullptr) {
            const Introduction& peer = job_.meeting->ranks[at];
            facts.same_process = peer.process_token == os::process_token();
            if (!facts.same_process && peer.arena >= 0)
                if (auto own = job_.meeting->arenas[static_cast<std::size_t>(peer.arena)].duplicate())
                    facts.arena = std::move(*own);
        }
        if (facts.same_process && config.transport == TransportChoice::shm) {
            facts.same_process = false;  // as if it were another process
            if (auto own = os::SharedArena::of_this_process())
                if (auto arena = (*own)->file().duplicate()) facts.arena = std::move(*arena);
        }
        facts.kernel_copies = !facts.same_process && os::peer_memory_is_readable();
        if (facts.process != os::process_id()) {
            auto alive = os::watch_process(facts.process);
            if (alive) peers_alive_[at] = std::move(*alive);
            // It met the others, and may have died since.
            else if (alive.error().status == Status::remote_error) died_before_[at] = true;
        }
        share.peers.push_back(std::move(facts));
    }
    transport_ = make_transport(std::move(share));
    topology_ = flat_topology(job_.cores, job_.one_process, transport_->slot_bytes());
    decisions_ = decide(config_, topology_);
    execution_.heed(control_.failure_flag());
    control_.join();
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

void Communicator::leave() { control_.leave(); }

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
    if (auto dead = death()) return over(*dead);
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
Result<std::unique_ptr<Communicator>> Communicator::split(int color, int key, const Config& config) {
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
        auto made = create_unique_id();
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
    auto made = join(id, static_cast<Rank>(position), static_cast<Rank>(members.size()), config, &aborted_);
    if (!made) return made;
    const std::scoped_lock lock(children_mutex_);
    (*made)->parent_ = this;
    children_.push_back(made->get());
    return made;
}

}  // namespace tenon
