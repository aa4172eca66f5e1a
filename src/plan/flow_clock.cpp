// The clock of a Flow: an event for each step and tile, in the order of time.
#include <algorithm>
#include <cmath>
#include <queue>

#include "plan/flow.hpp"

namespace tenon {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

// A lane's next step may begin, or a message leaves: those are numbered behind the lanes.
struct Event {
    double time;
    std::uint32_t lane;
    friend bool operator<(const Event& a, const Event& b) {
        return a.time > b.time || (a.time == b.time && a.lane > b.lane);  // the earliest comes first
    }
};

}  // namespace

class FlowClock {
public:
    FlowClock(const Flow& flow, std::size_t most_tiles, bool empty);
    // Infinite, once it is more than `most_ns`.
    double run(double most_ns);

private:
    struct alignas(64) LaneState {
        std::uint32_t step = 0, first = 0, end = 0;  // of all
        std::uint32_t rank = 0;
        std::uint32_t tile = 0, tiles = 0;
        double of_tile = 1;  // what it moves for each of them, in tiles
        double time = 0;     // when what was before is done
        bool is_waiting = true;
        bool is_over() const { return first == end || tile == tiles; }
    };
    // Of a step's tile.
    struct Times {
        double done = never;                 // where another waits for it
        double first = never, last = never;  // when the first slot of what it receives is there, and all of it
    };
    struct Message {
        const TimedStep* sent;
        std::uint32_t tile;
        double bytes;
        double start;        // when it leaves
        double first, last;  // when its first slot and all of it would be there, but for latency
    };

    Times& at(std::uint32_t step, std::size_t tile) { return times_[step * tiles_ + tile]; }
    // When what the step receives is there; a lane of fewer tiles sends nothing after its last.
    Times& arrival(std::uint32_t step, std::uint32_t tile) {
        const LaneState& sender = lanes_[flow_.timed_[flow_.timed_[step].sender].lane];
        return at(step, std::min(tile, sender.tiles - 1));
    }
    bool moves(const TimedStep& step, double bytes) const { return bytes > 0 || step.is_token; }
    void go_on(std::uint32_t lane);
    void begin(Event event);
    bool release_one();
    double free_from(std::uint32_t rank) const;
    void add_work();
    void occupy(std::uint32_t rank, double from, double busy_ns);
    void send(const TimedStep& step, std::uint32_t rank, std::uint32_t tile, double bytes, double ready, double done);
    void arrive(const Message& message);
    void finish(std::uint32_t lane, double time);
    double& link(std::vector<double>& of, std::uint32_t rank, std::size_t level) { return of[rank * levels_ + level]; }

    const Flow& flow_;
    bool empty_;
    std::size_t levels_, tiles_ = 1;
    double cores_;
    std::vector<LaneState> lanes_;
    std::vector<Times> times_;  // by step and tile
    std::vector<double> rank_free_;
    std::vector<double> rank_work_;                        // that its core still has to do
    std::vector<std::vector<double>> core_free_;           // by host
    std::vector<double> rank_out_, rank_in_;               // by rank and level: when the link is free
    std::vector<std::vector<double>> part_out_, part_in_;  // by level and part
    std::vector<double> pairs_;                            // when what joins two ranks is free
    std::priority_queue<Event> events_;
    std::vector<Message> messages_;                        // that wait, or have waited, for their turn to leave
    double end_ = 0;
    double least_end_ = 0;  // no rank will be done before it has done all its work
};

FlowClock::FlowClock(const Flow& flow, std::size_t most_tiles, bool empty)
    : flow_(flow), empty_(empty), levels_(flow.map_.level_count()), cores_(flow.cores_of_host()) {
    const double all = std::ceil(flow.tiles_), part = std::min(1.0, static_cast<double>(most_tiles) / all);
    for (const FlowLane& lane : flow.lanes_) {
        constexpr double rounding = 1e-6;
        const double own = lane.tiles * part, whole = std::max(1.0, std::floor(own + rounding));
        const auto tiles = static_cast<std::uint32_t>(whole);
        tiles_ = std::max<std::size_t>(tiles_, tiles);
        lanes_.push_back({.step = lane.first,
                          .first = lane.first,
                          .end = lane.first + lane.count,
                          .rank = lane.rank,
                          .tiles = tiles,
                          .of_tile = part < 1 ? own / whole : 1});
    }
    const std::size_t ranks = flow.ranks_.all().size();
    times_.assign(flow.timed_.size() * tiles_, {});
    pairs_.assign(flow.pairs_, 0);
    rank_free_.assign(ranks, 0);
    rank_work_.assign(ranks, 0);
    rank_out_.assign(ranks * levels_, 0);
    rank_in_.assign(ranks * levels_, 0);
    for (std::size_t level = 0; level < levels_; level++) part_out_.emplace_back(flow.map_.part_count(level), 0.0);
    part_in_ = part_out_;
    if (cores_ > 0)
        core_free_.assign(static_cast<std::size_t>(flow.map_.rank_count()),
                          std::vector<double>(static_cast<std::size_t>(cores_), 0.0));
    add_work();
}

