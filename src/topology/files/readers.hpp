// The readers of each format, for files.cpp, which finds out which one a file is for, and for their fuzzers.
//
// Each takes all bytes of a file and the name that its complaints begin with. No bytes crash a reader, and none makes
// it run away: sizes, counts and nesting are bounded (map.hpp, and the constants of each reader).
#pragma once

#include <string_view>

#include "topology/files/files.hpp"

namespace tenon::topology_files {

Result<Map> read_tenon_json(std::string_view bytes, std::string_view file);
Result<Map> read_hwloc_xml(std::string_view bytes, std::string_view file);
Result<Map> read_nccl_xml(std::string_view bytes, std::string_view file);
// Template 2, versions 1.0 and 1.2, and MindCluster's global table of these.
Result<Map> read_rank_table_v1(std::string_view bytes, std::string_view file);
// Version 2.0, with the links of its topology file where that is given; and a topology file by itself.
Result<Map> read_rank_table_v2(std::string_view bytes, std::string_view file, const Companion* topology);
Result<Map> read_rank_topology(std::string_view bytes, std::string_view file);

}  // namespace tenon::topology_files
