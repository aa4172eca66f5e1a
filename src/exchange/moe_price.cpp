#include "exchange/moe_price.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "exchange/moe_routing.hpp"
#include "plan/flow.hpp"
#include "plan/representatives.hpp"

namespace tenon {
namespace {

constexpr double slot_bytes_unless_known = 64 << 10;

// The chance that a token needs one of so many experts.
class Need {
public:
    explicit Need(const MoeShape& shape) : experts_(shape.experts), top_k_(std::min(shape.top_k, shape.experts)) {}
    double of(double experts) const {
        double none = 1;
        for (std::uint32_t i = 0; i < top_k_; i++) none *= std::max(0.0, (experts_ - experts - i) / (experts_ - i));
        return 1 - none;
    }
    // How many of a token's slots go there.
    double slots(double experts) const { return top_k_ * experts / experts_; }

private:
    double experts_;
    std::uint32_t top_k_;
};

// What one exchange moves, in so many rounds, and what that takes.
class Load {
public:
    Load(const LevelMap& map, const std::vector<FlowLink>& links, const Topology& topology, std::uint64_t rounds)
        : map_(map), links_(links), topology_(topology), rounds_(static_cast<double>(rounds)),
          slot_bytes_(topology.slot_bytes != 0 ? static_cast<double>(topology.slot_bytes) : slot_bytes_unless_known),
          core_ns_(static_cast<std::size_t>(map.rank_count())), level_bytes_(map.level_count()) {
        for (std::size_t level = 0; level < map.level_count(); level++) {
            rank_out_.emplace_back(core_ns_.size());
            rank_in_.emplace_back(core_ns_.size());
            part_out_.emplace_back(map.part_count(level));
            part_in_.emplace_back(map.part_count(level));
        }
    }

    void add(Rank from, Rank to, double rows, double row_bytes) {
        if (from == to || rows <= 0) return;
        const auto f = static_cast<std::size_t>(from), t = static_cast<std::size_t>(to);
        const std::size_t level = map_.level_between(from, to);
        const FlowLink& link = links_[level];
        const double bytes = rows * row_bytes, messages = std::max(std::min(rounds_, rows), bytes / slot_bytes_);
        level_bytes_[level] += bytes;
        rank_out_[level][f] += bytes;
        rank_in_[level][t] += bytes;
        part_out_[level][map_.part_of(level, from)] += bytes;
        part_in_[level][map_.part_of(level, to)] += bytes;
        core_ns_[f] += messages * link.message_ns + bytes * link.send_ns_per_byte;
        core_ns_[t] += messages * link.message_ns + bytes * link.receive_ns_per_byte;
        latency_ns_ = std::max(latency_ns_, link.latency_ns);
    }

