#include "transports/ucx/ucx_network.hpp"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "os/process.hpp"

namespace tenon::ucx {
namespace {

// How often one progress() calls UCX's, while that moves something.
constexpr int most_rounds = 16;
constexpr std::uint64_t check_every_ns = 5'000'000;
constexpr std::uint64_t closing_patience_ms = 2000;

std::uint32_t own_release() {
    unsigned major = 0, minor = 0, patch = 0;
    ucp_get_version(&major, &minor, &patch);
    return major << 16 | minor;
}

}  // namespace

Result<std::unique_ptr<Network>> UcxNetwork::make(NetworkFacts facts) {
    std::unique_ptr<UcxNetwork> made(new UcxNetwork(std::move(facts)));
    if (auto ok = made->open(); !ok) return std::unexpected(ok.error());
    return made;
}

Result<void> UcxNetwork::open() {
    auto worker = UcxWorker::make(
        [](void* self, const void* head, std::size_t head_length, void* data, std::size_t length,
           const ucp_am_recv_param_t* how) {
            return static_cast<UcxNetwork*>(self)->arrived(head, head_length, data, length,
                                                           (how->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0);
        },
        this, settings_of(facts_, "/sys/class/infiniband"), facts_.ucx.puts);
    if (!worker) return std::unexpected(worker.error());
    worker_ = std::move(*worker);
    if (worker_->has_puts())
        registrations_ = std::make_unique<Registrations>(
            [context = worker_->context()](std::span<std::byte> range) { return map_memory(context, range); },
            facts_.known_memory, Registrations::Bounds{.bytes = facts_.registered_cap_bytes});
    if (worker_->address().size() + sizeof(Introduction) > Introductions::most_bytes)
        return fail(Status::system_error,
                    fmt::format("rank {}: UCX's address of it has {} bytes, more than the {} that can be told; name "
                                "fewer transports or devices in UCX_TLS or UCX_NET_DEVICES",
                                facts_.rank, worker_->address().size(), Introductions::most_bytes));
    return {};
}

UcxNetwork::UcxNetwork(NetworkFacts facts)
    : facts_(std::move(facts)),
      memory_(facts_.rank, facts_.shape_of, facts_.slots),
      connections_(static_cast<std::size_t>(facts_.rank_count)),
      introduced_(static_cast<std::size_t>(facts_.rank_count)),
      check_(check_every_ns) {}

UcxNetwork::~UcxNetwork() { close(); }

// As long as UCX lives, a message may still be on its way into the call's memory, or out of it.
void UcxNetwork::withdraw() { close(); }

void UcxNetwork::close() {
    if (worker_ == nullptr) return;
    const os::Deadline deadline = os::Deadline::after_ms(closing_patience_ms);
    for (;;) {
        bool all_closed = true;
        for (UcxConnection* c : active_) all_closed &= c->close();
        if (all_closed || deadline.passed()) break;
        worker_->progress();
    }
    for (UcxConnection* c : active_) c->forget_keys();
    worker_.reset();
}

// ---- peers --------------------------------------------------------------------------------------------------------

Connection& UcxNetwork::connection(Rank peer) {
    TENON_ASSERT(peer >= 0 && peer < facts_.rank_count && peer != facts_.rank, "no such peer");
    const std::scoped_lock lock(connecting_);
    auto& made = connections_[static_cast<std::size_t>(peer)];
    if (made == nullptr)
        made = std::make_unique<UcxConnection>(
            Ends{.own = facts_.rank, .peer = peer, .peer_host = facts_.hosts[static_cast<std::size_t>(peer)]},
            worker_ != nullptr ? worker_->handle() : nullptr,
            Puts{.choice = registrations_ != nullptr ? facts_.ucx.puts : UcxPuts::never,
                 .registrations = registrations_.get()},
            memory_, facts_.peer_bytes,
            [this, peer] { introduce(peer); });
    return *made;
}

// By the rank's own thread, when it first asks for an end.
void UcxNetwork::introduce(Rank peer) {
    UcxConnection* connection = nullptr;
    {
        const std::scoped_lock lock(connecting_);
        connection = connections_[static_cast<std::size_t>(peer)].get();
    }
    Introduction own{.release = own_release()};
    auto told = os::fill_random(std::as_writable_bytes(std::span{&own.token, 1}));
    if (told) {
        connection->expect(own.token);
        introduced_[static_cast<std::size_t>(peer)] = connection;
        active_.push_back(connection);
        unanswered_++;
        untold_++;
        unready_++;
        told = facts_.introductions->introduce(peer, to_bytes(own, worker_->address()));
    }
    if (!told && !introduction_error_) introduction_error_ = told.error();
}

Result<void> UcxNetwork::take_answers() {
    while (unanswered_ != 0) {
        const auto answer = facts_.introductions->next_answer();
        if (!answer) return std::unexpected(answer.error());
        if (!*answer) return {};
        unanswered_--;
        UcxConnection* const connection = introduced_[static_cast<std::size_t>((*answer)->peer)];
        const auto read = read_introduction((*answer)->bytes);
        if (!read)
            return fail(Status::remote_error,
                        fmt::format("rank {}: rank {} on {} introduces itself in a way that this version of the ucx "
                                    "network does not know; run the same version on every host",
                                    facts_.rank, (*answer)->peer, connection->ends().peer_host));
        if (auto ok = connection->open(*read); !ok) return ok;
    }
    return {};
}

// Both sides tell each other when they reach the other.
Result<void> UcxNetwork::tell_who_is_reached() {
    for (UcxConnection* const c : active_) {
        if (!c->reaches_peer()) continue;
        untold_--;
        if (auto ok = facts_.introductions->say_ready(c->ends().peer); !ok) return ok;
    }
    while (unready_ != 0) {
        const auto ready = facts_.introductions->next_ready();
        if (!ready) return std::unexpected(ready.error());
        if (!*ready) return {};
        unready_--;
        introduced_[static_cast<std::size_t>(**ready)]->peer_is_ready();
    }
    return {};
}

ucs_status_t UcxNetwork::arrived(const void* bytes, std::size_t head_length, void* data, std::size_t length,
                                 bool is_rendezvous) noexcept {
    MessageHead head;
    if (head_length == sizeof head) {
        std::memcpy(&head, bytes, sizeof head);
        if (head.version == wire_version && head.from >= 0 && head.from < facts_.rank_count) {
            UcxConnection* const from = introduced_[static_cast<std::size_t>(head.from)];
            if (from != nullptr && head.token == from->ends().token)
                return from->arrived(head, data, length, is_rendezvous);
        }
    }
    if (std::exchange(has_told_of_stranger_, true)) return UCS_OK;
    try {
        log(LogLevel::warning, "rank {}: somebody who does not belong to the job has sent it a message over UCX, which "
                               "is dropped, as further ones will be", facts_.rank);
    } catch (...) {  // no memory to say so
    }
    return UCS_OK;
}

// ---- moving -------------------------------------------------------------------------------------------------------

Result<bool> UcxNetwork::progress() {
    if (worker_ == nullptr) return true;
    if (introduction_error_) return std::unexpected(*introduction_error_);
    if (unanswered_ != 0)
        if (auto ok = take_answers(); !ok) return std::unexpected(ok.error());
    if (untold_ != 0 || unready_ != 0)
        if (auto ok = tell_who_is_reached(); !ok) return std::unexpected(ok.error());
    for (int round = 0; round < most_rounds && worker_->progress(); round++) {
    }
    if (!active_.empty() && check_.is_due())
        if (auto ok = facts_.introductions->check(); !ok) return std::unexpected(ok.error());
    return ask_all(active_, [](auto* c) { return c->progress(); });
}

int UcxNetwork::wait_descriptor() const {
    check_.slept();
    return worker_ != nullptr ? worker_->wait_descriptor() : -1;
}

Result<bool> UcxNetwork::finish_sending() {
    if (worker_ == nullptr) return true;
    const auto moved = progress();
    if (moved && !*moved) return false;
    // Also where one peer is lost: the others must have their goodbye.
    const auto finished = ask_all(active_, [](auto* c) { return c->finish_sending(); });
    if (!finished || *finished) facts_.introductions->farewell();
    return moved ? finished : moved;
}

}  // namespace tenon::ucx
