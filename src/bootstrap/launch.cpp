#include "bootstrap/launch.hpp"

#include <fmt/format.h>

#include <limits>

#include "config/values.hpp"
#include "os/process.hpp"

namespace tenon {
namespace {

// How one launcher says who a process is.
struct Launcher {
    std::string_view name;
    std::string_view rank;
    std::string_view rank_count;
    std::string_view local_rank_count;  // on this host; need not be set
    std::string_view host_count;        // need not be set
    // Nothing when the variables do not name the job.
    std::string (*job)(const Environment&);
};

std::string value_of(const Environment& environment, std::string_view name) {
    const auto at = environment.find(name);
    return at == environment.end() ? std::string{} : at->second;
}

// torchrun counts its restarts, and names every run without an id of its own "none": only all of these tell jobs apart.
std::string torchrun_job(const Environment& environment) {
    const std::string port = value_of(environment, "MASTER_PORT");
    if (port.empty()) return {};
    return fmt::format("{}:{}/{}/{}", value_of(environment, "MASTER_ADDR"), port,
                       value_of(environment, "TORCHELASTIC_RUN_ID"),
                       value_of(environment, "TORCHELASTIC_RESTART_COUNT"));
}

std::string open_mpi_job(const Environment& environment) {
    const std::string name = value_of(environment, "PMIX_NAMESPACE");
    return name.empty() ? value_of(environment, "OMPI_MCA_ess_base_jobid") : name;
}

std::string slurm_job(const Environment& environment) {
    const std::string job = value_of(environment, "SLURM_JOB_ID");
    return job.empty() ? job : fmt::format("{}.{}", job, value_of(environment, "SLURM_STEP_ID"));
}

// MPICH's proxy, the parent of all ranks of a host, tells its ranks no name of the job.
std::string pmi_job(const Environment& environment) {
    const std::string name = value_of(environment, "PMI_JOBID");
    return name.empty() ? fmt::format("parent {}", os::parent_process_id()) : name;
}

// In order of precedence: a launcher inside another's job (torchrun or mpirun under Slurm) knows better. Of Slurm's
// counts only the step's is right: a batch script, which is one process, sees SLURM_PROCID and SLURM_NTASKS too.
constexpr Launcher launchers[] = {
    {"RANK and WORLD_SIZE (torchrun, tenon run)", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "", torchrun_job},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "", open_mpi_job},
    {"PMI (MPICH)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "", pmi_job},
    {"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "", "SLURM_STEP_NUM_NODES", slurm_job},
};

Result<Rank> read_rank_number(const Environment& environment, std::string_view name) {
    const std::string value = value_of(environment, name);
    const auto number = parse_number(value);
    if (number && *number <= std::numeric_limits<Rank>::max()) return static_cast<Rank>(*number);
    return fail(Status::invalid_argument, fmt::format("{}={} is wrong: it must be a whole number", name, value));
}

Result<void> check_one_host(const Environment& environment, const Launcher& launcher, Rank rank_count) {
    const std::pair<std::string_view, Rank> expected[] = {{launcher.local_rank_count, rank_count},
                                                          {launcher.host_count, 1}};
    for (const auto& [name, wanted] : expected) {
        if (!environment.contains(name)) continue;
        const auto found = read_rank_number(environment, name);
        if (!found) return std::unexpected(found.error());
        if (*found != wanted)
            return fail(Status::invalid_usage,
                        fmt::format("{}={} and {}={} say that the job spans several hosts: start all its ranks on one",
                                    launcher.rank_count, rank_count, name, *found));
    }
    return {};
}

Result<Launch> read_launch(const Environment& environment, const Launcher& launcher) {
    const auto rank = read_rank_number(environment, launcher.rank);
    if (!rank) return std::unexpected(rank.error());
    const auto rank_count = read_rank_number(environment, launcher.rank_count);
    if (!rank_count) return std::unexpected(rank_count.error());
    if (*rank >= *rank_count)
        return fail(Status::invalid_argument, fmt::format("{}={} is out of range: {} is {}", launcher.rank, *rank,
                                                          launcher.rank_count, *rank_count));
    if (auto on_one = check_one_host(environment, launcher, *rank_count); !on_one)
        return std::unexpected(on_one.error());
    Launch launch{std::string{launcher.name}, *rank, *rank_count, value_of(environment, "TENON_JOB")};
    if (launch.job.empty()) launch.job = launcher.job(environment);
    if (launch.job.empty())
        return fail(Status::invalid_usage, fmt::format("{} and {} are set, but nothing names the job: set TENON_JOB to "
                                                       "a name that only the ranks of this job share",
                                                       launcher.rank, launcher.rank_count));
    return launch;
}

}  // namespace

Result<std::optional<Launch>> find_launch(const Environment& environment) {
    for (const Launcher& launcher : launchers) {
        if (!environment.contains(launcher.rank) || !environment.contains(launcher.rank_count)) continue;
        auto launch = read_launch(environment, launcher);
        if (!launch) return std::unexpected(launch.error());
        return std::move(*launch);
    }
    if (environment.contains("RANK"))
        return fail(Status::invalid_usage, "RANK is set, but WORLD_SIZE is not: set both, or neither");
    return std::nullopt;
}

}  // namespace tenon
