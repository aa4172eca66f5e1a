// The clock of a Flow: an event for each step and tile, in the order of time.
#include <algorithm>
#include <cmath>
#include <queue>
#include <unordered_map>

#include "plan/flow.hpp"

namespace tenon {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

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
    struct LaneState {
        std::uint32_t step = 0;  // of all
        std::uint32_t tile = 0, tiles = 0;
        double of_tile = 1;  // what it moves for each of them, in tiles
        double time = 0;  // when what was before is done
        bool is_waiting = true;
    };
    struct Arrival {
        double first = never, last = never;  // of the message's first slot, and of all of it
    };

    std::size_t at(std::uint32_t step, std::size_t tile) const { return step * tiles_ + tile; }
    // What the step receives; a lane of fewer tiles sends nothing after its last.
    Arrival& arrival(std::uint32_t step, std::uint32_t tile) {
        const FlowStep& sender = flow_.steps_[flow_.steps_[step].sender];
        return arrived_[at(step, std::min(tile, lanes_[sender.lane].tiles - 1))];
    }
    bool moves(const FlowStep& step, double bytes) const { return bytes > 0 || step.is_token; }
    void go_on(std::uint32_t lane);
    void begin(Event event);
    bool release_one();
    double free_from(std::uint32_t rank) const;
    void occupy(std::uint32_t rank, double from, double busy_ns);
    void send(const FlowStep& step, std::uint32_t tile, double bytes, double ready, double done);
    void finish(std::uint32_t lane, double time);
    double& link(std::vector<double>& of, const FlowStep& step, std::size_t level) {
        return of[step.rank * levels_ + level];
    }

    const Flow& flow_;
    bool empty_;
    std::size_t levels_, tiles_ = 1;
    double cores_;
    std::vector<LaneState> lanes_;
    std::vector<double> done_;      // by step and tile
    std::vector<Arrival> arrived_;  // the same
    std::vector<double> rank_free_;
    std::vector<std::vector<double>> core_free_;           // by host
    std::vector<double> rank_out_, rank_in_;               // by rank and level: when the link is free
    std::vector<std::vector<double>> part_out_, part_in_;  // by level and part
    std::unordered_map<std::uint64_t, double> pair_;       // where one rank may not send all to one other
    std::priority_queue<Event> events_;
    double end_ = 0;
};

FlowClock::FlowClock(const Flow& flow, std::size_t most_tiles, bool empty)
    : flow_(flow), empty_(empty), levels_(flow.map_.level_count()), cores_(flow.cores_of_host()) {
    const double all = std::ceil(flow.tiles_), part = std::min(1.0, static_cast<double>(most_tiles) / all);
    for (const FlowLane& lane : flow.lanes_) {
        constexpr double rounding = 1e-6;
        const double own = lane.tiles * part, whole = std::max(1.0, std::floor(own + rounding));
        const auto tiles = static_cast<std::uint32_t>(whole);
        tiles_ = std::max<std::size_t>(tiles_, tiles);
        lanes_.push_back({.step = lane.first, .tiles = tiles, .of_tile = part < 1 ? own / whole : 1});
    }
    const std::size_t ranks = flow.ranks_.all().size();
    done_.assign(flow.steps_.size() * tiles_, never);
    arrived_.assign(flow.steps_.size() * tiles_, {});
    rank_free_.assign(ranks, 0);
    rank_out_.assign(ranks * levels_, 0);
    rank_in_.assign(ranks * levels_, 0);
    for (std::size_t level = 0; level < levels_; level++) part_out_.emplace_back(flow.map_.part_count(level), 0.0);
    part_in_ = part_out_;
    if (cores_ > 0)
        core_free_.assign(static_cast<std::size_t>(flow.map_.rank_count()),
                          std::vector<double>(static_cast<std::size_t>(cores_), 0.0));
}

double FlowClock::run(double most_ns) {
    for (std::uint32_t lane = 0; lane < lanes_.size(); lane++) go_on(lane);
    do {
        while (!events_.empty()) {
            const Event next = events_.top();
            if (next.time > most_ns) return never;
            events_.pop();
            begin(next);
        }
    } while (release_one());
    return end_;
}

// Ranks that stand for others may each wait for what the other's likes have sent: then the first to wait waits no more.
// Where all ranks are looked at, verified plans do not come to that.
bool FlowClock::release_one() {
    std::uint32_t first = FlowStep::none;
    for (std::uint32_t lane = 0; lane < lanes_.size(); lane++) {
        const LaneState& state = lanes_[lane];
        if (flow_.lanes_[lane].count == 0 || state.tile == state.tiles) continue;
        const FlowStep& step = flow_.steps_[state.step];
        if (step.sender == FlowStep::none || arrival(state.step, state.tile).first != never) continue;
        if (first == FlowStep::none || state.time < lanes_[first].time) first = lane;
    }
    if (first == FlowStep::none) return false;
    const LaneState& state = lanes_[first];
    const double now = std::max(end_, state.time);
    arrival(state.step, state.tile) = {now, now};
    go_on(first);
    return !events_.empty();
}

