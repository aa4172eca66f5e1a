// The links between ranks, one pair at a time: how long a small message takes, and how many bytes a second go each way.
// Measured with the library's send and receive, so through whatever transport joins the two.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "perf/team.hpp"

namespace tenon::perf {

// A square of figures, by sender and receiver; the diagonal is 0.
class PairFigures {
public:
    explicit PairFigures(Rank ranks)
        : ranks_(ranks), values_(static_cast<std::size_t>(ranks) * static_cast<std::size_t>(ranks)) {}
    Rank ranks() const { return ranks_; }
    double& at(Rank from, Rank to) { return values_[index(from, to)]; }
    double at(Rank from, Rank to) const { return values_[index(from, to)]; }
    std::vector<double>& values() { return values_; }

private:
    std::size_t index(Rank from, Rank to) const {
        return static_cast<std::size_t>(from) * static_cast<std::size_t>(ranks_) + static_cast<std::size_t>(to);
    }
    Rank ranks_;
    std::vector<double> values_;
};

// A pair on one host is not to be compared with one that a network joins.
enum class Reach { one_host, other_hosts };
inline constexpr Reach reaches[] = {Reach::one_host, Reach::other_hosts};

// Figures of one kind, and what they are held against: the other pairs of the same reach.
class Comparison {
public:
    // `hosts`: of the ranks. Both must live as long.
    Comparison(const PairFigures& figures, std::span<const std::string> hosts, bool large_is_slow);
    const PairFigures& figures() const { return figures_; }
    std::span<const std::string> hosts() const { return hosts_; }
    Reach reach_of(Rank from, Rank to) const;
    // Of the pairs of this reach; 0 where there is none.
    double best(Reach reach) const { return scale(reach).best; }
    double median(Reach reach) const { return scale(reach).median; }
    double worst(Reach reach) const { return scale(reach).worst; }
    // As slow as the best of its reach: 1.
    double times_slower(Rank from, Rank to) const;
    // Every pair of this reach, the slowest first; of what is the same both ways only one.
    struct Link {
        Rank from, to;
        double value, times_slower;
    };
    std::vector<Link> slowest_first(Reach reach, bool is_both_ways) const;

private:
    struct Scale {
        double best = 0, median = 0, worst = 0;
    };
    const Scale& scale(Reach reach) const { return scales_[static_cast<std::size_t>(reach)]; }
    double times(double value, double best) const;

    const PairFigures& figures_;
    std::span<const std::string> hosts_;
    bool large_is_slow_;
    std::array<Scale, std::size(reaches)> scales_{};
};

struct LinkFigures {
    PairFigures latency_us;      // one way: half of what there and back takes, of 8 bytes; the same both ways
    PairFigures bandwidth_GBs;   // of messages of 1 MiB behind each other; GB = 10^9 bytes
};

// All ranks call; each gets all figures. `told(from, to)` before each pair, on rank 0.
LinkFigures measure_links(Team& team, const std::function<void(Rank, Rank)>& told);

}  // namespace tenon::perf
