#include "tools/tenon/worlds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/values.hpp"
#include "os/process.hpp"
#include "topology/files/files.hpp"
#include "topology/generators.hpp"
#include "topology/projection.hpp"
#include "topology/shape.hpp"

namespace tenon {
namespace {

constexpr Rank most_ranks = 1 << 16;
constexpr Rank ranks_unless_named = 4;

std::unexpected<Error> refuse(std::string why) { return fail(Status::invalid_argument, std::move(why)); }

// "cloudmatrix384:supernodes=2,servers=4"
Result<Map> map_of_machine(std::string_view text) {
    const std::string_view name = text.substr(0, text.find(':'));
    const Generator* generator = generator_named(name);
    if (generator == nullptr) {
        std::vector<std::string_view> known;
        for (const Generator& g : generators()) known.push_back(g.name);
        return refuse(fmt::format("--machine: there is no '{}'; there are: {}", name, fmt::join(known, ", ")));
    }
    GeneratorValues values(generator->parameters);
    if (name.size() == text.size()) return generate(*generator, values);
    for (const std::string_view piece : split(text.substr(name.size() + 1), ',')) {
        const std::size_t equals = std::min(piece.find('='), piece.size());
        const auto at = std::ranges::find(generator->parameters, piece.substr(0, equals), &GeneratorParameter::name);
        const auto value = equals < piece.size() ? parse_number(piece.substr(equals + 1)) : std::nullopt;
        if (at == generator->parameters.end() || !value) {
            std::vector<std::string_view> known;
            for (const GeneratorParameter& p : generator->parameters) known.push_back(p.name);
            return refuse(fmt::format("--machine: '{}' is no parameter=number of {}; there are: {}", piece, name,
                                      fmt::join(known, ", ")));
        }
        values[static_cast<std::size_t>(at - generator->parameters.begin())] = *value;
    }
    return generate(*generator, values);
}

Result<Topology> in_groups(std::string_view shape) {
    auto levels = levels_of_shape(shape);
    if (!levels) return fail(levels.error().status, "--groups: " + levels.error().message);
    if (std::cmp_greater(levels->front().group_of.size(), most_ranks))
        return refuse(fmt::format("--groups: {} holds more than {} ranks", shape, most_ranks));
    Topology made{.rank_count = static_cast<Rank>(levels->front().group_of.size()), .levels = std::move(*levels)};
    made.hosts = *std::ranges::max_element(made.levels.front().group_of) + 1;
    made.has_boards = made.hosts == 1;
    made.cores = made.rank_count;
    return made;
}

// "1gbit", "200mbit", or bytes a second.
std::optional<std::uint64_t> parse_rate(std::string_view text) {
    for (const auto& [unit, bits] : {std::pair{"gbit", 1'000'000'000}, std::pair{"mbit", 1'000'000}})
        if (text.ends_with(unit)) {
            const auto number = parse_number(text.substr(0, text.size() - std::string_view(unit).size()));
            constexpr std::uint64_t most = 1'000'000;
            if (!number || *number > most) return std::nullopt;
            return *number * static_cast<std::uint64_t>(bits) / 8;
        }
    return parse_number(text);
}

// "cluster:latency_ns=20000,part=1gbit,rank=1gbit"
Result<void> set_link(Topology& topology, std::string_view text) {
    const std::string_view name = text.substr(0, text.find(':'));
    const auto level = std::ranges::find(topology.levels, name, &Level::name);
    if (level == topology.levels.end()) {
        std::vector<std::string_view> known;
        for (const Level& l : topology.levels) known.push_back(l.name);
        return refuse(fmt::format("--link: there is no level '{}'; there are: {}", name, fmt::join(known, ", ")));
    }
    for (const std::string_view piece : split(text.substr(std::min(text.size(), name.size() + 1)), ',')) {
        const std::size_t equals = std::min(piece.find('='), piece.size());
        const std::string_view what = piece.substr(0, equals);
        const auto rate = equals < piece.size() ? parse_rate(piece.substr(equals + 1)) : std::nullopt;
        constexpr std::uint64_t most = 1'000'000'000'000'000;
        if (rate && *rate <= most && what == "latency_ns")
            level->link.latency_ns = *rate;
        else if (rate && *rate <= most && what == "rank")
            level->link.rank_bytes_per_s = *rate;
        else if (rate && *rate <= most && what == "part")
            level->link.part_bytes_per_s = *rate;
        else
            return refuse(
                fmt::format("--link: '{}' is none of latency_ns=NUMBER, rank=RATE and part=RATE, where a rate "
                            "is such as 1gbit, 200mbit or 125000000 (bytes a second)",
                            piece));
    }
    return {};
}

Result<Topology> named_world(const WorldOptions& options) {
    if (!options.groups.empty()) return in_groups(options.groups);
    if (!options.machine.empty()) {
        const auto map = map_of_machine(options.machine);
        if (!map) return std::unexpected(map.error());
        return topology_of(*map, options.rank_count);
    }
    if (!options.file.empty()) {
        const auto read = read_map_file(options.file);
        if (!read) return std::unexpected(read.error());
        return topology_of(read->map, options.rank_count);
    }
    const auto cores = os::cores_of_this_thread();
    auto one_host = in_groups(fmt::to_string(options.rank_count.value_or(ranks_unless_named)));
    if (one_host) one_host->cores = cores ? static_cast<std::int32_t>(cores->count()) : 1;
    return one_host;
}

}  // namespace

void add_world_options(CLI::App& command, WorldOptions& options) {
    auto* file = command.add_option("--topology", options.file, "Where the ranks are, from a file (see tenon topo)");
    auto* machine =
        command.add_option("--machine", options.machine, "The same, of a named machine: cloudmatrix384:supernodes=2");
    auto* groups = command.add_option("--groups", options.groups,
                                      "The same, in words: 4x2 is 4 servers of 2 ranks, 2x3x4 2 supernodes of 3 of 4");
    file->excludes(machine)->excludes(groups);
    machine->excludes(groups);
    command
        .add_option("--link", options.links,
                    "What joins a level's parts: cluster:latency_ns=20000,rank=1gbit,part=1gbit")
        ->allow_extra_args(false);
    command.add_option("--ranks", options.rank_count, "How many ranks; of a file or machine, its first (default: all)")
        ->check(CLI::Range(1, most_ranks))
        ->excludes(groups);
    command.add_option("--cores", options.cores, "Cores that the ranks of a host share (default: one for each)")
        ->check(CLI::Range(1, 1 << 16));
}

Result<Topology> world_of(const WorldOptions& options) {
    auto world = named_world(options);
    if (!world) return world;
    for (const std::string& link : options.links)
        if (auto ok = set_link(*world, link); !ok) return std::unexpected(ok.error());
    if (options.cores) world->cores = *options.cores * world->hosts;
    return world;
}

std::string in_words(const Topology& topology) {
    std::vector<std::string> levels;
    for (const Level& level : topology.levels)
        levels.push_back(fmt::format("{} {}", *std::ranges::max_element(level.group_of) + 1, level.name));
    return fmt::format("{} ranks: {}", topology.rank_count, fmt::join(levels, ", "));
}

}  // namespace tenon