// Lets the lane's next step have its turn once it is known when it may begin.
void FlowClock::go_on(std::uint32_t lane) {
    LaneState& state = lanes_[lane];
    const FlowLane& of = flow_.lanes_[lane];
    if (!state.is_waiting || of.count == 0 || state.tile == state.tiles) return;
    const FlowStep& step = flow_.steps_[state.step];
    double ready = state.time;
    for (std::uint32_t n = 0; n < step.need_count; n++) {
        const std::uint32_t need = flow_.needs_[step.first_need + n];
        // A lane of fewer tiles is done after its last.
        const auto tile = std::min(state.tile, lanes_[flow_.steps_[need].lane].tiles - 1);
        ready = std::max(ready, done_[at(need, tile)]);
    }
    if (step.sender != FlowStep::none && moves(step, flow_.length(step, state.tile)))
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
    const FlowStep& step = flow_.steps_[state.step];
    if (const double free = free_from(step.rank); free > event.time) {
        events_.push({free, event.lane});
        return;
    }
    const double real = flow_.length(step, state.tile) * state.of_tile;
    const double bytes = empty_ ? 0 : real;
    if (real == 0 && !step.is_token) {
        finish(event.lane, event.time);
        return;
    }
    const double busy = busy_ns(step, bytes, flow_.links_, flow_.parameters_);
    occupy(step.rank, event.time, busy);
    double done = event.time + busy;
    // Slot by slot, so the last slot remains to be done when all has arrived.
    const double slot_part = bytes > flow_.slot_bytes_ ? flow_.slot_bytes_ / bytes : 1;
    if (step.sender != FlowStep::none) done = std::max(done, arrival(state.step, state.tile).last + busy * slot_part);
    if (sends(step.kind)) send(step, state.tile, bytes, event.time + busy * slot_part, done);
    finish(event.lane, done);
}

// The message takes its turn on each link that it crosses; what is in the way of one delays it, not the others.
void FlowClock::send(const FlowStep& step, std::uint32_t tile, double bytes, double ready, double done) {
    const std::size_t level = step.level_out;
    const FlowLink& path = flow_.links_[level];
    const Representative& sender = flow_.ranks_.all()[step.rank];
    double& own = link(rank_out_, step, level);
    double& shared = part_out_[level][flow_.map_.part_of(level, sender.rank)];
    const bool is_pair_limited = path.pair_ns_per_byte > 0 && step.to >= 0;
    const double pair = is_pair_limited ? pair_[pair_key(step)] : 0;
    const double start = std::max({ready, own, pair, path.part_ns_per_byte > 0 ? shared : 0});
    const double pair_done = start + bytes * path.pair_ns_per_byte;
    if (is_pair_limited) pair_[pair_key(step)] = pair_done;
    own = start + bytes * path.rank_ns_per_byte;
    shared = start + bytes * sender.like_in_part[level] * path.part_ns_per_byte;
    const double slot = std::min(bytes, flow_.slot_bytes_);
    const double first = start + slot * std::max({path.pair_ns_per_byte, path.rank_ns_per_byte, path.part_ns_per_byte});
    const double last = std::max({own, shared, pair_done, done});
    for (std::uint32_t r = step.first_receiver; r != FlowStep::none; r = flow_.steps_[r].next_receiver) {
        const FlowStep& taken = flow_.steps_[r];
        const Representative& receiver = flow_.ranks_.all()[taken.rank];
        double& own_in = link(rank_in_, taken, level);
        double& shared_in = part_in_[level][flow_.map_.part_of(level, receiver.rank)];
        const double delay = std::max({0.0, own_in - start, shared_in - start});
        const double rank_bytes_ns = bytes * path.rank_ns_per_byte;
        const double part_bytes_ns = bytes * receiver.like_in_part[level] * path.part_ns_per_byte;
        own_in = std::max(own_in, start) + rank_bytes_ns;
        shared_in = std::max(shared_in, start) + part_bytes_ns;
        arrived_[at(r, tile)] = {first + delay + taken.latency_ns,
                                 std::max({last, own_in, shared_in}) + taken.latency_ns};
        go_on(taken.lane);
    }
}

void FlowClock::finish(std::uint32_t lane, double time) {
    LaneState& state = lanes_[lane];
    const FlowLane& of = flow_.lanes_[lane];
    const std::uint32_t step = state.step;
    done_[at(step, state.tile)] = time;
    end_ = std::max(end_, time);
    state.time = time;
    if (++state.step == of.first + of.count) {
        state.step = of.first;
        state.tile++;
    }
    state.is_waiting = true;
    go_on(lane);
    for (std::uint32_t d = flow_.steps_[step].first_dependent; d != FlowStep::none; d = flow_.dependents_[d].next)
        go_on(flow_.dependents_[d].lane);
}

double Flow::time_ns(std::size_t most_tiles, double most_ns) const {
    return FlowClock(*this, most_tiles, false).run(most_ns);
}

double Flow::empty_time_ns() const { return FlowClock(*this, 1, true).run(never); }

}  // namespace tenon