    double latency_ns() const { return rounds_ * latency_ns_; }
    const std::vector<double>& level_bytes() const { return level_bytes_; }
    // Of the busiest core.
    double cores_ns() const {
        const double busiest = std::ranges::max(core_ns_);
        if (!topology_.cores_are_short()) return busiest;
        return std::max(busiest, std::accumulate(core_ns_.begin(), core_ns_.end(), 0.0) / topology_.cores);
    }
    // Without the latency; and what it goes into.
    double busy_ns(std::string& limit) const {
        double busiest = cores_ns();
        limit = "cores";
        for (std::size_t level = 0; level < links_.size(); level++) {
            const double ranks = std::max(std::ranges::max(rank_out_[level]), std::ranges::max(rank_in_[level])),
                         parts = std::max(std::ranges::max(part_out_[level]), std::ranges::max(part_in_[level]));
            const double ns =
                std::max(ranks * links_[level].rank_ns_per_byte, parts * links_[level].part_ns_per_byte);
            if (ns <= busiest) continue;
            busiest = ns;
            limit = "links of a " + map_.level(level).name;
        }
        return busiest;
    }

private:
    const LevelMap& map_;
    const std::vector<FlowLink>& links_;
    const Topology& topology_;
    double rounds_, slot_bytes_, latency_ns_ = 0;
    std::vector<double> core_ns_, level_bytes_;
    std::vector<std::vector<double>> rank_out_, rank_in_, part_out_, part_in_;  // by level
};

// What a rank's tokens need, as many of each token's rows and slots as are expected.
struct Expected {
    std::vector<double> rows, slots;  // by rank
    std::vector<double> node_rows;
};

// Equally near copies of an expert take turns by token, so tokens of one phase know one copy of each. Many phases are
// too many to be looked at; then the first stand for all.
std::uint64_t phases_of(const MoeShape& shape, const MoeCopies& copies) {
    constexpr std::uint64_t most_phases = 12;
    std::uint64_t phases = 1;
    for (std::uint32_t e = 0; e < shape.experts && phases < most_phases; e++)
        phases = std::lcm(phases, std::max<std::uint64_t>(copies.count(e), 1));
    return std::min(phases, most_phases);
}

Expected expected_of(const MoeShape& shape, Rank rank, std::span<const std::int32_t> node_of,
                     const MoeForwarders& forwarders) {
    const std::size_t ranks = node_of.size(), nodes = forwarders.nodes();
    const Need need(shape);
    const MoeCopies copies(shape, rank, node_of);
    const std::uint64_t phases = phases_of(shape, copies);
    Expected made{std::vector<double>(ranks), std::vector<double>(ranks), std::vector<double>(nodes)};
    for (std::uint64_t phase = 0; phase < phases; phase++) {
        std::vector<double> experts(ranks), on_node(nodes);
        for (std::uint32_t e = 0; e < shape.experts; e++)
            if (copies.count(e) != 0) experts[static_cast<std::size_t>(copies.of(e, phase).rank)]++;
        for (std::size_t r = 0; r < ranks; r++) {
            if (experts[r] == 0) continue;
            on_node[static_cast<std::size_t>(forwarders.node_of(static_cast<Rank>(r)))] += experts[r];
            made.rows[r] += need.of(experts[r]) / static_cast<double>(phases);
            made.slots[r] += need.slots(experts[r]) / static_cast<double>(phases);
        }
        for (std::size_t n = 0; n < nodes; n++)
            if (on_node[n] != 0) made.node_rows[n] += need.of(on_node[n]) / static_cast<double>(phases);
    }
    return made;
}

// All that both ways move, of dispatch and combine, and of both legs.
class Ways {
public:
    Ways(const MoeShape& shape, std::span<const std::int32_t> node_of, const Topology& topology,
         const CostParameters& parameters)
        : shape_(shape),
          node_of_(node_of),
          topology_(topology),
          map_(topology),
          links_(flow_links(map_, parameters)),
          forwarders_(node_of, shape.masked),
          rounds_(MoeHierarchy::rounds_of(shape, forwarders_)),
          tokens_(static_cast<double>(shape.most_tokens)),
          row_bytes_(static_cast<double>(shape.dispatch_row_bytes())),
          back_bytes_(static_cast<double>(shape.combine_row_bytes())),
          partial_bytes_(static_cast<double>(shape.hidden * element_bytes(shape.partial_type))) {
        for (Rank r = 0; r < map_.rank_count(); r++)
            if (!shape.is_masked(r)) add_rank(r);
    }

    MoeWayPrice flat() const {
        return price({&flat_out_}, {&flat_back_}, flat_leaving_);
    }
    MoeWayPrice hierarchical() const {
        return price({&across_out_, &within_out_}, {&within_back_, &across_back_}, hierarchical_leaving_);
    }
    std::uint64_t rounds() const { return rounds_; }
    double per_expert_leaving() const { return per_expert_leaving_; }

private:
    void add_rank(Rank own) {
        const Expected expected = expected_of(shape_, own, node_of_, forwarders_);
        const std::int32_t own_node = forwarders_.node_of(own);
        for (Rank to = 0; to < map_.rank_count(); to++) {
            const auto at = static_cast<std::size_t>(to);
            if (expected.rows[at] == 0) continue;
            const std::int32_t node = forwarders_.node_of(to);
            const double rows = tokens_ * expected.rows[at], slots = tokens_ * expected.slots[at];
            const double back = shape_.layout == MoeLayout::expert_major ? slots : rows;
            flat_out_.add(own, to, rows, row_bytes_);
            flat_back_.add(to, own, back, back_bytes_);
            within_out_.add(forwarders_.of(own, node), to, rows, row_bytes_);
            within_back_.add(to, forwarders_.of(own, node), back, back_bytes_);
            if (node == own_node) continue;
            flat_leaving_ += rows * row_bytes_;
            per_expert_leaving_ += slots * row_bytes_;
        }
        for (std::int32_t node = 0; std::cmp_less(node, expected.node_rows.size()); node++) {
            if (node == own_node) continue;
            const double rows = tokens_ * expected.node_rows[static_cast<std::size_t>(node)];
            if (rows == 0) continue;
            across_out_.add(own, forwarders_.of(own, node), rows, row_bytes_);
            across_back_.add(forwarders_.of(own, node), own, rows, partial_bytes_);
            hierarchical_leaving_ += rows * row_bytes_;
        }
    }

