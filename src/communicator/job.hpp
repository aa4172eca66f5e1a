// What the ranks of a communicator know of each other when it is made: where each is, and for those of one host the
// segment that they share (which a meeting's file or anonymous memory backs). Values; copied freely.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "bootstrap/meeting.hpp"
#include "communicator/surroundings.hpp"
#include "os/memory.hpp"
#include "topology/met_ranks.hpp"

namespace tenon {

struct Job {
    std::shared_ptr<const Meeting> meeting{};  // null for ranks made together in one process
    std::shared_ptr<const os::Mapping> segment{};
    std::vector<RankFacts> places{};               // by rank
    std::vector<pid_t> processes{};                // by rank, each in its host's numbers
    std::vector<os::InternetAddress> addresses{};  // by rank, for data connections
    std::vector<NetworkSet> networks{};            // by rank, what its process could use
    std::vector<std::string> hosts{};              // their names
    NetworkShare network{};
    bool one_process = false;

    Rank rank_count() const { return static_cast<Rank>(places.size()); }
    std::int32_t host_number_of(Rank rank) const { return places[static_cast<std::size_t>(rank)].host; }
    std::vector<std::int32_t> host_numbers() const {  // by rank
        std::vector<std::int32_t> numbers;
        for (const RankFacts& rank : places) numbers.push_back(rank.host);
        return numbers;
    }
    bool on_one_host(Rank a, Rank b) const { return host_number_of(a) == host_number_of(b); }
    const std::string& host_of(Rank rank) const { return hosts[static_cast<std::size_t>(host_number_of(rank))]; }
    const HostNetwork& network_of(Rank rank) const {
        return meeting->networks[static_cast<std::size_t>(host_number_of(rank))];
    }
    pid_t process_of(Rank rank) const { return processes[static_cast<std::size_t>(rank)]; }
    // "rank 3 (process 12 on node1)", "rank 3 (process 12)" where there is one host.
    std::string name_of(Rank rank) const {
        return hosts.size() == 1 ? fmt::format("rank {} (process {})", rank, process_of(rank))
                                 : fmt::format("rank {} (process {} on {})", rank, process_of(rank), host_of(rank));
    }
    // `noticed`: "rank 1", and perhaps in what.
    Error death_of(Rank rank, std::string_view noticed) const {
        return {Status::remote_error,
                fmt::format("{} has died; {} noticed. Restart the job, or abort this communicator and make one of the "
                            "surviving ranks",
                            name_of(rank), noticed)};
    }
};

}  // namespace tenon
