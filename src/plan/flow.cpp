#include "plan/flow.hpp"

#include <cmath>

#include "base/assert.hpp"
#include "plan/geometry.hpp"

namespace tenon {
namespace {

constexpr double slot_bytes_unless_known = 64 << 10;

double ns_per_byte(double bytes_per_s) { return bytes_per_s > 0 ? 1e9 / bytes_per_s : 0; }

// Whoever feeds a link moves bytes no slower than the link does: a file that knows of quick links says so of the cores
// (or engines) behind them too.
double moving_ns_per_byte(double bytes_per_s, const LevelLink& link) {
    if (bytes_per_s == 0) return 0;
    return ns_per_byte(std::max(bytes_per_s, static_cast<double>(link.rank_bytes_per_s)));
}

// The defaults are those of sockets; who knows of a link that is quicker than these does not go by them.
double message_ns(const PathCosts& path, const LevelLink& link) {
    if (path.message_latency_part == 0 || link.latency_ns == 0) return path.message_ns;
    return std::min(path.message_ns, static_cast<double>(link.latency_ns) * path.message_latency_part);
}

}  // namespace

std::vector<FlowLink> flow_links(const LevelMap& map, const CostParameters& parameters) {
    std::vector<FlowLink> links;
    for (std::size_t i = 0; i < map.level_count(); i++) {
        const LevelLink& link = map.level(i).link;
        const bool is_local = map.is_local(i);
        const PathCosts& path = is_local ? parameters.memory : parameters.network;
        const bool is_known = link.rank_bytes_per_s != 0 || link.part_bytes_per_s != 0;
        const double sum = moving_ns_per_byte(parameters.reduce_bytes_per_s, link);
        const double receive = moving_ns_per_byte(path.receive_bytes_per_s, link);
        links.push_back({
            .latency_ns = link.latency_ns != 0 ? static_cast<double>(link.latency_ns) : path.latency_ns,
            .pair_ns_per_byte = ns_per_byte(static_cast<double>(link.pair_bytes_per_s)),
            .rank_ns_per_byte = ns_per_byte(static_cast<double>(link.rank_bytes_per_s)),
            .part_ns_per_byte =
                ns_per_byte(is_known ? static_cast<double>(link.part_bytes_per_s) : path.link_bytes_per_s),
            .message_ns = message_ns(path, link),
            .send_ns_per_byte = moving_ns_per_byte(path.send_bytes_per_s, link),
            .receive_ns_per_byte = receive,
            // Shared memory is read and added in one pass.
            .reduce_ns_per_byte = is_local ? sum : receive + sum,
        });
    }
    return links;
}

Request with_equal_pieces(Request request, std::uint32_t pieces) {
    request.count.value = piece_elements(request.count, pieces, request.type).value * pieces;
    return request;
}

Flow::Flow(const Representatives& ranks, const LevelMap& map, const Request& request, const Topology& topology,
           const CostParameters& parameters)
    : ranks_(ranks),
      map_(map),
      request_(request),
      topology_(topology),
      parameters_(parameters),
      links_(flow_links(map, parameters)) {
    slot_bytes_ = topology.slot_bytes != 0 ? static_cast<double>(topology.slot_bytes) : slot_bytes_unless_known;
    representative_of_.assign(static_cast<std::size_t>(map.rank_count()), TimedStep::none);
    for (const Representative& one : ranks.all())
        for (std::size_t level = 0; level < map.level_count(); level++)
            places_.push_back({map.part_of(level, one.rank), one.like_in_part[level]});
}

// What all plans have in common.
void Flow::begin(const Plan& first) {
    if (!ranks_.are_everybody()) request_ = with_equal_pieces(request_, first.pieces);
    piece_ = piece_elements(request_.count, first.pieces, request_.type);
    const std::uint64_t tile = first.tile_bytes;
    tile_bytes_ = tile == one_tile ? 0 : tile == 0 ? slot_bytes_ : std::min(slot_bytes_, static_cast<double>(tile));
    std::size_t steps = 0;
    for (const Lane& lane : first.lanes) steps += lane.steps.size();
    constexpr std::size_t most_reserved = 1 << 17;  // a root's plan is far longer than the others'
    steps_.reserve(std::min(most_reserved, steps * ranks_.all().size()));
    timed_.reserve(steps_.capacity());
    lanes_.reserve(std::min(most_reserved, first.lanes.size() * ranks_.all().size()));
}

void Flow::join() {
    TENON_ASSERT(added_ == ranks_.all().size(), "every representative has a plan");
    next_receiver_.assign(steps_.size(), TimedStep::none);
    join_exactly();
    join_boards();
    if (!ranks_.are_everybody()) join_by_likeness();
    time_steps();
}

void Flow::add(const Plan& plan) {
    if (added_ == 0) begin(plan);
    const std::uint32_t rank = added_++;
    representative_of_[static_cast<std::size_t>(plan.rank)] = rank;
    pair_to_.assign(static_cast<std::size_t>(map_.rank_count()), TimedStep::none);
    std::vector<std::uint32_t> first_of_lane;
    for (auto at = static_cast<std::uint32_t>(steps_.size()); const Lane& lane : plan.lanes) {
        first_of_lane.push_back(at);
        at += static_cast<std::uint32_t>(lane.steps.size());
    }
    for (const Lane& lane : plan.lanes) {
        const auto index = static_cast<std::uint32_t>(lanes_.size());
        lanes_.push_back(
            {static_cast<std::uint32_t>(steps_.size()), static_cast<std::uint32_t>(lane.steps.size()), rank});
        double most = 0;
        for (const Step& step : lane.steps) {
            add_step(plan, step, rank, index);
            for (const StepRef need : plan.dependencies_of(step)) {
                const std::uint32_t earlier = first_of_lane[need.lane] + need.step;
                needs_.push_back(earlier);
                timed_.back().need_count++;
            }
            most = std::max(most, steps_.back().bytes);
        }
        if (tile_bytes_ > 0 && most > tile_bytes_) {
            lanes_.back().tiles = static_cast<std::uint32_t>(std::ceil(most / tile_bytes_));
            tiles_ = std::max(tiles_, most / tile_bytes_);
        }
    }
    // Only now are they all there.
    for (std::uint32_t at = first_of_lane.empty() ? 0 : first_of_lane[0]; at < steps_.size(); at++)
        for (std::uint32_t n = 0; n < timed_[at].need_count; n++) {
            TimedStep& earlier = timed_[needs_[timed_[at].first_need + n]];
            dependents_.push_back({timed_[at].lane, earlier.first_dependent});
            earlier.first_dependent = static_cast<std::uint32_t>(dependents_.size()) - 1;
        }
}

FlowStep flow_step(const Plan& plan, const Step& step, const Request& request, ElementCount piece) {
    const Chunk& sized = writes_destination(step.kind) ? step.destination : step.source;
    FlowStep made{.kind = step.kind,
                  .is_token = sized.count == 0 && (sends(step.kind) || receives(step.kind)),
                  .channel_in = step.receive_channel,
                  .channel_out = step.send_channel,
                  .from = step.receive_from,
                  .to = step.send_to,
                  .operands = step.operand_count};
    made.bytes = static_cast<double>(element_range(sized, plan.pieces, request.count, piece).count *
                                     element_bytes(request.type));
    return made;
}

void Flow::add_step(const Plan& plan, const Step& step, std::uint32_t rank, std::uint32_t lane) {
    FlowStep& added = steps_.emplace_back(flow_step(plan, step, request_, piece_));
    added.rank = rank;
    // What all read goes by the memory that all share.
    if (sends(step.kind) && step.send_to >= 0)
        added.level_out = static_cast<std::uint8_t>(map_.level_between(plan.rank, step.send_to));
    if (receives(step.kind))
        added.level_in = static_cast<std::uint8_t>(map_.level_between(plan.rank, step.receive_from));
    added.latency_ns = links_[added.level_in].latency_ns;
    added.message_in_ns = links_[added.level_in].message_ns;
    added.message_out_ns = links_[added.level_out].message_ns;
    TimedStep& timed = timed_.emplace_back();
    timed.lane = lane;
    timed.first_need = static_cast<std::uint32_t>(needs_.size());
    const bool is_message = sends(step.kind) && step.send_to >= 0;
    if (is_message && links_[added.level_out].pair_ns_per_byte > 0) add_pair(added, timed);
}

void Flow::add_pair(const FlowStep& step, TimedStep& timed) {
    std::uint32_t& pair = pair_to_[static_cast<std::size_t>(step.to)];
    if (pair == TimedStep::none) pair = pairs_++;
    timed.pair = pair;
}

void Flow::join(std::uint32_t sender, std::uint32_t receiver) {
    timed_[receiver].sender = sender;
    next_receiver_[receiver] = timed_[sender].first_receiver;
    timed_[sender].first_receiver = receiver;
}

void Flow::time_steps() {
    for (std::size_t i = 0; i < steps_.size(); i++) {
        const FlowStep& step = steps_[i];
        TimedStep& timed = timed_[i];
        timed.bytes = step.bytes;
        timed.busy = busy_time(step, links_, parameters_);
        timed.latency_ns = step.latency_ns;
        timed.level_out = step.level_out;
        timed.is_token = step.is_token;
        timed.sends = sends(step.kind);
    }
}

namespace {

// A message's end, so that those of one channel are found together, in order.
struct End {
    std::uint32_t from, to;
    std::uint32_t to_channel;  // the receiver and the channel, as one number
    std::uint32_t step;

