#include "communicator/batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>

#include "base/exception.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t fused_bytes = 16 << 10;  // of one fused all-reduce

std::uint64_t bytes_of(const Call& c) { return c.count * element_bytes(c.type); }

// What runs as one: a collective, several fused into one, or all sends and receives of the group.
struct Item {
    std::deque<StoredCall> calls;
    bool point_to_point = false;
    std::vector<std::byte> fused_in, fused_out;  // where more than one collective is in `calls`
};

}  // namespace

class Batch::Sequence {
public:
    explicit Sequence(Communicator& communicator) : communicator_(communicator), backoff_(communicator.wait_policy()) {}
    ~Sequence() {
        if (!has_turn_) return;
        wait_for_turn();
        end_turn();
    }
    Sequence(const Sequence&) = delete;
    Sequence& operator=(const Sequence&) = delete;

    Communicator& communicator() { return communicator_; }

    void add(const Call& call) {
        if (is_point_to_point(call.collective)) {
            if (!point_to_point_)
                point_to_point_ = items_.size(),
                items_.push_back({.calls = {}, .point_to_point = true, .fused_in = {}, .fused_out = {}});
            items_[*point_to_point_].calls.emplace_back(call, communicator_.rank_count());
            return;
        }
        if (!fuses(call)) items_.push_back({});
        items_.back().calls.emplace_back(call, communicator_.rank_count());
    }

    void take_ticket() {
        ticket_ = communicator_.take_ticket();
        has_turn_ = true;
    }
    void wait_for_turn() { communicator_.wait_for_turn(ticket_); }
    void end_turn() {
        has_turn_ = false;
        communicator_.end_turn();
    }

    bool done() const { return next_ == items_.size() || error_.has_value(); }
    bool moved() const { return started_ && communicator_.moved(); }
    void keep_awake() { backoff_.reset(); }
    const std::optional<Error>& error() const { return error_; }

    // Does what can be done now. What is thrown ends the communicator: the other ranks wait for this one.
    void step() {
        try {
            advance();
        } catch (const std::exception&) {
            error_ = communicator_.give_up(error_of_current_exception());
        }
    }

private:
    void advance() {
        if (!started_) {
            if (auto ok = start(); !ok) {
                error_ = ok.error();
                return;
            }
            started_ = true;
            backoff_.reset();
        }
        switch (communicator_.poll(backoff_)) {
            case Progress::blocked: return;
            case Progress::failed: error_ = communicator_.poll_error(); return;
            case Progress::done: break;
        }
        finish();
        started_ = false;
        next_++;
    }

    bool fuses(const Call& call) const {
        if (items_.empty() || items_.back().point_to_point || call.collective != Collective::all_reduce ||
            call.factor != nullptr)
            return false;
        std::uint64_t bytes = bytes_of(call);
        for (const StoredCall& stored : items_.back().calls) {
            const Call c = stored.call();
            if (c.collective != call.collective || c.type != call.type || c.op != call.op || c.factor != nullptr)
                return false;
            bytes += bytes_of(c);
        }
        return bytes <= fused_bytes;
    }

    Result<void> start() {
        Item& item = items_[next_];
        if (item.point_to_point) return start_point_to_point(item);
        if (item.calls.size() == 1) return communicator_.start(item.calls.front().call());
        Call whole = item.calls.front().call();
        whole.count = 0;
        for (const StoredCall& c : item.calls) {
            const Call part = c.call();
            const auto* from = static_cast<const std::byte*>(part.send);
            item.fused_in.insert(item.fused_in.end(), from, from + bytes_of(part));
            whole.count += part.count;
        }
        item.fused_out.resize(item.fused_in.size());
        whole.send = item.fused_in.data();
        whole.receive = item.fused_out.data();
        return communicator_.start(whole);
    }

    void finish() {
        Item& item = items_[next_];
        if (item.point_to_point || item.calls.size() == 1) return;
        const std::byte* from = item.fused_out.data();
        for (const StoredCall& c : item.calls) {
            const Call part = c.call();
            if (part.count == 0) continue;
            std::memcpy(part.receive, from, bytes_of(part));
            from += bytes_of(part);
        }
    }

    Result<void> start_point_to_point(const Item& item) {
        std::vector<PointToPoint> all;
        std::vector<std::uint64_t> to_self, from_self;
        for (const StoredCall& stored : item.calls) {
            const Call c = stored.call();
            const bool sends = c.collective == Collective::send;
            const void* buffer = sends ? c.send : c.receive;
            all.push_back({sends, c.root, bytes_of(c), reinterpret_cast<std::uintptr_t>(buffer), c.type});
            if (c.root == communicator_.rank()) (sends ? to_self : from_self).push_back(bytes_of(c));
        }
        if (to_self != from_self)
            return fail(
                Status::invalid_usage,
                fmt::format(
                    "rank {}: the group's sends to this rank itself and its receives do not match: {} sends, {} "
                    "receives, in order of equal sizes",
                    communicator_.rank(), to_self.size(), from_self.size()));
        return communicator_.start(all);
    }

    Communicator& communicator_;
    Backoff backoff_;
    std::vector<Item> items_;
    std::optional<std::size_t> point_to_point_;
    std::size_t next_ = 0;
    bool started_ = false;
    std::uint64_t ticket_ = 0;
    bool has_turn_ = false;
    std::optional<Error> error_;
};

Batch::Batch() = default;
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;

void Batch::add(Communicator& communicator, const Call& call) {
    const auto known = std::find_if(sequences_.begin(), sequences_.end(),
                                    [&](const auto& s) { return &s->communicator() == &communicator; });
    if (known != sequences_.end()) {
        (*known)->add(call);
        return;
    }
    sequences_.push_back(std::make_unique<Sequence>(communicator));
    sequences_.back()->add(call);
}

void Batch::take_tickets() {
    for (auto& s : sequences_) s->take_ticket();
}

Result<void> Batch::run(const std::function<void(Communicator&, const Error&)>& failed) {
    for (auto& s : sequences_) s->wait_for_turn();
    for (bool left = true; left;) {
        left = false;
        bool moved = false;
        for (auto& s : sequences_) {
            if (s->done()) continue;
            s->step();
            moved = moved || s->moved();
            if (!s->done()) {
                left = true;
                continue;
            }
            if (s->error()) failed(s->communicator(), *s->error());
            s->end_turn();
        }
        // One that waits for another served by this same thread is not idle while that one moves.
        if (moved)
            for (auto& s : sequences_) s->keep_awake();
    }
    for (const auto& s : sequences_)
        if (s->error()) return std::unexpected(*s->error());
    return {};
}

}  // namespace tenon
