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

// Of one rank, and in the product with few slots: blocks are made smaller instead. These go round the rings several
// times, and further turns are like them. (1M + 3 elements of four bytes are still whole.)
constexpr std::size_t most_bytes = 5 << 20, most_bytes_in_few_slots = 512 << 10;

// Makes the smallest slots, and enough of them for every channel that the algorithms use.
constexpr std::uint64_t least_slot_memory_of_a_peer = 250 << 10;

Rank root_of(int choice, Rank rank_count) { return choice == 0 ? 0 : choice == 1 ? rank_count - 1 : rank_count / 2; }

support::Shape no_larger(support::Shape shape, std::size_t limit) {
    const std::size_t elements = std::max(input_elements(shape, shape.root), output_elements(shape, shape.root));
    const std::size_t bytes = elements * element_bytes(shape.type);
    if (bytes > limit) shape.count /= bytes / limit + 1;
    return shape;
}

support::Shape shape_of(const CoveringRow& row, const Ways& ways) {
    const Algorithm& algorithm = algorithms()[static_cast<std::size_t>(row[algorithm_])];
    support::Shape shape{.collective = algorithm.collective,
                         .type = static_cast<DataType>(row[type_]),
                         .op = static_cast<ReduceOp>(row[op_]),
                         .rank_count = ways.rank_counts[static_cast<std::size_t>(row[ranks_])],
                         .count = element_counts[row[count_]]};
    shape.root = root_of(row[root_], shape.rank_count);
    return no_larger(shape, most_bytes);
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
            .groups = ways.plays_groups ? groups_among_threads(ways.rank_counts[static_cast<std::size_t>(row[ranks_])],
                                                               static_cast<std::size_t>(row[count_]))
                                        : "",
            .in_place = row[in_place_] == 1,
            .memory = row[memory_] == 1 ? Memory::tenon : Memory::ordinary,
            .direct_access = accesses[row[access_]],
            .streaming_stores = row[streaming_] == 1 ? StreamingStores::on : StreamingStores::off,
            .few_slots = row[slots_] == 1,
            .values = static_cast<Values>(row[values_])};
}

// The row of a size in the configuration number `together` of the product, not in place and in ordinary memory. Over
// all of them each type has each size, and each algorithm each type.
CoveringRow product_row(int algorithm, int transport, int slots, int together, int count) {
    const Collective collective = algorithms()[static_cast<std::size_t>(algorithm)].collective;
    const int turn = together * static_cast<int>(std::size(element_counts)) + count;
    CoveringRow row(dimension_count, 0);
    row[algorithm_] = algorithm;
    row[transport_] = transport;
    row[slots_] = slots;
    row[access_] = (together + together / 4) % 4;
    row[streaming_] = (together / 2 + together / 8) % 2;
    row[count_] = count;
    if (collective != Collective::barrier) row[type_] = (turn + together / 2) % static_cast<int>(data_type_count);
    if (is_rooted(collective)) row[root_] = turn % 3;
    if (reduces(collective)) {
        row[op_] = turn % static_cast<int>(reduce_op_count);
        row[values_] = turn / 2 % 2;
    }
    return row;
}

void add_ways_to_hold(const CoveringRow& size, const Ways& ways, std::vector<Case>& cases) {
    for (const int held : {0, 1, 2, 3}) {
        CoveringRow row = size;
        row[in_place_] = held % 2;
        row[memory_] = held / 2;
        if (!is_allowed(row, ways)) continue;
        Case& c = cases.emplace_back(case_of(row, ways));
        c.shape = no_larger(c.shape, c.few_slots ? most_bytes_in_few_slots : most_bytes);
    }
}

}  // namespace

std::string name_of(const CasesTogether& together) {
    const Case& c = together.cases.front();
    return fmt::format("{}_{}{}{}", name_of(c.shape.collective), c.algorithm->name,
                       c.transport == TransportChoice::network ? "_network" : "", c.few_slots ? "_few_slots" : "");
}

void PrintTo(const CasesTogether& together, std::ostream* out) { *out << name_of(together); }

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
    if (c.algorithm->name.starts_with("hierarchical"))
        for (const char letter : c.groups.empty() ? "" : "_in_" + c.groups)
            name += letter == ',' ? '_' : letter;  // GoogleTest's names are words
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
    config.groups = c.groups;
    config.direct_access = c.direct_access;
    config.streaming_stores = c.streaming_stores;
    if (c.few_slots)
        config.slot_memory = {static_cast<std::uint64_t>(c.shape.rank_count) * least_slot_memory_of_a_peer};
    if (c.algorithm != nullptr)
        config.algorithms = {{.collective = c.algorithm->collective, .name = std::string{c.algorithm->name}}};
    return config;
}

std::span<const TransportChoice> transports_among_threads() { return among_threads; }

std::string groups_among_threads(Rank rank_count, std::size_t number) {
    static constexpr std::string_view of_eight[] = {"2x4", "3,1,4", "2x2x2", "4x2", "1,7"};
    if (rank_count == 8) return std::string{of_eight[number % std::size(of_eight)]};
    if (rank_count == 4) return number % 2 == 0 ? "2x2" : "3,1";
    return rank_count == 3 ? "2,1" : "";
}

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

std::vector<CasesTogether> product_cases(const Ways& ways) {
    std::vector<CasesTogether> all;
    int number = 0;
    for (int algorithm = 0; algorithm < static_cast<int>(algorithms().size()); algorithm++)
        for (int transport = 0; transport < static_cast<int>(ways.transports.size()); transport++)
            for (int slots = 0; slots < 2; slots++, number++) {
                CasesTogether together;
                for (int count = 0; count < static_cast<int>(std::size(element_counts)); count++)
                    add_ways_to_hold(product_row(algorithm, transport, slots, number, count), ways, together.cases);
                if (!together.cases.empty()) all.push_back(std::move(together));
            }
    return all;
}

}  // namespace tenon::conformance
