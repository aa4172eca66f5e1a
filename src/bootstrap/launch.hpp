// Which rank of which job this process is, as its launcher says in the environment: torchrun and `tenon run`
// (RANK, WORLD_SIZE), Open MPI, Slurm's srun, and MPICH and others that speak PMI.
//
// TENON_JOB names the job whatever the launcher. Ports that launchers name only serve to tell jobs apart: nothing is
// ever bound to them, since torchrun's agent holds MASTER_PORT itself.
#pragma once

#include <optional>
#include <string>

#include "config/environment.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

struct Launch {
    std::string launcher;  // "torchrun", ...: for messages
    Rank rank = 0;
    Rank rank_count = 1;
    std::string job;  // for unique_id_for_job
};

// Nothing when no launcher started this process. An error when a launcher's variables contradict each other, are
// malformed, or say that the job spans several hosts.
Result<std::optional<Launch>> find_launch(const Environment& environment);

}  // namespace tenon
