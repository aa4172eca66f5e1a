#include "tests/conformance/cases.hpp"

#include <fmt/format.h>

#include <bit>
#include <iterator>
#include <ostream>

#include "library/registry.hpp"
#include "tests/support/covering.hpp"

namespace tenon::conformance {
namespace {

using support::CoveringRow;
using support::Memory;
using support::unset;
using support::Values;

enum Dimension {
    algorithm_,
    transport_,
    type_,
    op_,
    count_,
    ranks_,
    root_,
    in_place_,
    memory_,
    access_,
    streaming_,
    slots_,
    values_,
    dimension_count
};

// With a module (its path, and its network's name) threads are joined by that network alone, since a process keeps the
// modules of its first communicator.
#ifdef NETWORK_MODULE
constexpr TransportChoice among_threads[] = {TransportChoice::network};
constexpr std::string_view network_name = NETWORK_NAME;
const std::vector<std::string> modules = {NETWORK_MODULE};
#else
constexpr TransportChoice among_threads[] = {TransportChoice::inproc, TransportChoice::shm, TransportChoice::network};
constexpr std::string_view network_name = "tcp";
const std::vector<std::string> modules = {};
#endif

// Of one rank in a covering row: blocks are made smaller instead.
constexpr std::size_t most_covering_bytes = 16 << 20;

// Makes the smallest slots, and enough of them for every channel that the algorithms use.
constexpr std::uint64_t least_slot_memory_of_a_peer = 250 << 10;

Rank root_of(int choice, Rank rank_count) { return choice == 0 ? 0 : choice == 1 ? rank_count - 1 : rank_count / 2; }

support::Shape shape_of(const CoveringRow& row, const Ways& ways) {
    const Algorithm& algorithm = algorithms()[static_cast<std::size_t>(row[algorithm_])];
    support::Shape shape{.collective = algorithm.collective,
                         .type = static_cast<DataType>(row[type_]),
                         .op = static_cast<ReduceOp>(row[op_]),
                         .rank_count = ways.rank_counts[static_cast<std::size_t>(row[ranks_])],
                         .count = element_counts[row[count_]]};
    shape.root = root_of(row[root_], shape.rank_count);
    const std::size_t elements = std::max(input_elements(shape, shape.root), output_elements(shape, shape.root));
    const std::size_t bytes = elements * element_bytes(shape.type);
    if (bytes > most_covering_bytes) shape.count /= bytes / most_covering_bytes + 1;
    return shape;
}

// What a dimension that means nothing to a collective must be, so that no row is wasted on it.
bool is_meaningful(const CoveringRow& row) {
    const Algorithm& algorithm = algorithms()[static_cast<std::size_t>(row[algorithm_])];
    const Collective collective = algorithm.collective;
    if (!reduces(collective) && (row[op_] > 0 || row[values_] > 0)) return false;
    if (!is_rooted(collective) && row[root_] > 0) return false;
    if (collective != Collective::barrier) return true;
    return row[type_] <= 0 && row[count_] <= 0 && row[in_place_] <= 0 && row[memory_] <= 0;
}

bool is_allowed(const CoveringRow& row, const Ways& ways) {
    if (row[algorithm_] == unset) return true;
    if (!is_meaningful(row)) return false;
    const Algorithm& algorithm = algorithms()[static_cast<std::size_t>(row[algorithm_])];
    if (row[ranks_] != unset &&
        !serves(algorithm, {.rank_count = ways.rank_counts[static_cast<std::size_t>(row[ranks_])]}))
        return false;
    if (row[count_] == unset) return true;
    const auto type = row[type_] == unset ? DataType::int8 : static_cast<DataType>(row[type_]);
    return serves(algorithm, {.type = type, .count = element_counts[row[count_]]});
}

Case case_of(const CoveringRow& row, const Ways& ways) {
    static constexpr DirectAccess accesses[] = {DirectAccess::automatic, DirectAccess::off, DirectAccess::mapped,
                                                DirectAccess::all};
    const TransportChoice transport = ways.transports[static_cast<std::size_t>(row[transport_])];
    return {.algorithm = &algorithms()[static_cast<std::size_t>(row[algorithm_])],
            .shape = shape_of(row, ways),
            .transport = transport,
            .network = transport == TransportChoice::network ? network_name : "",
            // In rows over a network stores say little; these take that choice for the sockets.
            .sockets = transport == TransportChoice::network && row[streaming_] == 1 ? 4U : 1U,
            .in_place = row[in_place_] == 1,
            .memory = row[memory_] == 1 ? Memory::tenon : Memory::ordinary,
            .direct_access = accesses[row[access_]],
            .streaming_stores = row[streaming_] == 1 ? StreamingStores::on : StreamingStores::off,
            .few_slots = row[slots_] == 1,
            .values = static_cast<Values>(row[values_])};
}

}  // namespace

std::string name_of(const Case& c) {
    const support::Shape& s = c.shape;
    std::string name = fmt::format("{}_{}_{}", name_of(s.collective), c.algorithm->name, name_of(s.type));
    if (reduces(s.collective))
        name += fmt::format("_{}_{}", name_of(s.op),
                            c.values == Values::exact      ? "exact"
                            : c.values == Values::ordinary ? "ordinary"
                                                           : "special");
    name += fmt::format("_{}_of_{}", s.count, s.rank_count);
    if (is_rooted(s.collective)) name += fmt::format("_root_{}", s.root);
    if (c.transport == TransportChoice::shm) name += "_shm";
    if (c.transport == TransportChoice::network) name += fmt::format("_{}", c.network);
    if (c.sockets > 1) name += fmt::format("_{}_sockets", c.sockets);
    if (c.in_place) name += "_in_place";
    if (c.memory == Memory::tenon) name += "_tenon_memory";
    if (c.direct_access == DirectAccess::off) name += "_staged";
    if (c.direct_access == DirectAccess::mapped) name += "_mapped";
    if (c.direct_access == DirectAccess::all) name += "_all_direct";
    if (c.streaming_stores == StreamingStores::on) name += "_streaming";
    if (c.few_slots) name += "_few_slots";
    return name;
}

void PrintTo(const Case& c, std::ostream* out) { *out << name_of(c); }

bool serves(const Algorithm& algorithm, const support::Shape& shape) {
    const bool power_of_two = std::has_single_bit(static_cast<unsigned>(shape.rank_count));
    return (power_of_two || !algorithm.needs.power_of_two_ranks) && shape.rank_count <= algorithm.needs.max_ranks &&
           shape.count * element_bytes(shape.type) <= algorithm.needs.max_bytes.value;
}

Config config_of(const Case& c) {
    Config config;
    config.timeout_ms = 100'000;
    config.plugins = modules;
    config.transport = c.transport;
    config.network = c.network;
    config.sockets_per_peer = c.sockets;
    config.direct_access = c.direct_access;
    config.streaming_stores = c.streaming_stores;
    if (c.few_slots)
        config.slot_memory = {static_cast<std::uint64_t>(c.shape.rank_count) * least_slot_memory_of_a_peer};
    if (c.algorithm != nullptr)
        config.algorithms = {{.collective = c.algorithm->collective, .name = std::string{c.algorithm->name}}};
    return config;
}

std::span<const TransportChoice> transports_among_threads() { return among_threads; }

std::vector<Case> covering_cases(const Ways& ways) {
    std::vector<int> sizes(dimension_count, 2);
    sizes[algorithm_] = static_cast<int>(algorithms().size());
    sizes[transport_] = static_cast<int>(ways.transports.size());
    sizes[type_] = data_type_count;
    sizes[op_] = reduce_op_count;
    sizes[count_] = std::size(element_counts);
    sizes[ranks_] = static_cast<int>(ways.rank_counts.size());
    sizes[root_] = 3;
    sizes[access_] = 4;
    std::vector<Case> cases;
    const auto allowed = [&](const CoveringRow& row) { return is_allowed(row, ways); };
    for (const CoveringRow& row : support::cover_pairs(sizes, allowed)) cases.push_back(case_of(row, ways));
    return cases;
}

}  // namespace tenon::conformance
