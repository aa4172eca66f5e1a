// What the ranks of a communicator know of each other when it is made: where each is, and for those of one host the
// segment that they share (which a meeting's file or anonymous memory backs). Values; copied freely.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bootstrap/meeting.hpp"
#include "communicator/surroundings.hpp"
#include "os/memory.hpp"
#include "topology/flat.hpp"

namespace tenon {

struct Job {
    std::shared_ptr<const Meeting> meeting{};  // null for ranks made together in one process
    std::shared_ptr<const os::Mapping> segment{};
    std::vector<RankFacts> places{};               // by rank
    std::vector<pid_t> processes{};                // by rank, each in its host's numbers
    std::vector<os::InternetAddress> addresses{};  // by rank, for data connections
    std::vector<std::string> hosts{};              // their names
    NetworkShare network{};
    bool one_process = false;

    Rank rank_count() const { return static_cast<Rank>(places.size()); }
    std::int32_t host_number_of(Rank rank) const { return places[static_cast<std::size_t>(rank)].host; }
    bool on_one_host(Rank a, Rank b) const { return host_number_of(a) == host_number_of(b); }
    const std::string& host_of(Rank rank) const { return hosts[static_cast<std::size_t>(host_number_of(rank))]; }
    pid_t process_of(Rank rank) const { return processes[static_cast<std::size_t>(rank)]; }
};

}  // namespace tenon
