// A rank's report to rank 0 is a JSON object, bounded and parsed as strictly as a file:
//   "reached": [[first, count, "tcp", ["eth0"]], ...]    how it reaches the others, in order (topology/job_map.hpp)
//   "machine": "..."                                     of a host's lowest rank: its machine, as Tenon's own JSON
//   "problem": "..."                                     instead, where that could not be had
#include "tools/tenon/job_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bootstrap/launch.hpp"
#include "communicator/communicator.hpp"
#include "topology/files/files.hpp"
#include "topology/files/json_file.hpp"
#include "topology/job_map.hpp"
#include "topology/machine/machine.hpp"

namespace tenon {
namespace {

using topology_files::JsonElement;
using topology_files::JsonReader;

constexpr std::uint64_t most_report_bytes = 64 << 20;

const HostNetwork* network_of(const Meeting& meeting, std::size_t host) {
    return host < meeting.networks.size() ? &meeting.networks[host] : nullptr;
}

// ---- what a rank says -----------------------------------------------------------------------------------------------

std::vector<ReachedRanks> reached_from(Communicator& ranks) {
    const Meeting& meeting = *ranks.meeting();
    const std::int32_t own_host = meeting.ranks[static_cast<std::size_t>(ranks.rank())].host;
    const HostNetwork* const network = network_of(meeting, static_cast<std::size_t>(own_host));
    std::vector<ReachedRanks> all;
    for (Rank peer = 0; peer < ranks.rank_count(); peer++) {
        if (peer == ranks.rank()) continue;
        ReachedRanks reached{.first = peer, .count = 1, .transport = std::string(ranks.transport_name(peer))};
        if (meeting.ranks[static_cast<std::size_t>(peer)].host != own_host) {
            reached.devices = devices_in_words(ranks.network_in_words(), reached.transport);
            if (reached.transport == "tcp" && network != nullptr && !network->interface.empty())
                reached.devices = {network->interface};
        }
        const bool goes_on = !all.empty() && all.back().first + all.back().count == peer &&
                             all.back().transport == reached.transport && all.back().devices == reached.devices;
        if (goes_on)
            all.back().count++;
        else
            all.push_back(std::move(reached));
    }
    return all;
}

bool is_lowest_of_its_host(const Meeting& meeting, Rank rank) {
    const auto host = [&](Rank one) { return meeting.ranks[static_cast<std::size_t>(one)].host; };
    for (Rank lower = 0; lower < rank; lower++)
        if (host(lower) == host(rank)) return false;
    return true;
}

std::string own_report(Communicator& ranks) {
    nlohmann::json report{{"reached", nlohmann::json::array()}};
    for (const ReachedRanks& reached : reached_from(ranks))
        report["reached"].push_back({reached.first, reached.count, reached.transport, reached.devices});
    if (!is_lowest_of_its_host(*ranks.meeting(), ranks.rank())) return report.dump();
    const auto machine = map_of_this_machine();
    if (machine)
        report["machine"] = json_of(*machine);
    else
        report["problem"] = machine.error().message;
    std::string text = report.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (text.size() <= most_report_bytes) return text;
    return nlohmann::json{{"reached", nlohmann::json::array()},
                          {"problem", fmt::format("it takes {} bytes to describe; {} are allowed", text.size(),
                                                  most_report_bytes)}}
        .dump();
}

// ---- what rank 0 hears ----------------------------------------------------------------------------------------------

// On rank 0, what all say, by rank; on the others nothing.
Result<std::vector<std::string>> gather(Communicator& ranks, std::string own) {
    const std::uint64_t bytes = own.size();
    const bool hears = ranks.rank() == 0;
    std::vector<std::uint64_t> sizes(hears ? static_cast<std::size_t>(ranks.rank_count()) : 0);
    if (auto ok = ranks.run({.collective = Collective::gather,
                             .type = DataType::uint64,
                             .send = &bytes,
                             .receive = sizes.data(),
                             .count = 1});
        !ok)
        return std::unexpected(ok.error());
    std::vector<std::string> reports;
    if (!hears) {
        auto sent = ranks.run({.collective = Collective::send, .send = own.data(), .count = bytes});
        if (!sent) return std::unexpected(sent.error());
        return reports;
    }
    reports.push_back(std::move(own));
    for (Rank rank = 1; rank < ranks.rank_count(); rank++) {
        const std::uint64_t size = sizes[static_cast<std::size_t>(rank)];
        if (size > most_report_bytes)
            return fail(Status::internal_error, fmt::format("rank {} wants to tell {} bytes; {} are allowed", rank,
                                                            size, most_report_bytes));
        std::string& report = reports.emplace_back(size, '\0');
        auto heard = ranks.run(
            {.collective = Collective::receive, .root = rank, .receive = report.data(), .count = size});
        if (!heard) return std::unexpected(heard.error());
    }
    return reports;
}

struct Report {
    std::vector<ReachedRanks> reached;
    std::optional<Map> machine;
};

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

Result<Report> read_report(const std::string& text, Rank rank, const std::string& host) {
    const std::string name = fmt::format("what rank {} on {} says", rank, host);
    const auto parsed = topology_files::parse_json(text, name);
    if (!parsed) return std::unexpected(parsed.error());
    JsonReader reader{text, name};
    const JsonElement root{*parsed, ""};
    Report report;
    const JsonElement reached = reader.member(root, "reached");
    const std::size_t count = reader.array_size(reached, max_places);
    for (std::size_t i = 0; i < count && !reader.is_refused(); i++)
        report.reached.push_back(read_reached(reader, reached[i]));
    const std::string problem = root.has("problem") ? reader.text(root["problem"]) : std::string{};
    const std::string machine = root.has("machine") ? reader.text(root["machine"]) : std::string{};
    if (reader.is_refused()) return reader.error();
    if (!problem.empty())
        return fail(Status::system_error,
                    fmt::format("rank {} cannot tell what machine {} is: {}", rank, host, problem));
    if (machine.empty()) return report;
    auto map = read_map(machine, fmt::format("the machine that rank {} on {} tells of", rank, host));
    if (!map) return std::unexpected(map.error());
    report.machine = std::move(map->map);
    return report;
}

// What the reports say, and of where ranks are and over what their hosts talk, what all heard when they met.
Result<std::optional<Map>> map_of(const Meeting& meeting, const std::vector<std::string>& reports) {
    std::vector<JobHost> hosts;
    std::vector<JobRank> ranks;
    for (std::size_t rank = 0; rank < reports.size(); rank++) {
        const Introduction& place = meeting.ranks[rank];
        const auto host = static_cast<std::size_t>(place.host);
        auto report = read_report(reports[rank], static_cast<Rank>(rank), meeting.hosts[host]);
        if (!report) return std::unexpected(report.error());
        ranks.push_back({.host = place.host, .cores = place.cores, .reached = std::move(report->reached)});
        if (host < hosts.size()) continue;
        // Hosts are numbered in the order of their lowest ranks.
        if (!report->machine)
            return fail(Status::internal_error,
                        fmt::format("rank {} does not tell what machine {} is", rank, meeting.hosts[host]));
        JobHost& added = hosts.emplace_back(JobHost{meeting.hosts[host], std::move(*report->machine)});
        if (const HostNetwork* network = network_of(meeting, host); network != nullptr) {
            added.interface = network->interface;
            added.interface_bytes_per_s = std::uint64_t{network->speed_mbps} * 125'000;
        }
    }
    auto map = map_of_job(hosts, ranks);
    if (!map) return fail(Status::internal_error, map.error().message);
    return std::move(*map);
}

}  // namespace

Result<std::optional<Map>> map_of_what_runs_this() {
    const auto launched = find_launch(process_environment());
    if (!launched) return std::unexpected(launched.error());
    if (!*launched || (*launched)->rank_count == 1) {
        auto machine = map_of_this_machine();
        if (!machine) return std::unexpected(machine.error());
        return std::move(*machine);
    }
    const Launch& launch = **launched;
    const auto config = read_config();
    if (!config) return fail(Status::invalid_argument, config.error().message);
    const auto id = unique_id_for_launch(launch, *config);
    if (!id) return std::unexpected(id.error());
    auto ranks = Communicator::join(*id, launch.rank, launch.rank_count, *config);
    if (!ranks) return std::unexpected(ranks.error());
    const auto reports = gather(**ranks, own_report(**ranks));
    if (!reports) return std::unexpected(reports.error());
    if (launch.rank != 0) return std::nullopt;
    return map_of(*(*ranks)->meeting(), *reports);
}

}  // namespace tenon
