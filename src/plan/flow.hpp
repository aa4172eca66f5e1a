// Plans as a flow of messages: what each step costs, which step another waits for, and the clock that runs them all.
//
// A rank does one step at a time, in the order in which its lanes' steps may begin; where cores are short, so do ranks.
// A message leaves when its first slot is ready, waits for its turn on the links that it shares (its rank's, and its
// part's out and in), and arrives a latency later. Room in channels is not counted: who sends far ahead waits here for
// nothing. Not thread-safe; what it is made of must stay.
#pragma once

#include <algorithm>
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

// A step as its plan says it, and where it lies: all that joining it to others takes.
struct FlowStep {
    StepKind kind{};
    bool is_token = false;
    std::uint8_t level_in = 0, level_out = 0;
    Channel channel_in = 0, channel_out = 0;
    Rank from = no_rank, to = no_rank;
    std::uint32_t rank = 0;  // among the representatives
    std::uint32_t operands = 0;
    double bytes = 0;
    double latency_ns = 0;  // of what it receives
    double message_in_ns = 0, message_out_ns = 0;
};

// What a step says by itself: not who does it, nor by which links. `piece` is piece_elements() of the request.
FlowStep flow_step(const Plan& plan, const Step& step, const Request& request, ElementCount piece);

// For how long a step keeps its rank's core.
struct BusyTime {
    double fixed_ns = 0, ns_per_byte = 0;
    double of(double bytes) const { return fixed_ns + bytes * ns_per_byte; }
};
BusyTime busy_time(const FlowStep& step, std::span<const FlowLink> links, const CostParameters& parameters);
// The sums alone.
double sum_ns_per_byte(const FlowStep& step, std::span<const FlowLink> links, const CostParameters& parameters);

// A step as the clock sees it, in one line of the cache: it comes to them in no order, and waits for little else.
struct alignas(64) TimedStep {
    static constexpr std::uint32_t none = UINT32_MAX;
    double bytes = 0;
    BusyTime busy{};
    double latency_ns = 0;
    std::uint32_t lane = 0;               // of all
    std::uint32_t sender = none;          // the step that sends what this one receives
    std::uint32_t first_receiver = none;  // of what it sends; they are linked by Flow::next_receiver
    std::uint32_t pair = none;            // of ranks, where one may not send all that it can to one other
    std::uint32_t first_need = 0, need_count = 0;  // steps that it waits for, in Flow::needs
    std::uint32_t first_dependent = none;          // in Flow::dependents
    std::uint8_t level_out = 0;
    bool is_token = false, sends = false;
};
static_assert(sizeof(TimedStep) == 64);

struct FlowLane {
    std::uint32_t first = 0, count = 0;  // steps
    std::uint32_t rank = 0;
    std::uint32_t tiles = 1;
};

struct FlowDependent {
    std::uint32_t lane = 0;
    std::uint32_t next = TimedStep::none;
};

// A representative's place on a level.
struct FlowPlace {
    std::size_t part = 0;
    double like = 1;  // ranks in that part that are like it
};

// The last pieces of a block may be empty, which only some ranks see, and those that stand for them may not: where some
// stand for others, a call is priced as one of equal pieces.
Request with_equal_pieces(Request request, std::uint32_t pieces);

class Flow {
public:
    Flow(const Representatives& ranks, const LevelMap& map, const Request& request, const Topology& topology,
         const CostParameters& parameters);
    // Takes the plan of the next representative; it need not be kept.
    void add(const Plan& plan);
    // Once all are there.
    void join();

    // Of the first `most_tiles` tiles of the longest lane, and as large a part of each other. Infinite, where it takes
    // more than `most_ns`.
    double time_ns(std::size_t most_tiles, double most_ns = std::numeric_limits<double>::infinity()) const;
    // Of messages that take their latency but have no bytes.
    double empty_time_ns() const;

    // Tiles of the longest lane, the last counted as the part of one that it is.
    double tiles() const { return tiles_; }
    std::size_t step_count() const { return steps_.size(); }
    // Of all ranks, if each that is not there has as many as the one like it.
    double steps_of_all() const;
    // Fills in what does not depend on time.
    void add_loads(Price& price) const;

private:
    friend class FlowClock;

    void begin(const Plan& first);
    void add_step(const Plan& plan, const Step& step, std::uint32_t rank, std::uint32_t lane);
    void add_pair(const FlowStep& step, TimedStep& timed);
    void join_exactly();
    void join_boards();
    void join_by_likeness();
    void average(const std::vector<std::vector<std::uint32_t>>& messages, double FlowStep::*what);
    void join(std::uint32_t sender, std::uint32_t receiver);
    void time_steps();
    double length(const TimedStep& step, std::size_t tile) const {
        if (tile_bytes_ == 0) return tile == 0 ? step.bytes : 0;
        return std::clamp(step.bytes - static_cast<double>(tile) * tile_bytes_, 0.0, tile_bytes_);
    }
    const FlowPlace& place(std::uint32_t rank, std::size_t level) const {
        return places_[rank * map_.level_count() + level];
    }
    double cores_of_host() const;  // 0: enough for all
    double like_on_host(std::uint32_t rank) const;
    std::size_t host_of(std::uint32_t rank) const;

    const Representatives& ranks_;
    const LevelMap& map_;
    Request request_;
    const Topology& topology_;
    const CostParameters& parameters_;
    std::vector<FlowLink> links_;
    std::uint32_t added_ = 0;  // representatives
    double tile_bytes_ = 0;
    double slot_bytes_ = 0;
    ElementCount piece_{};
    double tiles_ = 1;
    std::vector<FlowStep> steps_;
    std::vector<TimedStep> timed_;              // the same steps
    std::vector<std::uint32_t> next_receiver_;  // by step
    std::vector<std::uint32_t> pair_to_;        // by receiver, of the rank that is being added
    std::uint32_t pairs_ = 0;
    std::vector<FlowPlace> places_;  // by representative and level
    std::vector<FlowLane> lanes_;
    std::vector<std::uint32_t> needs_;
    std::vector<FlowDependent> dependents_;
    std::vector<std::uint32_t> representative_of_;  // by rank; none: no representative
};

}  // namespace tenon
