#include "plan/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "plan/names.hpp"

namespace tenon {
namespace {

class Scheduler {
public:
    Scheduler(const World& world, std::uint32_t depth)
        : world_(world), depth_(depth), lanes_(world.lane_count()), channels_(world.channels().size()) {}

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
            if (!ended(lane)) return deadlock(lane);
        return std::move(order_);
    }

private:
    struct LaneState {
        StepId at = 0;
        std::vector<LaneId> waiting;
    };
    struct ChannelState {
        std::uint32_t sent = 0, taken = 0;
    };

    bool ended(LaneId lane) const { return lanes_[lane].at == world_.end_step(lane); }

    // Runs until the lane ends or must wait; says for whom.
    LaneId run_lane(LaneId lane) {
        LaneState& state = lanes_[lane];
        while (!ended(lane)) {
            if (const LaneId blocker = blocker_of(state.at); blocker != none) return blocker;
            execute(state.at++);
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

    // Every blocked lane waits for a lane that is blocked too, so following them ends in a cycle.
    std::unexpected<Error> deadlock(LaneId lane) const {
        std::vector<LaneId> chain;
        while (std::ranges::find(chain, lane) == chain.end()) {
            chain.push_back(lane);
            lane = blocker_of(lanes_[lane].at);
        }
        chain.erase(chain.begin(), std::ranges::find(chain, lane));
        constexpr std::size_t shown = 6;
        std::string cycle;
        for (std::size_t i = 0; i < std::min(chain.size(), shown); i++)
            cycle += fmt::format("{} waits for {}; ", world_.name(lanes_[chain[i]].at),
                                 world_.name(lanes_[chain[(i + 1) % chain.size()]].at));
        return fail(Status::invalid_argument,
                    fmt::format("deadlock with {} message(s) per channel: {}{} lane(s) wait in a circle", depth_, cycle,
                                chain.size()));
    }

    const World& world_;
    std::uint32_t depth_;
    std::vector<LaneState> lanes_;
    std::vector<ChannelState> channels_;
    std::vector<StepId> order_;
};

}  // namespace

Result<std::vector<StepId>> schedule(const World& world, std::uint32_t channel_depth) {
    return Scheduler{world, channel_depth}.run();
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
