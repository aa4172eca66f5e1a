// Which algorithm a call uses, and why. Decided from agreed facts only (the request, the topology, the configuration),
// so that all ranks choose the same.
//
// The order of precedence: what the user forced; in deterministic mode, rows whose sum is the tree; then the first row
// of the measured table (table.cpp) that fits. Immutable after construction; thread-safe.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/algorithm_choice.hpp"
#include "tenon/plugin/algorithm.hpp"

namespace tenon {

struct Choice {
    const Algorithm* algorithm = nullptr;
    std::string reason;
};

// A row of the table: the first that fits is chosen.
struct TableRow {
    Collective collective;
    Rank min_ranks, max_ranks;
    enum class Cores { any, enough, few } cores;
    std::uint64_t max_bytes;  // of the large buffer
    std::string_view algorithm;
    // Of the topology's innermost groups, which are hosts: several of them, and one with several ranks?
    enum class Groups { any, of_several_ranks } groups = Groups::any;
};
std::span<const TableRow> measured_table();
// The same for ranks that do not all share memory.
std::span<const TableRow> measured_table_over_network();

// Bytes of the large buffer, which is what sizes mean in tables and tools.
ByteCount large_buffer_bytes(const Request& request);

class Selection {
public:
    // Fails when a forced name is no algorithm of its collective.
    static Result<Selection> make(std::span<const Algorithm> algorithms, std::vector<AlgorithmChoice> forced);

    Result<Choice> choose(const Request& request, const Topology& topology) const;
    // Why an algorithm cannot serve a request; empty when it can.
    static std::string obstacle(const Algorithm& algorithm, const Request& request);

private:
    Selection(std::span<const Algorithm> algorithms, std::vector<AlgorithmChoice> forced)
        : algorithms_(algorithms), forced_(std::move(forced)) {}
    const Algorithm* find(Collective collective, std::string_view name) const;

    std::span<const Algorithm> algorithms_;
    std::vector<AlgorithmChoice> forced_;
};

}  // namespace tenon
