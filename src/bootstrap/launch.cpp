#include "bootstrap/launch.hpp"

#include <fmt/format.h>

#include <limits>

#include "bootstrap/place.hpp"
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
    // Where rank 0 is; nothing when the variables do not say.
    std::string (*first_host)(const Environment&);
};

std::string value_of(const Environment& environment, std::string_view name) {
    const auto at = environment.find(name);
    return at == environment.end() ? std::string{} : at->second;
}

// In Kubernetes, Kubeflow's operator tells rank 0's pod "localhost", and the others that pod's name.
std::string master(const Environment& environment) {
    const std::string named = value_of(environment, "MASTER_ADDR");
    const bool is_in_pod = environment.contains("KUBERNETES_SERVICE_HOST") && environment.contains("HOSTNAME");
    return is_in_pod && bootstrap::Place{.host = named}.is_loopback() ? value_of(environment, "HOSTNAME") : named;
}

// torchrun counts its restarts, and names every run without an id of its own "none": only all of these tell jobs apart.
std::string torchrun_job(const Environment& environment) {
    const std::string port = value_of(environment, "MASTER_PORT");
    if (port.empty()) return {};
    return fmt::format("{}:{}/{}/{}", master(environment), port, value_of(environment, "TORCHELASTIC_RUN_ID"),
                       value_of(environment, "TORCHELASTIC_RESTART_COUNT"));
}

// Where mpirun hands out a key for the job (Open MPI 4 does), the name is nothing that strangers could guess.
std::string open_mpi_job(const Environment& environment) {
    std::string name = value_of(environment, "PMIX_NAMESPACE");
    if (name.empty()) name = value_of(environment, "OMPI_MCA_ess_base_jobid");
    const std::string key = value_of(environment, "OMPI_MCA_orte_precondition_transports");
    return name.empty() || key.empty() ? name : fmt::format("{}/{}", name, key);
}

std::string slurm_job(const Environment& environment) {
    const std::string job = value_of(environment, "SLURM_JOB_ID");
    return job.empty() ? job : fmt::format("{}.{}", job, value_of(environment, "SLURM_STEP_ID"));
}

// MPICH's proxy, the parent of all ranks of a host, tells its ranks no name of the job. It names a job on one host.
std::string pmi_job(const Environment& environment) {
    const std::string name = value_of(environment, "PMI_JOBID");
    const std::string local_count = value_of(environment, "MPI_LOCALNRANKS");
    const bool is_one_host = local_count.empty() || local_count == value_of(environment, "PMI_SIZE");
    return name.empty() && is_one_host ? fmt::format("parent {}", os::parent_process_id()) : name;
}

// The list is in the order of the nodes, which is that of the ranks unless a file of hosts says otherwise.
std::string slurm_first_host(const Environment& environment) {
    const std::string named = master(environment);
    if (!named.empty() || value_of(environment, "SLURM_DISTRIBUTION").starts_with("arbitrary")) return named;
    return first_host_of(value_of(environment, "SLURM_STEP_NODELIST"));
}

