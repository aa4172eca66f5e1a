#include "topology/files/job_report.hpp"

#include <fmt/format.h>

#include "topology/files/files.hpp"
#include "topology/files/json_file.hpp"

namespace tenon {
namespace {

using topology_files::Json;
using topology_files::JsonElement;
using topology_files::JsonReader;

ReachedRanks read_reached(JsonReader& reader, const JsonElement& element) {
    reader.array_size(element, 4);
    if (element.size() != 4) reader.refuse(element, "is not what is said of ranks");
    if (reader.is_refused()) return {};
    const auto number = [&](std::size_t i) { return static_cast<Rank>(reader.number(element[i], 0, max_places)); };
    ReachedRanks reached{.first = number(0), .count = number(1), .transport = reader.text(element[2])};
    const std::size_t devices = reader.array_size(element[3], most_rank_devices);
    for (std::size_t i = 0; i < devices; i++) reached.devices.push_back(reader.text(element[3][i]));
    return reached;
}

}  // namespace

std::string text_of(const JobReport& report) {
    Json said{{"reached", Json::array()}};
    for (const ReachedRanks& reached : report.reached)
        said["reached"].push_back({reached.first, reached.count, reached.transport, reached.devices});
    if (report.machine) said["machine"] = json_of(*report.machine);
    if (!report.problem.empty()) said["problem"] = report.problem;
    std::string text = said.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (text.size() <= most_report_bytes) return text;
    return text_of(JobReport{.problem = fmt::format("it takes {} bytes to describe; {} are allowed", text.size(),
                                                    most_report_bytes)});
}

Result<JobReport> read_job_report(std::string_view text, std::string_view name) {
    const auto parsed = topology_files::parse_json(text, name);
    if (!parsed) return std::unexpected(parsed.error());
    JsonReader reader{text, name};
    const JsonElement root{*parsed, ""};
    JobReport report;
    const JsonElement reached = reader.member(root, "reached");
    const std::size_t count = reader.array_size(reached, max_places);
    for (std::size_t i = 0; i < count && !reader.is_refused(); i++)
        report.reached.push_back(read_reached(reader, reached[i]));
    if (root.has("problem")) report.problem = reader.text(root["problem"]);
    const std::string machine = root.has("machine") ? reader.text(root["machine"]) : std::string{};
    if (reader.is_refused()) return reader.error();
    if (machine.empty()) return report;
    auto map = read_map(machine, fmt::format("{}: its machine", name));
    if (!map) return std::unexpected(map.error());
    report.machine = std::move(map->map);
    return report;
}

}  // namespace tenon
