// The `tenon` program: starts ranks, and shows what the library is, has and would do. One file for each subcommand.
//
// Exit status: 0 when all went well, 2 with one line on standard error for bad input, otherwise as the subcommand says.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "os/whole_file.hpp"
#include "tenon/tenon.h"
#include "tools/tenon/command.hpp"

namespace tenon {

namespace {

// Nobody may be there to read it, which is no error.
void say(std::string_view line) { std::fputs(fmt::format("tenon: {}\n", line).c_str(), stderr); }

}  // namespace

int bad_input(std::string_view line) {
    say(line);
    return 2;
}

bool write_file(const std::string& path, std::string_view bytes) {
    const auto written = os::write_whole_file(path, bytes);
    if (!written) say(written.error().message);
    return written.has_value();
}

namespace {

// Of which CLI11 would say no more than that a subcommand is required.
std::string unknown_command(const CLI::App& program, int argc, char** argv) {
    if (argc < 2 || argv[1][0] == '-') return "";
    std::vector<std::string> known;
    for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; }))
        known.push_back(command->get_name());
    if (std::ranges::find(known, argv[1]) != known.end()) return "";
    return fmt::format("there is no command '{}'; there are {} (see tenon --help)", argv[1], fmt::join(known, ", "));
}

}  // namespace
}  // namespace tenon

int main(int argc, char** argv) {
    CLI::App program{"Collective communication: start ranks, look at plans, see what was decided and why."};
    program.name("tenon");
    program.set_version_flag("--version", fmt::format("tenon {}.{}.{}", TENON_MAJOR, TENON_MINOR, TENON_PATCH));
    program.require_subcommand(1);
    tenon::Action action;
    tenon::add_run_command(program, action);
    tenon::add_info_command(program, action);
    tenon::add_plan_command(program, action);
    tenon::add_check_command(program, action);
    tenon::add_topo_command(program, action);
    tenon::add_explain_command(program, action);
    tenon::add_tune_command(program, action);
    if (const std::string why = tenon::unknown_command(program, argc, argv); !why.empty())
        return tenon::bad_input(why);
    try {
        program.parse(argc, argv);
        return action();
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return program.exit(error);
        return tenon::bad_input(fmt::format("{} (see tenon --help)", error.what()));
    }
}