    MoeWayPrice price(const std::vector<const Load*>& out, const std::vector<const Load*>& back,
                      double leaving) const {
        MoeWayPrice made{.leaving_bytes = leaving};
        const auto add = [&](const std::vector<const Load*>& legs, double& ns, std::string& limit) {
            // But in the first round and the last, legs overlap, though not on a core.
            double longest = -1, all = 0, overlapped = 0, cores = 0;
            for (const Load* leg : legs) {
                std::string of_leg;
                const double busy = leg->busy_ns(of_leg), latency = leg->latency_ns();
                all += busy + latency;
                cores += leg->cores_ns();
                overlapped = std::max({overlapped, busy + latency, cores});
                if (busy > longest) longest = busy, limit = latency > busy ? "latency" : of_leg;
            }
            ns = overlapped + (all - overlapped) / static_cast<double>(rounds_);
        };
        add(out, made.dispatch_ns, made.dispatch_limit);
        add(back, made.combine_ns, made.combine_limit);
        for (std::size_t level = 0; level < map_.level_count(); level++) {
            MoeLevelBytes bytes{.level = map_.level(level).name};
            for (const Load* leg : out) bytes.dispatch += leg->level_bytes()[level];
            for (const Load* leg : back) bytes.combine += leg->level_bytes()[level];
            made.levels.push_back(std::move(bytes));
        }
        return made;
    }

    const MoeShape& shape_;
    std::span<const std::int32_t> node_of_;
    const Topology& topology_;
    LevelMap map_;
    std::vector<FlowLink> links_;
    MoeForwarders forwarders_;
    std::uint64_t rounds_;
    double tokens_, row_bytes_, back_bytes_, partial_bytes_;
    double flat_leaving_ = 0, hierarchical_leaving_ = 0, per_expert_leaving_ = 0;
    Load flat_out_{map_, links_, topology_, 1}, flat_back_{map_, links_, topology_, 1};
    Load across_out_{map_, links_, topology_, rounds_}, across_back_{map_, links_, topology_, rounds_};
    Load within_out_{map_, links_, topology_, rounds_}, within_back_{map_, links_, topology_, rounds_};
};

}  // namespace

MoePathChoice choose_moe_path(const MoeShape& shape, std::span<const std::int32_t> node_of, const Topology& topology,
                              const CostParameters& parameters) {
    const Ways ways(shape, node_of, topology, parameters);
    const MoeForwarders forwarders(node_of, shape.masked);
    MoePathChoice made{.flat = ways.flat(), .per_expert_leaving_bytes = ways.per_expert_leaving()};
    if (forwarders.nodes() < 2) {
        made.hierarchical = made.flat;
        made.reason = "all ranks are on one node";
        return made;
    }
    made.rounds = ways.rounds();
    made.hierarchical = ways.hierarchical();
    const bool is_hierarchical = made.hierarchical.total_ns() < made.flat.total_ns();
    made.path = is_hierarchical ? MoePath::hierarchical : MoePath::flat;
    const MoeWayPrice &chosen = is_hierarchical ? made.hierarchical : made.flat,
                      &other = is_hierarchical ? made.flat : made.hierarchical;
    made.reason = fmt::format(
        "dispatch and combine take {:.0f} us, limited by {} and {}; {} {:.0f} us, by {} and {}; once to a node saves "
        "{:.2f}x of the bytes that leave nodes",
        chosen.total_ns() / 1e3, chosen.dispatch_limit, chosen.combine_limit, is_hierarchical ? "flat" : "hierarchical",
        other.total_ns() / 1e3, other.dispatch_limit, other.combine_limit,
        made.flat.leaving_bytes / std::max(made.hierarchical.leaving_bytes, 1.0));
    return made;
}

}  // namespace tenon
