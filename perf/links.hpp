// The links between ranks, one pair at a time: how long a small message takes, and how many bytes a second go each way.
// Measured with the library's send and receive, so through whatever transport joins the two.
#pragma once

#include <functional>
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
    double median() const;  // of all pairs

private:
    std::size_t index(Rank from, Rank to) const {
        return static_cast<std::size_t>(from) * static_cast<std::size_t>(ranks_) + static_cast<std::size_t>(to);
    }
    Rank ranks_;
    std::vector<double> values_;
};

struct LinkFigures {
    PairFigures latency_us;      // one way: half of what there and back takes, of 8 bytes; the same both ways
    PairFigures bandwidth_GBs;   // of messages of 1 MiB behind each other; GB = 10^9 bytes
};

// All ranks call; each gets all figures. `told(from, to)` before each pair, on rank 0.
LinkFigures measure_links(Team& team, const std::function<void(Rank, Rank)>& told);

// What stands out: pairs much slower than the median of all, the slowest first. Empty where none does.
struct SlowLink {
    Rank from, to;
    double value, times_slower;
};
std::vector<SlowLink> slow_latencies(const LinkFigures& figures);
std::vector<SlowLink> slow_bandwidths(const LinkFigures& figures);

}  // namespace tenon::perf
