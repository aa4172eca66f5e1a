// Which rank of which job this process is, as its launcher says in the environment: torchrun and `tenon run`
// (RANK, WORLD_SIZE), Open MPI, Slurm's srun, and MPICH and others that speak PMI.
//
// TENON_JOB names the job whatever the launcher. Ports that launchers name only serve to tell jobs apart: nothing is
// ever bound to them, since torchrun's agent holds MASTER_PORT itself.
#pragma once

#include <optional>
#include <string>

#include "bootstrap/meeting.hpp"
#include "config/config.hpp"
#include "config/environment.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

struct Launch {
    std::string launcher{};  // "torchrun", ...: for messages
    Rank rank = 0;
    Rank rank_count = 1;
    std::string job{};         // for unique_id_for_launch
    bool is_one_host = true;   // as far as the launcher says
    std::string first_host{};  // where rank 0 is; empty where the environment does not say
    bool has_pmix = false;     // rank 0 can tell the others through the launcher where it is
};

// Nothing when no launcher started this process. An error when a launcher's variables contradict each other or are
// malformed, or when nothing names the job; `job`, where it is given, does.
Result<std::optional<Launch>> find_launch(const Environment& environment, std::string_view job = {});

// The same on every rank of the job, for this user, wherever it is: whoever has rank 0 serves the meeting, at
// TENON_RENDEZVOUS, or else on the launcher's first host, or where rank 0 says through PMIx that it is. An error when
// the job spans several hosts and nothing says where rank 0 is. Also for a job that no launcher started:
// Launch{.job = ...}.
Result<UniqueId> unique_id_for_launch(const Launch& launch, const Config& config);

// What the configuration says of the network, for create_unique_id and meet.
NetworkSettings network_settings(const Config& config);

// The first name in a list such as Slurm's: "n01" of "n[01-03,7],m2"; empty for what is no such list.
std::string first_host_of(std::string_view list);

}  // namespace tenon