// As begin() counts it.
void FlowClock::add_work() {
    constexpr double rounding = 1e-9;
    for (const LaneState& lane : lanes_)
        for (std::uint32_t step = lane.first; step < lane.end; step++)
            for (std::uint32_t tile = 0; tile < lane.tiles; tile++) {
                const double real = flow_.length(flow_.timed_[step], tile) * lane.of_tile;
                if (real == 0 && !flow_.timed_[step].is_token) continue;
                rank_work_[lane.rank] += flow_.timed_[step].busy.of(empty_ ? 0 : real) * (1 - rounding);
            }
}

double FlowClock::run(double most_ns) {
    for (std::uint32_t lane = 0; lane < lanes_.size(); lane++) go_on(lane);
    do {
        while (!events_.empty()) {
            const Event next = events_.top();
            events_.pop();
            if (next.lane >= lanes_.size()) {
                arrive(messages_[next.lane - lanes_.size()]);
                continue;
            }
            if (std::max(next.time, least_end_) > most_ns) return never;
            begin(next);
        }
    } while (release_one());
    return end_;
}

// Ranks that stand for others may each wait for what the other's likes have sent: then the first to wait waits no more.
// Where all ranks are looked at, verified plans do not come to that.
bool FlowClock::release_one() {
    std::uint32_t first = TimedStep::none;
    for (std::uint32_t lane = 0; lane < lanes_.size(); lane++) {
        const LaneState& state = lanes_[lane];
        if (state.is_over()) continue;
        const TimedStep& step = flow_.timed_[state.step];
        if (step.sender == TimedStep::none || arrival(state.step, state.tile).first != never) continue;
        if (first == TimedStep::none || state.time < lanes_[first].time) first = lane;
    }
    if (first == TimedStep::none) return false;
    const LaneState& state = lanes_[first];
    Times& released = arrival(state.step, state.tile);
    released.first = released.last = std::max(end_, state.time);
    go_on(first);
    return !events_.empty();
}

// Lets the lane's next step have its turn once it is known when it may begin.
void FlowClock::go_on(std::uint32_t lane) {
    LaneState& state = lanes_[lane];
    if (!state.is_waiting || state.is_over()) return;
    const TimedStep& step = flow_.timed_[state.step];
    double ready = state.time;
    for (std::uint32_t n = 0; n < step.need_count; n++) {
        const std::uint32_t need = flow_.needs_[step.first_need + n];
        // A lane of fewer tiles is done after its last.
        const auto tile = std::min(state.tile, lanes_[flow_.timed_[need].lane].tiles - 1);
        ready = std::max(ready, at(need, tile).done);
    }
    if (step.sender != TimedStep::none && moves(step, flow_.length(step, state.tile)))
        ready = std::max(ready, arrival(state.step, state.tile).first);
    if (ready == never) return;
    state.is_waiting = false;
    events_.push({ready, lane});
}

// When the rank may do something next.
double FlowClock::free_from(std::uint32_t rank) const {
    if (cores_ == 0) return rank_free_[rank];
    return std::max(rank_free_[rank], *std::ranges::min_element(core_free_[flow_.host_of(rank)]));
}

// All that are like the rank do the same on the host's cores.
void FlowClock::occupy(std::uint32_t rank, double from, double busy_ns) {
    rank_free_[rank] = from + busy_ns;
    rank_work_[rank] -= busy_ns;
    least_end_ = std::max(least_end_, rank_free_[rank] + rank_work_[rank]);
    if (cores_ == 0) return;
    std::vector<double>& cores = core_free_[flow_.host_of(rank)];
    const double like = flow_.like_on_host(rank);
    const auto taken = std::min(cores.size(), static_cast<std::size_t>(std::max(1.0, like)));
    for (std::size_t i = 0; i < taken; i++) {
        double& core = *std::ranges::min_element(cores);
        core = std::max(core, from) + busy_ns * like / static_cast<double>(taken);
    }
}

