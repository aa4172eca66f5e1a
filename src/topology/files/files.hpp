// Maps from files of any known format, and to Tenon's own. README.md in this folder says what each format becomes.
//
// Which format a file is in shows in its content, never in its name. Pure functions over bytes, except read_map_file;
// callable from any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "topology/map.hpp"

namespace tenon {

enum class MapFormat : std::uint8_t { tenon_json, hwloc_xml, nccl_xml, rank_table_v1, rank_table_v2, rank_topology };
std::string_view name_of(MapFormat format);

namespace topology_files {
// A second file that says more about the first: the topology file that goes with a rank table of version 2.0.
struct Companion {
    std::string_view bytes, file;
};
}  // namespace topology_files

// The error says what the file may be, where it is none of it.
Result<MapFormat> map_format_of(std::string_view bytes, std::string_view file);

struct ReadMap {
    Map map;
    MapFormat format;
};
// `file` is the name that complaints begin with: the path, as a rule.
Result<ReadMap> read_map(std::string_view bytes, std::string_view file,
                         const topology_files::Companion* companion = nullptr);
Result<ReadMap> read_map_file(const std::string& path, const std::string& companion_path = {});

// Tenon's own JSON, which reads back as an equal map. Its schema: tenon_topology.schema.json in this folder.
std::string json_of(const Map& map);

}  // namespace tenon
