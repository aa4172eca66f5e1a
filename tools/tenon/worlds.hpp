// Topologies as a command line names them: a file, a named machine, or a shape in words.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tenon/plugin/topology.hpp"

namespace tenon {

struct WorldOptions {
    std::string file, machine, groups;
    std::vector<std::string> links;
    std::optional<Rank> rank_count;
    std::optional<std::int32_t> cores;  // of each host
};

void add_world_options(CLI::App& command, WorldOptions& options);
// Where nothing is named: so many ranks (4) of this host.
Result<Topology> world_of(const WorldOptions& options);
// "4 server, 1 cluster": groups of each level.
std::string in_words(const Topology& topology);

}  // namespace tenon
