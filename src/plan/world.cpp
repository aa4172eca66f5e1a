#include "plan/world.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "plan/bounds.hpp"
#include "plan/names.hpp"

namespace tenon {
namespace {

// Sorts messages by sender, then the board's readers together, then by receiver and channel.
std::uint64_t message_key(Rank from, Rank to, Channel channel) {
    const bool board = channel == board_channel;
    const auto wide = [](Rank rank) { return static_cast<std::uint64_t>(rank); };
    return wide(from) << 41 | std::uint64_t{board} << 40 | (to == everyone ? 0 : wide(to)) << 16 | channel;
}

std::string channel_name(Channel channel) {
    return channel == board_channel ? "the board" : fmt::format("channel {}", channel);
}

Result<void> check_one_call(std::span<const Plan> plans) {
    if (plans.empty()) return fail(Status::invalid_argument, "no plans were given; the verifier needs every rank's");
    const Plan& first = plans.front();
    for (std::size_t rank = 0; rank < plans.size(); rank++) {
        const Plan& plan = plans[rank];
        if (plan.rank_count != static_cast<Rank>(plans.size()) || plan.rank != static_cast<Rank>(rank))
            return fail(
                Status::invalid_argument,
                fmt::format("plan {} is for rank {} of {}, but {} plans were given; give every rank's, in order", rank,
                            plan.rank, plan.rank_count, plans.size()));
        if (plan.collective != first.collective || plan.root != first.root || plan.pieces != first.pieces ||
            plan.tile_bytes != first.tile_bytes)
            return fail(Status::invalid_argument,
                        fmt::format("rank {}'s plan and rank 0's are not of one call: they differ in the collective, "
                                    "the root, the pieces of a block or the tile size",
                                    rank));
        if (auto in_bounds = check_bounds(plan); !in_bounds) return in_bounds;
    }
    return {};
}

}  // namespace

struct World::KeyedStep {
    std::uint64_t key;
    StepId step;
    friend auto operator<=>(const KeyedStep&, const KeyedStep&) = default;
};

const Chunk& sent_chunk(const Step& step) {
    return step.kind == StepKind::send || step.kind == StepKind::receive_reduce_send ? step.source : step.destination;
}

const Chunk& received_chunk(const Step& step) { return writes_destination(step.kind) ? step.destination : step.source; }

std::string World::name(StepId id) const {
    const LaneId lane = lane_of(id);
    return name_of_step(plan_of(id), {lane - first_lane(rank_of(lane)), id - first_step(lane)});
}

std::uint32_t World::outgoing_count(StepId send) const {
    return step(send).send_to == everyone ? static_cast<std::uint32_t>(plans_.size()) - 1 : 1;
}

StepId World::sender_of(StepId receive) const { return channels_[incoming_[receive]].sends[receive_ordinal_[receive]]; }

Result<World> World::link(std::span<const Plan> plans) {
    if (auto one = check_one_call(plans); !one) return std::unexpected(one.error());
    std::uint64_t steps = 0;
    for (const Plan& plan : plans)
        for (const Lane& lane : plan.lanes) steps += lane.steps.size();
    if (steps >= none) return fail(Status::invalid_argument, fmt::format("{} steps are too many to verify", steps));
    World world;
    world.plans_ = plans;
    world.number_steps();
    if (auto matched = world.match_messages(); !matched) return std::unexpected(matched.error());
    return world;
}

void World::number_steps() {
    lane_first_.push_back(0);
    for (const Plan& plan : plans_) {
        rank_first_.push_back(lane_count());
        for (const Lane& lane : plan.lanes) {
            for (const Step& step : lane.steps) steps_.push_back(&step);
            lane_of_step_.resize(steps_.size(), lane_count());
            lane_ranks_.push_back(plan.rank);
            lane_first_.push_back(step_count());
        }
    }
    rank_first_.push_back(lane_count());
}

// The steps of one rank that send, or receive, over one channel: in the order of their lane.
struct World::Group {
    std::uint64_t key;
    std::span<const StepId> steps;
    std::uint32_t readers = 0;
};

std::vector<World::Group> World::group(std::vector<KeyedStep> keyed, std::vector<StepId>& in_order) {
    std::ranges::sort(keyed);
    for (const KeyedStep& k : keyed) in_order.push_back(k.step);
    std::vector<Group> groups;
    for (std::size_t begin = 0, end = 0; begin < keyed.size(); begin = end) {
        while (end < keyed.size() && keyed[end].key == keyed[begin].key) end++;
        groups.push_back({keyed[begin].key, {in_order.data() + begin, end - begin}});
    }
    return groups;
}

Result<void> World::match_messages() {
    std::vector<KeyedStep> sends, receives;
    for (StepId id = 0; id < step_count(); id++) {
        const Step& s = step(id);
        const Rank me = rank_of(lane_of(id));
        if (tenon::sends(s.kind)) sends.push_back({message_key(me, s.send_to, s.send_channel), id});
        if (tenon::receives(s.kind)) receives.push_back({message_key(s.receive_from, me, s.receive_channel), id});
    }
    sends_in_order_.reserve(sends.size());
    receives_in_order_.reserve(receives.size());
    for (auto* table : {&incoming_, &outgoing_, &send_ordinal_, &receive_ordinal_}) table->assign(step_count(), none);
    std::vector<Group> sent = group(std::move(sends), sends_in_order_);
    for (const Group& taken : group(std::move(receives), receives_in_order_)) {
        const Step& first = step(taken.steps.front());
        const bool board = first.receive_channel == board_channel;
        const std::uint64_t key = board ? message_key(first.receive_from, everyone, board_channel) : taken.key;
        const auto found = std::ranges::lower_bound(sent, key, {}, &Group::key);
        if (found == sent.end() || found->key != key)
            return fail(Status::invalid_argument,
                        fmt::format("{} receives from rank {} on {}, but rank {} sends nothing there",
                                    name(taken.steps.front()), first.receive_from, channel_name(first.receive_channel),
                                    first.receive_from));
        found->readers++;
        if (auto joined = join(found->steps, taken.steps); !joined) return joined;
    }
    for (const Group& group : sent)
        if (group.readers != outgoing_count(group.steps.front())) return unread(group);
    return {};
}

std::unexpected<Error> World::unread(const Group& group) const {
    const StepId send = group.steps.front();
    const Step& s = step(send);
    Rank reader = s.send_to;
    if (reader == everyone) {
        reader = 0;
        for (std::uint32_t i = 0; i < group.readers && channels_[outgoing_[send] + i].to == reader; i++) reader++;
        if (reader == rank_of(lane_of(send))) reader++;
    }
    return fail(Status::invalid_argument,
                fmt::format("{} sends to {} on {}, but rank {} receives nothing there", name(send),
                            name_of_peer(s.send_to), channel_name(s.send_channel), reader));
}

Result<void> World::join(std::span<const StepId> sends, std::span<const StepId> receives) {
    const Step& first = step(receives.front());
    const MessageChannel channel{first.receive_from, rank_of(lane_of(receives.front())), first.receive_channel, sends,
                                 receives};
    for (const auto side : {sends, receives})
        for (const StepId id : side)
            if (lane_of(id) != lane_of(side.front()))
                return fail(
                    Status::invalid_argument,
                    fmt::format("{} and {} use {} from rank {} to rank {} from two lanes, so the order of its "
                                "messages is not known; give each lane its own channel",
                                name(side.front()), name(id), channel_name(channel.channel), channel.from, channel.to));
    const auto both = std::min(sends.size(), receives.size());
    for (std::size_t k = 0; k < both; k++) {
        const Chunk& sent = sent_chunk(step(sends[k]));
        const Chunk& taken = received_chunk(step(receives[k]));
        if (sent.count != taken.count || sent.shape != taken.shape)
            return fail(
                Status::invalid_argument,
                fmt::format("{} sends {} piece(s) from piece {} of a block, but {} receives {} from piece {}",
                            name(sends[k]), sent.count, sent.shape, name(receives[k]), taken.count, taken.shape));
        outgoing_[sends[k]] = std::min(outgoing_[sends[k]], static_cast<ChannelId>(channels_.size()));
        send_ordinal_[sends[k]] = receive_ordinal_[receives[k]] = static_cast<std::uint32_t>(k);
        incoming_[receives[k]] = static_cast<ChannelId>(channels_.size());
    }
    if (sends.size() > both)
        return fail(Status::invalid_argument,
                    fmt::format("{} sends message {} to rank {} on {}, but rank {} receives only {}", name(sends[both]),
                                both + 1, channel.to, channel_name(channel.channel), channel.to, receives.size()));
    if (receives.size() > both)
        return fail(
            Status::invalid_argument,
            fmt::format("{} receives message {} from rank {} on {}, but rank {} sends only {}", name(receives[both]),
                        both + 1, channel.from, channel_name(channel.channel), channel.from, sends.size()));
    channels_.push_back(channel);
    return {};
}

}  // namespace tenon
