// The plans of all ranks joined into one program: steps and lanes numbered across ranks, and every receive matched with
// its send. What the verifier's parts and the picture read.
//
// Borrows the plans, which must outlive it. Immutable once linked, so it may be read from several threads.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/plan.hpp"

namespace tenon {

using StepId = std::uint32_t;
using LaneId = std::uint32_t;
using ChannelId = std::uint32_t;
inline constexpr std::uint32_t none = UINT32_MAX;

// One reader's end of the messages from one rank on one channel; the k-th receive takes the k-th message.
struct MessageChannel {
    Rank from = 0, to = 0;
    Channel channel = 0;
    std::span<const StepId> sends, receives;
};

// What travels and what is taken in, as the length of a message is known from its chunk's count and shape.
const Chunk& sent_chunk(const Step& step);
const Chunk& received_chunk(const Step& step);

class World {
public:
    World(World&&) = default;  // not copied: the channels look into the world's own lists
    World& operator=(World&&) = default;

    // Checks each plan's bounds, that the plans are of one call, and that sends and receives agree in number and
    // length.
    static Result<World> link(std::span<const Plan> plans);

    std::span<const Plan> plans() const { return plans_; }
    std::uint32_t step_count() const { return static_cast<std::uint32_t>(steps_.size()); }
    std::uint32_t lane_count() const { return static_cast<std::uint32_t>(lane_ranks_.size()); }
    const Step& step(StepId id) const { return *steps_[id]; }
    LaneId lane_of(StepId id) const { return lane_of_step_[id]; }
    Rank rank_of(LaneId lane) const { return lane_ranks_[lane]; }
    const Plan& plan_of(StepId id) const { return plans_[static_cast<std::size_t>(rank_of(lane_of(id)))]; }
    StepId first_step(LaneId lane) const { return lane_first_[lane]; }
    StepId end_step(LaneId lane) const { return lane_first_[lane + 1]; }
    LaneId first_lane(Rank rank) const { return rank_first_[static_cast<std::size_t>(rank)]; }
    StepId id(Rank rank, StepRef at) const { return lane_first_[first_lane(rank) + at.lane] + at.step; }
    std::string name(StepId id) const;

    std::span<const MessageChannel> channels() const { return channels_; }
    ChannelId incoming(StepId receive) const { return incoming_[receive]; }
    // The channels that a send feeds are consecutive: one, or one per reader of a publication.
    ChannelId first_outgoing(StepId send) const { return outgoing_[send]; }
    std::uint32_t outgoing_count(StepId send) const;
    StepId sender_of(StepId receive) const;
    StepId receiver_of(StepId send, ChannelId channel) const {
        return channels_[channel].receives[send_ordinal_[send]];
    }

private:
    World() = default;
    struct KeyedStep;
    struct Group;
    void number_steps();
    static std::vector<Group> group(std::vector<KeyedStep> keyed, std::vector<StepId>& in_order);
    Result<void> match_messages();
    Result<void> join(std::span<const StepId> sends, std::span<const StepId> receives);
    std::unexpected<Error> unread(const Group& group) const;

    std::span<const Plan> plans_;
    std::vector<const Step*> steps_;
    std::vector<LaneId> lane_of_step_;
    std::vector<StepId> lane_first_;  // by lane, and one past the last
    std::vector<Rank> lane_ranks_;
    std::vector<LaneId> rank_first_;
    std::vector<MessageChannel> channels_;
    std::vector<StepId> sends_in_order_, receives_in_order_;  // what the channels' spans look into
    std::vector<ChannelId> incoming_, outgoing_;
    std::vector<std::uint32_t> send_ordinal_, receive_ordinal_;
};

}  // namespace tenon
