#include "plan/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace tenon {
namespace {

// Every blocked lane waits for a lane that is blocked too, so following them from any ends in a circle.
template <class StepOf, class BlockerOf>
std::string circle(const World& world, LaneId lane, StepOf step_of, BlockerOf blocker_of) {
    std::vector<LaneId> lanes;
    while (std::ranges::find(lanes, lane) == lanes.end()) {
        lanes.push_back(lane);
        lane = blocker_of(lane);
    }
    lanes.erase(lanes.begin(), std::ranges::find(lanes, lane));
    constexpr std::size_t shown = 6;
    std::string words;
    for (std::size_t i = 0; i < std::min(lanes.size(), shown); i++)
        words += fmt::format("{} waits for {}; ", world.name(step_of(lanes[i])),
                             world.name(step_of(lanes[(i + 1) % lanes.size()])));
    return words + fmt::format("{} lane(s) wait in a circle", lanes.size());
}

// Runs the lanes with bounded channels.
class Scheduler {
public:
    Scheduler(const World& world, std::uint32_t depth, std::span<const std::uint64_t> messages)
        : world_(world),
          depth_(depth),
          messages_(messages),
          lanes_(world.lane_count()),
          channels_(world.channels().size()) {}

    Result<std::vector<StepId>> run() {
        order_.reserve(world_.step_count());
        std::vector<LaneId> runnable;
        for (LaneId lane = world_.lane_count(); lane-- > 0;) {
            lanes_[lane].at = world_.first_step(lane);
            runnable.push_back(lane);
        }
        while (!runnable.empty()) {
            const LaneId lane = runnable.back();
            runnable.pop_back();
            const std::size_t done = order_.size();
            const LaneId blocker = run_lane(lane);
            if (blocker != none) lanes_[blocker].waiting.push_back(lane);
            if (order_.size() == done) continue;
            // Whoever waits for this lane looks again once it stops, not at each of its steps.
            runnable.insert(runnable.end(), lanes_[lane].waiting.begin(), lanes_[lane].waiting.end());
            lanes_[lane].waiting.clear();
        }
        for (LaneId lane = 0; lane < world_.lane_count(); lane++)
            if (!ended(lane))
                return fail(Status::invalid_argument,
                            fmt::format("deadlock with {} message(s) per channel: {}", depth_,
                                        circle(
                                            world_, lane, [&](LaneId l) { return lanes_[l].at; },
                                            [&](LaneId l) { return blocker_of(lanes_[l].at); })));
        return std::move(order_);
    }

private:
    struct LaneState {
        StepId at = 0;
        std::uint64_t times = 0;  // that it has occurred
        std::vector<LaneId> waiting;
    };
    struct ChannelState {
        std::uint64_t sent = 0, taken = 0;
    };

    bool ended(LaneId lane) const { return lanes_[lane].at == world_.end_step(lane); }

    // Runs until the lane ends or must wait; says for whom.
    LaneId run_lane(LaneId lane) {
        LaneState& state = lanes_[lane];
        while (!ended(lane)) {
            if (const LaneId blocker = blocker_of(state.at); blocker != none) return blocker;
            execute(state.at);
            if (!messages_.empty() && ++state.times < messages_[state.at]) continue;
            state.times = 0;
            state.at++;
        }
        return none;
    }

    LaneId blocker_of(StepId id) const {
        const Step& step = world_.step(id);
        for (const StepRef& ref : world_.plan_of(id).dependencies_of(step)) {
            const StepId earlier = world_.id(world_.plan_of(id).rank, ref);
            const LaneId lane = world_.lane_of(earlier);
            if (lanes_[lane].at <= earlier) return lane;
        }
        if (receives(step.kind)) {
            const ChannelId channel = world_.incoming(id);
            if (channels_[channel].sent == channels_[channel].taken)
                return world_.lane_of(world_.channels()[channel].sends.front());
        }
        if (sends(step.kind)) {
            const ChannelId first = world_.first_outgoing(id);
            for (ChannelId channel = first; channel < first + world_.outgoing_count(id); channel++)
                if (channels_[channel].sent - channels_[channel].taken >= depth_)
                    return world_.lane_of(world_.channels()[channel].receives.front());
        }
        return none;
    }

    void execute(StepId id) {
        const Step& step = world_.step(id);
        if (receives(step.kind)) channels_[world_.incoming(id)].taken++;
        if (sends(step.kind)) {
            const ChannelId first = world_.first_outgoing(id);
            for (ChannelId c = first; c < first + world_.outgoing_count(id); c++) channels_[c].sent++;
        }
        order_.push_back(id);
    }

