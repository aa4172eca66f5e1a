#include "topology/files/files.hpp"

#include <fmt/format.h>

#include "topology/files/readers.hpp"

namespace tenon {

std::string_view name_of(MapFormat format) {
    switch (format) {
        case MapFormat::tenon_json:
            return "Tenon topology";
        case MapFormat::hwloc_xml:
            return "hwloc XML";
        case MapFormat::nccl_xml:
            return "NCCL topology XML";
        case MapFormat::rank_table_v1:
            return "HCCL rank table 1.x";
        case MapFormat::rank_table_v2:
            return "HCCL rank table 2.0";
        case MapFormat::rank_topology:
            return "HCCL topology file 2.0";
    }
    return "unknown";
}

Result<ReadMap> read_map(std::string_view bytes, std::string_view file, const topology_files::Companion*) {
    auto map = topology_files::read_tenon_json(bytes, file);
    if (!map) return std::unexpected(map.error());
    return ReadMap{std::move(*map), MapFormat::tenon_json};
}

}  // namespace tenon
