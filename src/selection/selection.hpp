// Which algorithm a call uses, and why. Decided from agreed facts only (the request, the topology, the configuration),
// so that all ranks choose the same.
//
// The order of precedence, among what can serve the call (in deterministic mode: what forms the tree):
// - what the user forced (TENON_ALGORITHM);
// - what a tuning file says of this layout and size (TENON_TUNING_FILE);
// - the first row of the measured table (table.cpp) that fits, for layouts like those it was measured on;
// - otherwise what has the lowest price (plan/cost.hpp), of sizes rounded up to a quarter of an octave, so that calls
//   of many sizes need few prices.
// Immutable after construction; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "config/algorithm_choice.hpp"
#include "config/config.hpp"
#include "plan/cost.hpp"
#include "selection/tuning.hpp"
#include "tenon/plugin/algorithm.hpp"

namespace tenon {

struct Choice {
    const Algorithm* algorithm = nullptr;
    std::string reason;
};

// An algorithm beside the others that were thought of.
struct Candidate {
    const Algorithm* algorithm = nullptr;
    std::string obstacle;          // why it cannot serve the call; empty where it can
    std::optional<Price> price{};  // where it can
};

// A row of the table: the first that fits is chosen.
struct TableRow {
    Collective collective;
    Rank min_ranks, max_ranks;
    enum class Cores { any, enough, few } cores;
    std::uint64_t max_bytes;  // of the large buffer
    std::string_view algorithm;
    // Of the topology's innermost groups, which are hosts: several of them, or just two, and one with several ranks?
    enum class Groups { any, of_several_ranks, two_of_several_ranks } groups = Groups::any;
};
std::span<const TableRow> measured_table();
// The same for ranks that do not all share memory.
std::span<const TableRow> measured_table_over_network();
// Was one of them measured on such layouts? Those are ranks of one host, also where somebody calls some of them groups,
// and hosts of one or several ranks, on a network that is no quicker than 10 Gbit/s as far as anybody knows.
bool is_measured_layout(const Topology& topology);

// Bytes of the large buffer, which is what sizes mean in tables and tools.
ByteCount large_buffer_bytes(const Request& request);

// Choices that were priced, for whoever asks again: a communicator's, for its one topology. Bounded. Not thread-safe.
class PricedChoices {
public:
    using Key = std::tuple<Collective, std::uint64_t, DataType, Rank>;
    static Key key_of(const Request& request) {
        return {request.collective, request.count.value, request.type, request.root};
    }
    const Choice* find(const Key& key) const {
        const auto at = known_.find(key);
        return at == known_.end() ? nullptr : &at->second;
    }
    const Choice& put(const Key& key, Choice choice) {
        if (known_.size() >= most) known_.clear();
        return known_.insert_or_assign(key, std::move(choice)).first->second;
    }

private:
    static constexpr std::size_t most = 1024;
    std::map<Key, Choice> known_;
};

class Selection {
public:
    // Fails when a forced or tuned name is no algorithm of its collective.
    static Result<Selection> make(std::span<const Algorithm> algorithms, std::vector<AlgorithmChoice> forced,
                                  Tuning tuning = {});
    // With what the configuration says; reads the tuning file if there is one.
    static Result<Selection> make(std::span<const Algorithm> algorithms, const Config& config);

    // Of a topology to which the tuning has been applied. The same with and without `known`, where prices are kept.
    Result<Choice> choose(const Request& request, const Topology& topology, PricedChoices* known = nullptr) const;
    // Every algorithm of the collective, with its price for this very size; in the order of the manifest.
    std::vector<Candidate> candidates(const Request& request, const Topology& topology) const;
    // Why an algorithm cannot serve a request; empty when it can.
    static std::string obstacle(const Algorithm& algorithm, const Request& request);
    const Tuning& tuning() const { return tuning_; }

private:
    Selection(std::span<const Algorithm> algorithms, std::vector<AlgorithmChoice> forced, Tuning tuning)
        : algorithms_(algorithms), forced_(std::move(forced)), tuning_(std::move(tuning)) {}
    const Algorithm* find(Collective collective, std::string_view name) const;
    Result<void> check_names() const;
    std::optional<Choice> by_tuning(const Request& request, const Topology& topology) const;
    std::optional<Choice> by_table(const Request& request, const Topology& topology) const;
    std::optional<Choice> by_price(const Request& request, const Topology& topology) const;

    std::span<const Algorithm> algorithms_;
    std::vector<AlgorithmChoice> forced_;
    Tuning tuning_;
};

}  // namespace tenon
