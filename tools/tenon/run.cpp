// `tenon run -n 4 -- ./app arguments`: the ranks of a job on this host, without MPI.
//
// Every rank gets RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE (torchrun's names) and TENON_JOB, a name that no other
// job has; tenonGetUniqueIdForJob turns that name into an id. Exit status: 0, or that of the first rank that failed;
// 127 when there is no such program.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "config/environment.hpp"
#include "tools/tenon/command.hpp"
#include "tools/tenon/job_name.hpp"
#include "tools/tenon/local_ranks.hpp"

namespace tenon {
namespace {

struct RunOptions {
    Rank rank_count = 2;
    std::string job;
    bool no_prefix = false;
    int grace_ms = 5000;
    std::vector<std::string> command;
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

int become(const RunOptions& options, const std::string& job, Rank rank) {
    const std::string own = std::to_string(rank), all = std::to_string(options.rank_count);
    for (const auto& [name, value] : {std::pair{"RANK", &own},
                                      {"WORLD_SIZE", &all},
                                      {"LOCAL_RANK", &own},
                                      {"LOCAL_WORLD_SIZE", &all},
                                      {"TENON_JOB", &job}})
        ::setenv(name, value->c_str(), 1);
    std::vector<char*> arguments;
    for (const std::string& argument : options.command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    fmt::print(stderr, "tenon run: cannot start {}: {}\n", options.command[0], std::strerror(errno));
    return 126;
}

int run(const RunOptions& options) {
    if (!program_exists(options.command[0])) {
        fmt::print(stderr, "tenon run: no program {}\n", options.command[0]);
        return 127;
    }
    const std::string job = options.job.empty() ? new_job_name("run") : options.job;
    const auto status = run_local_ranks({
        .rank_count = options.rank_count,
        .prefix_output = !options.no_prefix,
        .grace = std::chrono::milliseconds(options.grace_ms),
        .rank_main = [&](Rank rank) { return become(options, job, rank); },
        .report = [](std::string_view line) { fmt::print(stderr, "tenon run: {}\n", line); },
    });
    if (status) return *status;
    fmt::print(stderr, "tenon run: {}\n", status.error().message);
    return 1;
}

}  // namespace

void add_run_command(CLI::App& program, Action& action) {
    auto options = std::make_shared<RunOptions>();
    CLI::App* command = program.add_subcommand("run", "Start the ranks of a program on this host");
    command->add_option("-n,--ranks", options->rank_count, "How many ranks")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    command->add_option("--job", options->job, "The job's name, 1 to 64 characters (default: a new one)")
        ->check([](const std::string& name) {
            return name.empty() || name.size() > 64 ? "a job's name has 1 to 64 characters" : "";
        });
    command->add_flag("--no-prefix", options->no_prefix,
                      "Pass output on as it is, without \"[rank] \" before each line");
    command->add_option("--grace-ms", options->grace_ms, "From SIGTERM to SIGKILL when ranks are ended, milliseconds")
        ->check(CLI::Range(0, 3600 * 1000))
        ->capture_default_str();
    command->add_option("command", options->command, "The program and its arguments; put -- before it")->required();
    command->positionals_at_end();
    command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace tenon
