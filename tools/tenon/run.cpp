// `tenon run -n 4 -- ./app arguments`: the ranks of a job on this host, without MPI; or, with --hosts, on several.
//
// Every rank gets RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE (torchrun's names) and TENON_JOB, a name that no other
// job has; tenonGetUniqueIdForJob turns that name into an id. Exit status: 0, or that of the first rank that failed;
// 127 when there is no such program.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "config/environment.hpp"
#include "library/emulated_machine.hpp"
#include "tools/tenon/command.hpp"
#include "tools/tenon/job_name.hpp"
#include "tools/tenon/local_ranks.hpp"
#include "tools/tenon/remote_ranks.hpp"

namespace tenon {
namespace {

struct RunOptions {
    Rank rank_count = 2;
    std::string job;
    bool no_prefix = false, emulated_devices = false;
    int grace_ms = 5000;
    std::vector<std::string> command;
    // Over several hosts:
    std::string hosts, agent = RemoteRun{}.agent, remote_program;
    std::vector<std::string> exported;
    // As one host's part of that, started by an agent:
    bool has_lifeline = false;
    Rank first_rank = 0, world_size = 0;
};

// As execvp finds it; asked before any rank starts, so that a typing mistake is one message and not one for each rank.
bool program_exists(const std::string& name) {
    if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0;
    const Environment environment = process_environment();
    const auto path = environment.find("PATH");
    const std::string folders = path != environment.end() ? path->second : "/bin:/usr/bin";
    std::string_view rest = folders;
    while (true) {
        const std::size_t end = rest.find(':');
        const std::string folder{rest.substr(0, end)};
        if (::access(((folder.empty() ? "." : folder) + "/" + name).c_str(), X_OK) == 0) return true;
        if (end == std::string_view::npos) return false;
        rest.remove_prefix(end + 1);
    }
}

// Nobody may be there to read it (`2>&1 | head`), which is no error.
int complain(std::string_view line, int status) {
    std::fputs(fmt::format("tenon run: {}\n", line).c_str(), stderr);
    return status;
}

int become(const std::vector<std::string>& command) {
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    return complain(fmt::format("cannot start {}: {}", command[0], std::strerror(errno)), 126);
}

void read_from(int descriptor) { ::dup2(descriptor, STDIN_FILENO); }

int become_rank(const RunOptions& options, const std::string& job, Rank local_rank) {
    const std::string rank = std::to_string(options.first_rank + local_rank), local = std::to_string(local_rank);
    const std::string all = std::to_string(options.world_size), all_local = std::to_string(options.rank_count);
    for (const auto& [name, value] : {std::pair{"RANK", &rank},
                                      {"WORLD_SIZE", &all},
                                      {"LOCAL_RANK", &local},
                                      {"LOCAL_WORLD_SIZE", &all_local},
                                      {"TENON_JOB", &job}})
        ::setenv(name, value->c_str(), 1);
    if (options.has_lifeline) read_from(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    return become(options.command);
}

int supervise(LocalRanks job, const RunOptions& options) {
    job.grace = std::chrono::milliseconds(options.grace_ms);
    job.report = [](std::string_view line) { complain(line, 0); };
    const auto status = run_local_ranks(job);
    return status ? *status : complain(status.error().message, 1);
}

int run_here(RunOptions options) {
    if (!program_exists(options.command[0])) return complain("no program " + options.command[0], 127);
    if (options.world_size == 0) options.world_size = options.rank_count;
    if (options.has_lifeline) {
        auto named = read_job_name(STDIN_FILENO);
        if (!named) return complain(named.error().message, 1);
        options.job = std::move(*named);
    }
    const std::string job = options.job.empty() ? new_job_name("run") : options.job;
    SharedMachine devices;  // live as long as this process
    if (options.emulated_devices) {
        auto made = share_emulated_machine();
        if (!made) return complain("--emulated-devices: " + made.error().message, 1);
        devices = std::move(*made);
        ::setenv("TENON_EMULATED_MACHINE", devices.path.c_str(), 1);
    }
    return supervise({.rank_count = options.rank_count,
                      .prefix_output = !options.no_prefix,
                      .label = [&](Rank rank) { return std::to_string(options.first_rank + rank); },
                      .lifeline = options.has_lifeline ? STDIN_FILENO : -1,
                      .rank_main = [&](Rank rank) { return become_rank(options, job, rank); },
                      .report = {}},
                     options);
}

// What each agent reads from stays open as long as this process lives; the job's name is all that is written to it.
Result<std::vector<int>> lifelines(std::size_t count, std::string_view job) {
    std::vector<int> ends;
    for (std::size_t i = 0; i < count; i++) {
        int lifeline[2];
        if (::pipe2(lifeline, O_CLOEXEC) != 0)
            return fail(Status::system_error, fmt::format("cannot create a pipe for each host: {}; raise ulimit -n",
                                                          std::strerror(errno)));
        if (auto written = write_job_name(lifeline[1], job); !written) return std::unexpected(written.error());
        ends.push_back(lifeline[0]);
    }
    return ends;
}

int run_on_hosts(const RunOptions& options) {
    auto hosts = parse_hosts(options.hosts);
    if (!hosts) return complain("--hosts: " + hosts.error().message, 2);
    const Environment environment = process_environment();
    const auto interface = environment.find("TENON_SOCKET_INTERFACE");
    auto first = address_of_first(*hosts, interface != environment.end() ? interface->second : "");
    if (!first) return complain("--hosts: " + first.error().message, 2);
    auto exported = exported_variables(environment, options.exported);
    if (!exported) return complain(exported.error().message, 2);
    const std::string& there = options.remote_program;
    const RemoteRun run{.hosts = std::move(*hosts),
                        .first_address = std::move(*first),
                        .agent = options.agent,
                        .program = there.empty() ? std::filesystem::read_symlink("/proc/self/exe").string() : there,
                        .folder = std::filesystem::current_path(),
                        .exported = std::move(*exported),
                        .prefix_output = !options.no_prefix,
                        .grace_ms = options.grace_ms,
                        .command = options.command};
    const auto lifeline = lifelines(run.hosts.size(), options.job.empty() ? new_job_name("run") : options.job);
    if (!lifeline) return complain(lifeline.error().message, 1);
    const auto part = [&](Rank index) -> const HostPart& { return run.hosts[static_cast<std::size_t>(index)]; };
    return supervise({.rank_count = static_cast<Rank>(run.hosts.size()),
                      .label = [&](Rank index) { return part(index).host; },
                      .what = "host",
                      .rank_main =
                          [&](Rank index) {
                              read_from((*lifeline)[static_cast<std::size_t>(index)]);
                              return become(agent_command(run, part(index)));
                          },
                      .report = {}},
                     options);
}

// Ranks write into a pipe, and cannot see where it ends. Who has said what is wanted is not talked over.
void tell_ranks_of_terminal(RunOptions& options) {
    const Environment environment = process_environment();
    const auto is_set = [&](const char* name) { return environment.contains(name); };
    if (::isatty(STDOUT_FILENO) != 1 || is_set("NO_COLOR") || is_set("CLICOLOR_FORCE")) return;
    ::setenv("CLICOLOR_FORCE", "1", 1);
    options.exported.insert(options.exported.begin(), "CLICOLOR_FORCE=1");
}

int run(RunOptions options) {
    tell_ranks_of_terminal(options);
    return options.hosts.empty() ? run_here(options) : run_on_hosts(options);
}

}  // namespace

void add_run_command(CLI::App& program, Action& action) {
    auto options = std::make_shared<RunOptions>();
    CLI::App* command = program.add_subcommand("run", "Start the ranks of a program on this host, or on several");
    command->add_option("-n,--ranks", options->rank_count, "How many ranks")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    command->add_option("--job", options->job,
                        "The job's name, 1 to 64 characters (default: a new one, which nobody can guess)")
        ->check([](const std::string& name) {
            const bool fits = !name.empty() && name.size() <= job_name_limit && name.find('\n') == std::string::npos;
            return fits ? "" : "a job's name has 1 to 64 characters, all in one line";
        });
    command->add_flag("--no-prefix", options->no_prefix,
                      "Pass output on as it is, without \"[rank] \" before each line");
    command->add_option("--grace-ms", options->grace_ms, "From SIGTERM to SIGKILL when ranks are ended, milliseconds")
        ->check(CLI::Range(0, 3600 * 1000))
        ->capture_default_str();
    command->add_option("--hosts", options->hosts,
                        "Hosts and how many ranks on each, such as a:4,b:4 or [fd00::1]:4; not -n")
        ->excludes("--ranks");
    command->add_flag("--emulated-devices", options->emulated_devices,
                      "Make accelerators out of host memory, emulated:0 to emulated:15, that all ranks see; not with "
                      "--hosts")
        ->excludes("--hosts");
    command->add_option("--launch-agent", options->agent,
                        "What starts a command on a host: it is given the host and one line for a shell")
        ->capture_default_str();
    command->add_option("-x,--export", options->exported,
                        "With --hosts: a variable for the ranks, NAME or NAME=value; those that begin with TENON_ "
                        "always are")
        ->allow_extra_args(false);
    command->add_option("--remote-tenon", options->remote_program,
                        "With --hosts: where this program is there (default: as here)");
    // What an agent's command line says of one host's part.
    command->add_flag("--lifeline", options->has_lifeline)->group("");
    command->add_option("--first-rank", options->first_rank)->group("");
    command->add_option("--world-size", options->world_size)->group("");
    command->add_option("command", options->command, "The program and its arguments; put -- before it")->required();
    command->positionals_at_end();
    command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace tenon