    static End make(std::uint32_t from, std::uint32_t to, Channel channel, std::uint32_t step) {
        return {from, to, to * max_channels + channel, step};
    }
    std::uint64_t channel() const { return std::uint64_t{from} << 32 | to_channel; }
};

// Ends in the order of `key`, which is less than `keys`; of equal ones in the order that they had.
void order_by(std::vector<End>& ends, std::uint32_t End::*key, std::size_t keys) {
    std::vector<std::uint32_t> place(keys + 1);
    for (const End& end : ends) place[end.*key + 1]++;
    for (std::size_t k = 0; k < keys; k++) place[k + 1] += place[k];
    std::vector<End> ordered(ends.size());
    for (const End& end : ends) ordered[place[end.*key]++] = end;
    ends = std::move(ordered);
}

// By channel, and then as they were added.
void order_by_channel(std::vector<End>& ends, std::size_t ranks) {
    order_by(ends, &End::to_channel, ranks * max_channels);
    order_by(ends, &End::from, ranks);
}

}  // namespace

// The n-th message that one rank sends another on a channel is the n-th that this one receives there.
void Flow::join_exactly() {
    std::vector<End> sent, received;
    for (std::uint32_t i = 0; i < steps_.size(); i++) {
        const FlowStep& step = steps_[i];
        if (sends(step.kind) && step.to >= 0) {
            const std::uint32_t to = representative_of_[static_cast<std::size_t>(step.to)];
            if (to != TimedStep::none) sent.push_back(End::make(step.rank, to, step.channel_out, i));
        }
        if (receives(step.kind) && step.channel_in != board_channel) {
            const std::uint32_t from = representative_of_[static_cast<std::size_t>(step.from)];
            if (from != TimedStep::none) received.push_back(End::make(from, step.rank, step.channel_in, i));
        }
    }
    order_by_channel(sent, ranks_.all().size());
    order_by_channel(received, ranks_.all().size());
    for (std::size_t s = 0, r = 0; s < sent.size() && r < received.size();) {
        if (sent[s].channel() < received[r].channel())
            s++;
        else if (received[r].channel() < sent[s].channel())
            r++;
        else
            join(sent[s++].step, received[r++].step);
    }
}

// A rank's n-th publication is the n-th that each other rank receives of it. One stands for several, whose count apart.
void Flow::join_boards() {
    std::vector<std::vector<std::uint32_t>> published(ranks_.all().size());
    std::vector<End> received;
    for (std::uint32_t i = 0; i < steps_.size(); i++) {
        const FlowStep& step = steps_[i];
        if (sends(step.kind) && step.to == everyone) published[step.rank].push_back(i);
        if (receives(step.kind) && step.channel_in == board_channel)
            received.push_back(End{static_cast<std::uint32_t>(step.from), step.rank, 0, i});
    }
    if (received.empty()) return;
    order_by(received, &End::from, static_cast<std::size_t>(map_.rank_count()));
    std::size_t number = 0;
    for (std::size_t r = 0; r < received.size(); r++) {
        const bool goes_on = r > 0 && received[r - 1].from == received[r].from && received[r - 1].to == received[r].to;
        number = goes_on ? number + 1 : 0;
        const auto& of = published[ranks_.stand_in(static_cast<Rank>(received[r].from))];
        if (number < of.size()) join(of[number], received[r].step);
    }
}

// A rank that is not looked at is taken to do what the one like it does, at the same time: the n-th message that a rank
// receives is the n-th that the one like its sender sends.
void Flow::join_by_likeness() {
    std::vector<std::vector<std::uint32_t>> sent(ranks_.all().size()), received(sent.size());
    for (std::uint32_t i = 0; i < steps_.size(); i++) {
        const FlowStep& step = steps_[i];
        if (sends(step.kind) && step.to >= 0) sent[step.rank].push_back(i);
        if (receives(step.kind) && step.channel_in != board_channel) received[step.rank].push_back(i);
    }
    for (const auto& own : received)
        for (std::size_t n = 0; n < own.size(); n++) {
            if (timed_[own[n]].sender != TimedStep::none) continue;
            const auto& of = sent[ranks_.stand_in(steps_[own[n]].from)];
            if (!of.empty()) join(of[n * of.size() / own.size()], own[n]);
        }
    average(received, &FlowStep::latency_ns);
    average(received, &FlowStep::message_in_ns);
    average(sent, &FlowStep::message_out_ns);
}

// A chain of messages goes through many ranks, of which few are looked at: where one in sixteen crosses a slow link,
// one in sixteen of its messages does, and not one in three, as among the first, the last and one between. So what each
// rank's n-th message takes is the mean over all ranks' n-th, where they have the same number.
void Flow::average(const std::vector<std::vector<std::uint32_t>>& messages, double FlowStep::*what) {
    const std::size_t most = std::ranges::max(messages, {}, &std::vector<std::uint32_t>::size).size();
    for (std::size_t n = 0; n < most; n++) {
        double sum = 0, like = 0;
        for (std::size_t r = 0; r < messages.size(); r++) {
            if (messages[r].size() != most) continue;
            sum += steps_[messages[r][n]].*what * ranks_.all()[r].like;
            like += ranks_.all()[r].like;
        }
        for (const auto& own : messages)
            if (own.size() == most) steps_[own[n]].*what = sum / like;
    }
}

double sum_ns_per_byte(const FlowStep& step, std::span<const FlowLink> links, const CostParameters& parameters) {
    if (step.operands != 0) return static_cast<double>(step.operands) * ns_per_byte(parameters.reduce_bytes_per_s);
    return receives(step.kind) && combines(step.kind) ? links[step.level_in].reduce_ns_per_byte : 0;
}

BusyTime busy_time(const FlowStep& step, std::span<const FlowLink> links, const CostParameters& parameters) {
    BusyTime busy{parameters.step_ns, sum_ns_per_byte(step, links, parameters)};
    if (receives(step.kind)) {
        busy.fixed_ns += step.message_in_ns;
        if (!combines(step.kind)) busy.ns_per_byte += links[step.level_in].receive_ns_per_byte;
    }
    if (sends(step.kind)) {
        busy.fixed_ns += step.message_out_ns;
        busy.ns_per_byte += links[step.level_out].send_ns_per_byte;
    }
    if (step.kind == StepKind::copy) busy.ns_per_byte += ns_per_byte(parameters.copy_bytes_per_s);
    return busy;
}

double Flow::steps_of_all() const {
    double steps = 0;
    for (const FlowLane& lane : lanes_) steps += lane.count * ranks_.all()[lane.rank].like;
    return steps;
}

double Flow::cores_of_host() const {
    if (parameters_.cores > 0) return parameters_.cores < topology_.rank_count ? parameters_.cores : 0;
    return topology_.cores_are_short() ? std::max(1.0, static_cast<double>(topology_.cores / topology_.hosts)) : 0;
}

std::size_t Flow::host_of(std::uint32_t rank) const {
    return parameters_.cores > 0 ? 0 : map_.host_of(ranks_.all()[rank].rank);
}

double Flow::like_on_host(std::uint32_t rank) const {
    const Representative& one = ranks_.all()[rank];
    const std::size_t host_level = map_.local_levels();
    return parameters_.cores > 0 || host_level == map_.level_count() ? one.like : one.like_in_part[host_level];
}

void Flow::add_loads(Price& price) const {
    const std::size_t levels = map_.level_count(), count = ranks_.all().size();
    std::vector<double> busy(count), sums(count), out(count * levels), in(count * levels), pairs(levels);
    std::vector<double> to_one(pairs_);
    for (std::size_t i = 0; i < steps_.size(); i++) {
        const FlowStep& step = steps_[i];
        if (timed_[i].pair != TimedStep::none) {
            double& bytes = to_one[timed_[i].pair];
            bytes += step.bytes;
            pairs[step.level_out] = std::max(pairs[step.level_out], bytes * links_[step.level_out].pair_ns_per_byte);
        }
        busy[step.rank] += timed_[i].busy.of(step.bytes);
        sums[step.rank] += step.bytes * sum_ns_per_byte(step, links_, parameters_);
        if (sends(step.kind)) out[step.rank * levels + step.level_out] += step.bytes;
        if (receives(step.kind)) in[step.rank * levels + step.level_in] += step.bytes;
    }
    price.cores_ns = count == 0 ? 0 : *std::ranges::max_element(busy);
    price.reduction_ns = count == 0 ? 0 : *std::ranges::max_element(sums);
    if (const double cores = cores_of_host(); cores > 0) {
        std::vector<double> by_host(static_cast<std::size_t>(map_.rank_count()));
        for (std::uint32_t r = 0; r < count; r++) by_host[host_of(r)] += busy[r] * like_on_host(r) / cores;
        price.cores_ns = std::max(price.cores_ns, *std::ranges::max_element(by_host));
    }
    for (std::size_t level = 0; level < levels; level++) {
        std::vector<double> part_out(map_.part_count(level)), part_in(part_out.size());
        LevelLoad load{.level = map_.level(level).name, .busy_ns = pairs[level]};
        for (std::uint32_t r = 0; r < count; r++) {
            const FlowPlace& at_level = place(r, level);
            const std::size_t at = r * levels + level;
            part_out[at_level.part] += out[at] * at_level.like;
            part_in[at_level.part] += in[at] * at_level.like;
            load.busy_ns = std::max(load.busy_ns, std::max(out[at], in[at]) * links_[level].rank_ns_per_byte);
        }
        load.part_bytes = *std::ranges::max_element(part_out);
        const double most = std::max(load.part_bytes, *std::ranges::max_element(part_in));
        load.busy_ns = std::max(load.busy_ns, most * links_[level].part_ns_per_byte);
        price.levels.push_back(std::move(load));
    }
}

}  // namespace tenon