// In order of precedence: a launcher inside another's job (torchrun or mpirun under Slurm) knows better. Of Slurm's
// counts only the step's is right: a batch script, which is one process, sees SLURM_PROCID and SLURM_NTASKS too.
constexpr Launcher launchers[] = {
    {"RANK and WORLD_SIZE (torchrun, tenon run)", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "", torchrun_job, master},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "", open_mpi_job,
     master},
    {"PMI (MPICH)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "", pmi_job, master},
    {"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "", "SLURM_STEP_NUM_NODES", slurm_job, slurm_first_host},
};

Result<Rank> read_rank_number(const Environment& environment, std::string_view name) {
    const std::string value = value_of(environment, name);
    const auto number = parse_number(value);
    if (number && *number <= std::numeric_limits<Rank>::max()) return static_cast<Rank>(*number);
    return fail(Status::invalid_argument, fmt::format("{}={} is wrong: it must be a whole number", name, value));
}

// Only what a launcher says of its own accord counts: most say one of these.
Result<bool> is_one_host(const Environment& environment, const Launcher& launcher, Rank rank_count) {
    const std::pair<std::string_view, Rank> expected[] = {{launcher.local_rank_count, rank_count},
                                                          {launcher.host_count, 1}};
    for (const auto& [name, wanted] : expected) {
        if (!environment.contains(name)) continue;
        const auto found = read_rank_number(environment, name);
        if (!found) return std::unexpected(found.error());
        return *found == wanted;
    }
    const bootstrap::Place place{.host = launcher.first_host(environment)};
    return place.host.empty() || place.is_loopback();
}

// Not where another launcher was started inside PMIx's job: that one's ranks are not those that PMIx knows.
bool has_pmix(const Environment& environment, Rank rank) {
    return environment.contains("PMIX_NAMESPACE") && value_of(environment, "PMIX_RANK") == std::to_string(rank);
}

Result<Launch> read_launch(const Environment& environment, const Launcher& launcher, std::string_view job) {
    const auto rank = read_rank_number(environment, launcher.rank);
    if (!rank) return std::unexpected(rank.error());
    const auto rank_count = read_rank_number(environment, launcher.rank_count);
    if (!rank_count) return std::unexpected(rank_count.error());
    if (*rank >= *rank_count)
        return fail(Status::invalid_argument, fmt::format("{}={} is out of range: {} is {}", launcher.rank, *rank,
                                                          launcher.rank_count, *rank_count));
    const auto on_one = is_one_host(environment, launcher, *rank_count);
    if (!on_one) return std::unexpected(on_one.error());
    Launch launch{.launcher = std::string{launcher.name},
                  .rank = *rank,
                  .rank_count = *rank_count,
                  .job = job.empty() ? value_of(environment, "TENON_JOB") : std::string{job},
                  .is_one_host = *on_one,
                  .first_host = launcher.first_host(environment),
                  .has_pmix = has_pmix(environment, *rank)};
    if (launch.job.empty()) launch.job = launcher.job(environment);
    if (launch.job.empty())
        return fail(Status::invalid_usage, fmt::format("{} and {} are set, but nothing names the job: set TENON_JOB to "
                                                       "a name that only the ranks of this job share",
                                                       launcher.rank, launcher.rank_count));
    return launch;
}

}  // namespace

Result<std::optional<Launch>> find_launch(const Environment& environment, std::string_view job) {
    for (const Launcher& launcher : launchers) {
        if (!environment.contains(launcher.rank) || !environment.contains(launcher.rank_count)) continue;
        auto launch = read_launch(environment, launcher, job);
        if (!launch) return std::unexpected(launch.error());
        return std::move(*launch);
    }
    if (environment.contains("RANK"))
        return fail(Status::invalid_usage, "RANK is set, but WORLD_SIZE is not: set both, or neither");
    return std::nullopt;
}

std::string first_host_of(std::string_view list) {
    const std::size_t end = list.find_first_of(",[");
    std::string host{list.substr(0, end)};
    if (end == list.npos || list[end] == ',') return host;
    const std::string_view numbers = list.substr(end + 1, list.find(']') - end - 1);
    if (list.find(']') == list.npos) return {};
    host += numbers.substr(0, numbers.find_first_of(",-"));
    // What follows the brackets up to the next comma is of the name, too, and may have brackets of its own.
    const std::string_view rest = list.substr(list.find(']') + 1);
    if (!rest.empty() && rest.front() != ',') host += first_host_of(rest);
    return host;
}

NetworkSettings network_settings(const Config& config) {
    return {.interface = config.socket_interface,
            .host_id = config.host_id,
            .patience_ms = config.network_timeout_ms,
            .takes_data = config.transport == TransportChoice::network};
}

Result<UniqueId> unique_id_for_launch(const Launch& launch, const Config& config) {
    std::string place = config.rendezvous;
    // Hosts that are only made out of one find each other there.
    if (place.empty() && launch.is_one_host && !config.host_id.empty()) place = "localhost";
    if (place.empty() && !launch.is_one_host) place = launch.first_host;
    if (place.empty() && !launch.is_one_host && launch.has_pmix) place = bootstrap::place_told_by_pmix;
    if (place.empty() && !launch.is_one_host)
        return fail(Status::invalid_usage,
                    fmt::format("{} says that the job spans several hosts, but not where rank 0 is: set MASTER_ADDR to "
                                "that host, or TENON_RENDEZVOUS to that host and a port, or to file: and a path that "
                                "all hosts share",
                                launch.launcher));
    const auto invitation = bootstrap::invitation_for_job(launch.job, place);
    if (!invitation) return std::unexpected(invitation.error());
    return bootstrap::write_unique_id(*invitation);
}

}  // namespace tenon
