#include "tools/tenon/job_map.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bootstrap/launch.hpp"
#include "communicator/communicator.hpp"
#include "topology/files/job_report.hpp"
#include "topology/machine/machine.hpp"

namespace tenon {
namespace {

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

JobReport own_report(Communicator& ranks) {
    JobReport report{.reached = reached_from(ranks)};
    if (!is_lowest_of_its_host(*ranks.meeting(), ranks.rank())) return report;
    auto machine = map_of_this_machine();
    if (machine)
        report.machine = std::move(*machine);
    else
        report.problem = machine.error().message;
    return report;
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

Result<JobReport> heard(const std::string& text, std::size_t rank, const std::string& host) {
    auto report = read_job_report(text, fmt::format("what rank {} on {} says", rank, host));
    if (report && !report->problem.empty())
        return fail(Status::system_error,
                    fmt::format("rank {} cannot tell what machine {} is: {}", rank, host, report->problem));
    return report;
}

// What the reports say, and of where ranks are and over what their hosts talk, what all heard when they met.
Result<std::optional<Map>> map_of(const Meeting& meeting, const std::vector<std::string>& reports) {
    std::vector<JobHost> hosts;
    std::vector<JobRank> ranks;
    for (std::size_t rank = 0; rank < reports.size(); rank++) {
        const Introduction& place = meeting.ranks[rank];
        const auto host = static_cast<std::size_t>(place.host);
        auto report = heard(reports[rank], rank, meeting.hosts[host]);
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
    const auto reports = gather(**ranks, text_of(own_report(**ranks)));
    if (!reports) return std::unexpected(reports.error());
    if (launch.rank != 0) return std::nullopt;
    return map_of(*(*ranks)->meeting(), *reports);
}

}  // namespace tenon