    const World& world_;
    std::uint32_t depth_;
    std::span<const std::uint64_t> messages_;
    std::vector<LaneState> lanes_;
    std::vector<ChannelState> channels_;
    std::vector<StepId> order_;
};

// Runs the lanes with messages larger than any channel: a step that sends ends no sooner than the one that receives it,
// and so on along fused steps. So the steps that messages join, a stream, begin one by one and end together.
class WholeChunks {
public:
    explicit WholeChunks(const World& world)
        : world_(world), stream_(world.step_count()), missing_(world.step_count()), begun_(world.step_count()) {
        std::iota(stream_.begin(), stream_.end(), 0);
        for (const MessageChannel& channel : world.channels())
            for (std::size_t k = 0; k < channel.sends.size(); k++)
                stream_[stream_of(channel.sends[k])] = stream_of(channel.receives[k]);
        for (StepId id = 0; id < world.step_count(); id++) missing_[stream_of(id)]++;
        for (LaneId lane = 0; lane < world.lane_count(); lane++) at_.push_back(world.first_step(lane));
    }

    Result<void> run() {
        for (bool moved = true; moved;) {
            moved = false;
            for (LaneId lane = 0; lane < world_.lane_count(); lane++)
                while (!ended(lane) && advance(lane)) moved = true;
        }
        for (LaneId lane = 0; lane < world_.lane_count(); lane++)
            if (!ended(lane))
                return fail(Status::invalid_argument,
                            "deadlock with chunks larger than a channel, as the plan says one_tile: " +
                                circle(
                                    world_, lane, [&](LaneId l) { return at_[l]; },
                                    [&](LaneId l) { return blocker_of(at_[l]); }));
        return {};
    }

private:
    StepId stream_of(StepId id) {
        while (stream_[id] != id) id = stream_[id] = stream_[stream_[id]];
        return id;
    }
    bool ended(LaneId lane) const { return at_[lane] == world_.end_step(lane); }
    LaneId lane_awaited(StepId id) const {
        const Plan& plan = world_.plan_of(id);
        for (const StepRef& ref : plan.dependencies_of(world_.step(id))) {
            const StepId earlier = world_.id(plan.rank, ref);
            if (at_[world_.lane_of(earlier)] <= earlier) return world_.lane_of(earlier);
        }
        return none;
    }

    bool advance(LaneId lane) {
        const StepId id = at_[lane];
        bool moved = false;
        if (!begun_[id] && lane_awaited(id) == none) {
            begun_[id] = moved = true;
            missing_[stream_of(id)]--;
        }
        if (!begun_[id] || missing_[stream_of(id)] != 0) return moved;
        at_[lane]++;
        return true;
    }

    LaneId blocker_of(StepId id) {
        if (!begun_[id]) return lane_awaited(id);
        for (StepId other = 0;; other++)
            if (!begun_[other] && stream_of(other) == stream_of(id)) return world_.lane_of(other);
    }

    const World& world_;
    std::vector<StepId> stream_;          // by step: towards the step that stands for its stream
    std::vector<std::uint32_t> missing_;  // by stream: steps that have not begun
    std::vector<bool> begun_;
    std::vector<StepId> at_;  // by lane
};

}  // namespace

Result<void> check_whole_chunks(const World& world) { return WholeChunks{world}.run(); }

Result<std::vector<StepId>> schedule(const World& world, std::uint32_t channel_depth,
                                     std::span<const std::uint64_t> messages) {
    return Scheduler{world, channel_depth, messages}.run();
}

std::uint32_t longest_message_chain(const World& world, std::span<const StepId> order) {
    std::vector<std::uint32_t> chain(world.step_count());
    std::uint32_t longest = 0;
    for (const StepId id : order) {
        const Step& step = world.step(id);
        std::uint32_t here = id > world.first_step(world.lane_of(id)) ? chain[id - 1] : 0;
        for (const StepRef& earlier : world.plan_of(id).dependencies_of(step))
            here = std::max(here, chain[world.id(world.plan_of(id).rank, earlier)]);
        if (receives(step.kind)) here = std::max(here, chain[world.sender_of(id)] + 1);
        chain[id] = here;
        longest = std::max(longest, here);
    }
    return longest;
}

}  // namespace tenon
