// What a call would take: the plans of an algorithm, priced over a Topology.
//
// A price is a small simulation of the call (flow.hpp): each rank works through its plan, one thing at a time; a
// message takes the latency of the level that it crosses and its bytes' time on the links that it shares with other
// ranks'. Where the world is large, only ranks that differ in kind are simulated, each with the weight of those like it
// (representatives.hpp), and only the first tiles of a long call.
//
// Everything that goes in is agreed between the ranks, and doubles are only added, multiplied, divided and compared, by
// one and the same build: so all ranks get the same price, bit for bit. Pure functions; any thread may call them.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/algorithm.hpp"

namespace tenon {

// What ranks do for a message, beside what its link does, and what a link is taken to do where nobody knows. Of rates,
// 0 is no limit.
struct PathCosts {
    double message_ns = 0;            // of each end, but
    double message_latency_part = 0;  // no more than this part of the latency of a level that says it
    double send_bytes_per_s = 0;      // what a core moves into the path, and
    double receive_bytes_per_s = 0;   // out of it
    double latency_ns = 0;            // of a level that does not say
    double link_bytes_per_s = 0;      // of a part of a level that does not say
    friend bool operator==(const PathCosts&, const PathCosts&) = default;
};

// Facts about cores. The defaults are those of small virtual machines (README.md says where they come from); a tuning
// file has others.
struct CostParameters {
    PathCosts memory{.message_ns = 40,
                     .message_latency_part = 0.25,
                     .send_bytes_per_s = 14e9,
                     .receive_bytes_per_s = 14e9,
                     .latency_ns = 60};
    PathCosts network{.message_ns = 4'000,
                      .message_latency_part = 0.25,
                      .send_bytes_per_s = 3e9,
                      .receive_bytes_per_s = 2.5e9,
                      .latency_ns = 15'000,
                      .link_bytes_per_s = 1.25e9};
    double step_ns = 10;
    double copy_bytes_per_s = 12e9;
    double reduce_bytes_per_s = 10e9;  // of each operand
    double cores = 0;                  // that all ranks share, as hosts of one machine do; 0: each host has its own
    friend bool operator==(const CostParameters&, const CostParameters&) = default;
};

// How much of the call a level takes.
struct LevelLoad {
    std::string level;
    double part_bytes = 0;  // out of the part that sends most across this level
    double busy_ns = 0;     // of the busiest link: a part's, or a single rank's
};

struct Price {
    double total_ns = 0;
    double latency_ns = 0;    // what would be left if every message were empty
    double cores_ns = 0;      // the busiest rank's messages, copies and sums
    double reduction_ns = 0;  // the sums alone
    std::vector<LevelLoad> levels;
    std::size_t simulated_ranks = 0;

    // What the time goes into: "latency", "cores", or the level whose links are busy longest.
    std::string limit() const;
};

struct PriceLimits {
    std::size_t steps = 20'000;  // that are simulated, over all ranks and tiles, if it can be helped
    bool is_only_total = false;  // nothing but Price::total_ns is wanted
    double most_ns = std::numeric_limits<double>::infinity();  // a price of more is infinite, and found sooner
};

// An error is the algorithm's own. The request's rank counts for nothing.
Result<Price> price(const Algorithm& algorithm, const Request& request, const Topology& topology,
                    const CostParameters& parameters = {}, const PriceLimits& limits = {});

// The same of plans that are there: of all ranks, in order.
Price price(std::span<const Plan> plans, const Request& request, const Topology& topology,
            const CostParameters& parameters = {});

// What can be said before anything is simulated, from the plan of one rank: far quicker than a price.
struct Outlook {
    double least_ns = 0;    // for so long its core is busy; price() of the same call is no less
    std::size_t steps = 0;  // of the rank
};
Result<Outlook> outlook(const Algorithm& algorithm, Request request, const Topology& topology,
                        const CostParameters& parameters = {});

}  // namespace tenon
