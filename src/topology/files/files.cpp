#include "topology/files/files.hpp"

#include <fmt/format.h>

#include "os/whole_file.hpp"
#include "topology/files/json_file.hpp"
#include "topology/files/readers.hpp"

namespace tenon {
namespace {

using topology_files::Json;

constexpr std::string_view known =
    "a Tenon topology, hwloc XML, NCCL topology XML, an HCCL rank table or an HCCL topology file";

std::unexpected<Error> unknown_file(std::string_view file, std::string_view why) {
    return fail(Status::invalid_argument, fmt::format("{}: {}; what can be read is {}", file, why, known));
}

// The name of the outermost element: what stands behind the first < that begins no comment or declaration.
std::string_view outermost_element(std::string_view xml) {
    while (true) {
        const std::size_t start = xml.find('<');
        if (start == std::string_view::npos) return {};
        xml.remove_prefix(start);
        const bool is_comment = xml.starts_with("<!--");
        if (!is_comment && !xml.starts_with("<!") && !xml.starts_with("<?")) {
            const std::string_view name = xml.substr(1);
            return name.substr(0, name.find_first_of(" \t\r\n/>"));
        }
        const std::size_t end = xml.find(is_comment ? "-->" : ">");
        if (end == std::string_view::npos) return {};
        xml.remove_prefix(end + 1);
    }
}

Result<MapFormat> xml_format(std::string_view bytes, std::string_view file) {
    const std::string_view element = outermost_element(bytes);
    if (element == "topology") return MapFormat::hwloc_xml;
    if (element == "system") return MapFormat::nccl_xml;
    if (element == "graphs") return unknown_file(file, "NCCL's graph search results (<graphs>) are no topology");
    if (element == "algo") return unknown_file(file, "an MSCCL algorithm (<algo>) is no topology");
    return unknown_file(file, fmt::format("XML whose outermost element is <{:.32}>", element));
}

Result<MapFormat> json_format(std::string_view bytes, std::string_view file) {
    const auto parsed = topology_files::parse_json(bytes, file);
    if (!parsed) return std::unexpected(parsed.error());
    const auto has = [&](const char* key) { return parsed->is_object() && parsed->contains(key); };
    if (has("tenon_topology")) return MapFormat::tenon_json;
    if (has("edge_list") || has("peer_list")) return MapFormat::rank_topology;
    if (has("rank_list")) return MapFormat::rank_table_v2;
    if (has("server_list") || has("group_list") || has("server_group_list")) return MapFormat::rank_table_v1;
    if (has("version") && (*parsed)["version"] == "2.0") return MapFormat::rank_table_v2;
    return unknown_file(file, "JSON without tenon_topology, rank_list, server_list, group_list or edge_list");
}

Result<Map> read_as(MapFormat format, std::string_view bytes, std::string_view file,
                    const topology_files::Companion* companion) {
    switch (format) {
        case MapFormat::tenon_json:
            return topology_files::read_tenon_json(bytes, file);
        case MapFormat::hwloc_xml:
            return topology_files::read_hwloc_xml(bytes, file);
        case MapFormat::nccl_xml:
            return topology_files::read_nccl_xml(bytes, file);
        case MapFormat::rank_table_v1:
            return topology_files::read_rank_table_v1(bytes, file);
        case MapFormat::rank_table_v2:
            return topology_files::read_rank_table_v2(bytes, file, companion);
        case MapFormat::rank_topology:
            return topology_files::read_rank_topology(bytes, file);
    }
    return fail(Status::internal_error, "a map's format that has no reader");
}

}  // namespace

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

Result<MapFormat> map_format_of(std::string_view bytes, std::string_view file) {
    std::string_view text = bytes;
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    const std::size_t start = text.find_first_not_of(" \t\r\n");
    if (start == std::string_view::npos) return unknown_file(file, "the file is empty");
    if (text[start] == '<') return xml_format(text, file);
    if (text[start] == '{' || text[start] == '[' || text[start] == '/') return json_format(text, file);
    return unknown_file(file, "neither XML nor JSON");
}

Result<ReadMap> read_map(std::string_view bytes, std::string_view file, const topology_files::Companion* companion) {
    const auto format = map_format_of(bytes, file);
    if (!format) return std::unexpected(format.error());
    if (companion != nullptr && *format != MapFormat::rank_table_v2)
        return fail(Status::invalid_argument,
                    fmt::format("{}: a topology file goes with a rank table of version 2.0, but this is a {}", file,
                                name_of(*format)));
    auto map = read_as(*format, bytes, file, companion);
    if (!map) return std::unexpected(map.error());
    return ReadMap{std::move(*map), *format};
}

Result<ReadMap> read_map_file(const std::string& path, const std::string& companion_path) {
    const auto bytes = os::read_whole_file(path, topology_files::max_json_bytes);
    if (!bytes) return std::unexpected(bytes.error());
    if (companion_path.empty()) return read_map(*bytes, path);
    const auto more = os::read_whole_file(companion_path, topology_files::max_json_bytes);
    if (!more) return std::unexpected(more.error());
    const topology_files::Companion companion{*more, companion_path};
    return read_map(*bytes, path, &companion);
}

}  // namespace tenon
