// What `tenon-perf moe` shows of each row: as a table, JSON lines or CSV.
#pragma once

#include <string>

#include "perf/options.hpp"
#include "perf/timing.hpp"

namespace tenon::perf {

struct MoeRow {
    std::string model{}, routing{}, call{}, path{};
    DataType type{};
    std::uint64_t hidden = 0, tokens = 0;  // of the rank that has most
    Rank ranks = 1;
    std::string transport{};
    std::uint64_t received_bytes = 0, from_others_bytes = 0;  // of the rank that receives most
    std::uint64_t inside_bytes = 0, leaving_bytes = 0;  // of a call, that ranks sent others of their node and of others
    std::uint64_t least_leaving_bytes = 0;              // of this routing
    std::uint64_t crossing_rows = 0;                    // of a dispatch, from node to node
    std::uint64_t calls = 0;                            // of the library's, that were made in all
    double imbalance = 1;                               // the most rows of a rank to the mean
    Rank straggler = 0;                                 // whose calls take longest after a common start
    double straggles = 1;                               // its time to the median rank's
    bool is_checked = true;
    Figures figures{};
};

void print_moe_head(const Options& options);
void print_moe_row(const Options& options, const MoeRow& row);

}  // namespace tenon::perf
