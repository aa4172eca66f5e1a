// What a subcommand of `tenon` is: it adds itself to the program and says what happens when it is chosen.
//
// How to add one: a file with a function of this shape, a line here, a line in main.cpp, a test in tests/tools.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>

namespace tenon {

// Set by the subcommand that was chosen; gives the program's exit status. Runs after the command line was understood.
using Action = std::function<int()>;

void add_run_command(CLI::App& program, Action& action);
void add_info_command(CLI::App& program, Action& action);
void add_plan_command(CLI::App& program, Action& action);
void add_check_command(CLI::App& program, Action& action);
void add_topo_command(CLI::App& program, Action& action);
void add_explain_command(CLI::App& program, Action& action);
void add_tune_command(CLI::App& program, Action& action);
// Of `tenon topo`.
void add_probe_command(CLI::App& topo, Action& action);

// One line on standard error, and the exit status of bad input.
int bad_input(std::string_view line);

// What a file that a user names is to hold; where it cannot be written, one line on standard error.
bool write_file(const std::string& path, std::string_view bytes);

}  // namespace tenon