void FlowClock::begin(Event event) {
    LaneState& state = lanes_[event.lane];
    const TimedStep& step = flow_.timed_[state.step];
    if (const double free = free_from(state.rank); free > event.time) {
        events_.push({free, event.lane});
        return;
    }
    const double real = flow_.length(step, state.tile) * state.of_tile;
    const double bytes = empty_ ? 0 : real;
    if (real == 0 && !step.is_token) {
        finish(event.lane, event.time);
        return;
    }
    const double busy = step.busy.of(bytes);
    occupy(state.rank, event.time, busy);
    double done = event.time + busy;
    // Slot by slot, so the last slot remains to be done when all has arrived.
    const double slot_part = bytes > flow_.slot_bytes_ ? flow_.slot_bytes_ / bytes : 1;
    if (step.sender != TimedStep::none) done = std::max(done, arrival(state.step, state.tile).last + busy * slot_part);
    if (step.sends) send(step, state.rank, state.tile, bytes, event.time + busy * slot_part, done);
    finish(event.lane, done);
}

// The message takes its turn on each link that it crosses; what is in the way of one delays it, not the others.
void FlowClock::send(const TimedStep& step, std::uint32_t rank, std::uint32_t tile, double bytes, double ready,
                     double done) {
    const std::size_t level = step.level_out;
    const FlowLink& path = flow_.links_[level];
    const FlowPlace& sender = flow_.place(rank, level);
    double& own = link(rank_out_, rank, level);
    double& shared = part_out_[level][sender.part];
    const bool is_pair_limited = step.pair != TimedStep::none;
    const double pair = is_pair_limited ? pairs_[step.pair] : 0;
    const double start = std::max({ready, own, pair, path.part_ns_per_byte > 0 ? shared : 0});
    const double pair_done = start + bytes * path.pair_ns_per_byte;
    if (is_pair_limited) pairs_[step.pair] = pair_done;
    own = start + bytes * path.rank_ns_per_byte;
    shared = start + bytes * sender.like * path.part_ns_per_byte;
    const double slot = std::min(bytes, flow_.slot_bytes_);
    const double first = start + slot * std::max({path.pair_ns_per_byte, path.rank_ns_per_byte, path.part_ns_per_byte});
    const double last = std::max({own, shared, pair_done, done});
    const Message message{&step, tile, bytes, start, first, last};
    if (start <= ready) {
        arrive(message);
    } else if (step.first_receiver != TimedStep::none) {
        events_.push({start, static_cast<std::uint32_t>(lanes_.size() + messages_.size())});
        messages_.push_back(message);
    }
}

// Takes its turn on the links of those that receive it when it leaves: one that was sent before, but waits for its own
// turn, is not in its way.
void FlowClock::arrive(const Message& message) {
    const auto& [sent, tile, bytes, start, first, last] = message;
    const std::size_t level = sent->level_out;
    const FlowLink& path = flow_.links_[level];
    for (std::uint32_t r = sent->first_receiver; r != TimedStep::none; r = flow_.next_receiver_[r]) {
        const TimedStep& taken = flow_.timed_[r];
        const std::uint32_t receiving = lanes_[taken.lane].rank;
        const FlowPlace& receiver = flow_.place(receiving, level);
        double& own_in = link(rank_in_, receiving, level);
        double& shared_in = part_in_[level][receiver.part];
        const double delay = std::max({0.0, own_in - start, shared_in - start});
        const double rank_bytes_ns = bytes * path.rank_ns_per_byte;
        const double part_bytes_ns = bytes * receiver.like * path.part_ns_per_byte;
        own_in = std::max(own_in, start) + rank_bytes_ns;
        shared_in = std::max(shared_in, start) + part_bytes_ns;
        Times& arrived = at(r, tile);
        arrived.first = first + delay + taken.latency_ns;
        arrived.last = std::max({last, own_in, shared_in}) + taken.latency_ns;
        go_on(taken.lane);
    }
}

void FlowClock::finish(std::uint32_t lane, double time) {
    LaneState& state = lanes_[lane];
    const std::uint32_t step = state.step;
    const std::uint32_t first_dependent = flow_.timed_[step].first_dependent;
    if (first_dependent != TimedStep::none) at(step, state.tile).done = time;
    end_ = std::max(end_, time);
    state.time = time;
    if (++state.step == state.end) {
        state.step = state.first;
        state.tile++;
    }
    state.is_waiting = true;
    go_on(lane);
    for (std::uint32_t d = first_dependent; d != TimedStep::none; d = flow_.dependents_[d].next)
        go_on(flow_.dependents_[d].lane);
}

double Flow::time_ns(std::size_t most_tiles, double most_ns) const {
    return FlowClock(*this, most_tiles, false).run(most_ns);
}

double Flow::empty_time_ns() const { return FlowClock(*this, 1, true).run(never); }

}  // namespace tenon
