// Plans as a flow of messages: what each step costs, which step another waits for, and the clock that runs them all.
//
// A rank does one step at a time, in the order in which its lanes' steps may begin; where cores are short, so do ranks.
// A message leaves when its first slot is ready, waits for its turn on the links that it shares (its rank's, and its
// part's out and in), and arrives a latency later. Room in channels is not counted: who sends far ahead waits here for
// nothing. Not thread-safe; what it is made of must stay.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "plan/cost.hpp"
#include "plan/representatives.hpp"

namespace tenon {

// A level as the flow sees it: what is not known is filled in. Rates are kept as times; 0: no limit.
struct FlowLink {
    double latency_ns = 0;
    double pair_ns_per_byte = 0, rank_ns_per_byte = 0, part_ns_per_byte = 0;
    double message_ns = 0, send_ns_per_byte = 0, receive_ns_per_byte = 0, reduce_ns_per_byte = 0;
};
std::vector<FlowLink> flow_links(const LevelMap& map, const CostParameters& parameters);

struct FlowStep {
    static constexpr std::uint32_t none = UINT32_MAX;
    StepKind kind{};
    bool is_token = false;
    std::uint8_t level_in = 0, level_out = 0;
    Channel channel_in = 0, channel_out = 0;
    Rank from = no_rank, to = no_rank;
    std::uint32_t rank = 0;  // among the representatives
    std::uint32_t lane = 0;  // of all
    std::uint32_t operands = 0;
    double bytes = 0;
    double latency_ns = 0;  // of what it receives
    double message_in_ns = 0, message_out_ns = 0;
    std::uint32_t sender = none;          // the step that sends what this one receives
    std::uint32_t first_receiver = none;  // of what it sends; they are linked by
    std::uint32_t next_receiver = none;
    std::uint32_t first_need = 0, need_count = 0;  // steps that it waits for, in Flow::needs
    std::uint32_t first_dependent = none;          // in Flow::dependents
};

// What a step says by itself: not who does it, nor by which links.
FlowStep flow_step(const Plan& plan, const Step& step, const Request& request);
// For how long a step of so many bytes keeps its rank's core, by the links of its levels; the sums alone.
double busy_ns(const FlowStep& step, double bytes, std::span<const FlowLink> links, const CostParameters& parameters);
double sum_ns(const FlowStep& step, double bytes, std::span<const FlowLink> links, const CostParameters& parameters);

inline std::uint64_t pair_key(const FlowStep& step) {
    return std::uint64_t{step.rank} << 32 | static_cast<std::uint32_t>(step.to);
}

struct FlowLane {
    std::uint32_t first = 0, count = 0;  // steps
    std::uint32_t rank = 0;
    std::uint32_t tiles = 1;
};

struct FlowDependent {
    std::uint32_t lane = 0;
    std::uint32_t next = FlowStep::none;
};

class Flow {
public:
    // Plans of the representatives, in their order.
    Flow(std::span<const Plan> plans, const Representatives& ranks, const LevelMap& map, const Request& request,
         const Topology& topology, const CostParameters& parameters);

    // Of the first `most_tiles` tiles of the longest lane, and as large a part of each other. Infinite, where it takes
    // more than `most_ns`.
    double time_ns(std::size_t most_tiles, double most_ns = std::numeric_limits<double>::infinity()) const;
    // Of messages that take their latency but have no bytes.
    double empty_time_ns() const;

    // Tiles of the longest lane, the last counted as the part of one that it is.
    double tiles() const { return tiles_; }
    std::size_t step_count() const { return steps_.size(); }
    // Fills in what does not depend on time.
    void add_loads(Price& price) const;

private:
    friend class FlowClock;

    void add_rank(const Plan& plan, std::uint32_t rank);
    void add_step(const Plan& plan, const Step& step, std::uint32_t rank, std::uint32_t lane);
    void join_exactly();
    void join_boards();
    void join_by_likeness();
    void average(const std::vector<std::vector<std::uint32_t>>& messages, double FlowStep::*what);
    void join(std::uint32_t sender, std::uint32_t receiver);
    double length(const FlowStep& step, std::size_t tile) const;
    double cores_of_host() const;  // 0: enough for all
    double like_on_host(std::uint32_t rank) const;
    std::size_t host_of(std::uint32_t rank) const;

    const Representatives& ranks_;
    const LevelMap& map_;
    const Request& request_;
    const Topology& topology_;
    const CostParameters& parameters_;
    std::vector<FlowLink> links_;
    double tile_bytes_ = 0;
    double slot_bytes_ = 0;
    double tiles_ = 1;
    std::vector<FlowStep> steps_;
    std::vector<FlowLane> lanes_;
    std::vector<std::uint32_t> needs_;
    std::vector<FlowDependent> dependents_;
    std::vector<std::uint32_t> representative_of_;  // by rank; none: no representative
};

}  // namespace tenon
