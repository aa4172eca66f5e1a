// `tenon topo show FILE`: topology files of any known format, and this machine: shown, checked, compared, converted to
// Tenon's own JSON, drawn; and maps of named machines, made from parameters. In a launcher's job, what is said of this
// machine elsewhere is said of all of the job's, once, by rank 0.
//
// Exit status: 1 when a file is wrong (validate), two differ (diff) or something cannot be written; 2 for bad input.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "tools/tenon/command.hpp"
#include "tools/tenon/job_map.hpp"
#include "topology/files/files.hpp"
#include "topology/generators.hpp"
#include "topology/printer.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

struct Output {
    std::string out_file, svg_file;
};

struct TopoOptions {
    std::string file, other_file, companion;
    std::vector<std::string> files;
    std::optional<Rank> rank_count;
    Output output;
};

// To a file where one is named, otherwise to standard output; and the picture.
int write_out(const Output& output, const Map& map, const std::string& text) {
    if (!output.svg_file.empty() && !write_file(output.svg_file, svg_of(map))) return 1;
    if (!output.out_file.empty()) return write_file(output.out_file, text) ? 0 : 1;
    fmt::print("{}", text);
    return 0;
}

// Without a file, this machine or this job; nothing where another rank has it.
Result<std::optional<Map>> map_of(const std::string& file, const std::string& companion) {
    if (file.empty()) return map_of_what_runs_this();
    auto read = read_map_file(file, companion);
    if (!read) return std::unexpected(read.error());
    return std::move(read->map);
}

// What was read was bad input; a job or a machine has failed.
int refused(const std::string& file, const Error& error) {
    const int status = bad_input(error.message);
    return file.empty() && error.status != Status::invalid_argument ? 1 : status;
}

int show(const TopoOptions& options) {
    const auto found = map_of(options.file, options.companion);
    if (!found) return refused(options.file, found.error());
    if (!*found) return 0;
    const Map& map = **found;
    std::string text = text_of(map);
    const auto topology = topology_of(map, options.rank_count);
    if (!topology && options.rank_count) return bad_input(topology.error().message);
    text += "\n" + (topology ? text_of(*topology) : fmt::format("no ranks: {}\n", topology.error().message));
    return write_out(options.output, map, text);
}

int validate(const TopoOptions& options) {
    int status = 0;
    for (const std::string& file : options.files) {
        const auto read = read_map_file(file, options.companion);
        if (read) {
            fmt::print("{}: {}, {} places, {} links, {} ranks\n", file, name_of(read->format), read->map.place_count(),
                       read->map.links().size(), read->map.ranks().size());
        } else {
            fmt::print("{}\n", read.error().message);
            status = 1;
        }
    }
    return status;
}

int convert(const TopoOptions& options) {
    const auto map = map_of(options.file, options.companion);
    if (!map) return refused(options.file, map.error());
    return *map ? write_out(options.output, **map, json_of(**map)) : 0;
}

int diff(const TopoOptions& options) {
    if (options.file.empty())
        return bad_input("topo diff: name a topology file, which is compared with this machine, or two");
    const auto one = map_of(options.file, {}), other = map_of(options.other_file, {});
    if (!one) return bad_input(one.error().message);
    if (!other) return refused(options.other_file, other.error());
    if (!*other) return 0;
    const std::string difference = difference_of(**one, **other);
    fmt::print("{}", difference);
    return difference.empty() ? 0 : 1;
}

void add_output(CLI::App& command, Output& output) {
    command.add_option("--out", output.out_file, "Write to this file");
    command.add_option("--svg", output.svg_file, "Draw a picture into this file, too");
}

void add_companion(CLI::App& command, TopoOptions& options) {
    command.add_option("--topology-file", options.companion,
                       "The topology file that goes with an HCCL rank table of version 2.0");
}

void add_generators(CLI::App& generate_command, Action& action) {
    for (const Generator& generator : generators()) {
        CLI::App* command =
            generate_command.add_subcommand(std::string(generator.name), std::string(generator.summary));
        command->footer(fmt::format("Sources: {}", generator.sources));
        auto values = std::make_shared<GeneratorValues>(generator.parameters);
        auto output = std::make_shared<Output>();
        for (std::size_t i = 0; i < generator.parameters.size(); i++) {
            const GeneratorParameter& parameter = generator.parameters[i];
            std::string option = "--" + std::string(parameter.name);
            std::ranges::replace(option, '_', '-');
            command->add_option(option, (*values)[i], std::string(parameter.help))
                ->check(CLI::Range(parameter.low, parameter.high))
                ->capture_default_str();
        }
        add_output(*command, *output);
        command->callback([&generator, values, output, &action] {
            action = [&generator, values, output] {
                const auto map = generate(generator, *values);
                return map ? write_out(*output, *map, json_of(*map)) : bad_input(map.error().message);
            };
        });
    }
}

// What is no generator's name is told apart from what there is.
void add_generate_command(CLI::App& topo, Action& action) {
    CLI::App* command = topo.add_subcommand("generate", "The topology of a named machine, as Tenon's own JSON");
    auto unknown = std::make_shared<std::string>();
    command->add_option("machine", *unknown, "One of the machines below");
    command->require_subcommand(0, 1);
    command->callback([command, unknown, &action] {
        if (!command->get_subcommands().empty()) return;
        std::vector<std::string_view> known;
        for (const Generator& generator : generators()) known.push_back(generator.name);
        const std::string problem =
            unknown->empty() ? "name a machine" : fmt::format("there is no machine '{}'", *unknown);
        action = [message = fmt::format("topo generate: {}; there are: {}", problem, fmt::join(known, ", "))] {
            return bad_input(message);
        };
    });
    add_generators(*command, action);
}

}  // namespace

void add_topo_command(CLI::App& program, Action& action) {
    CLI::App* topo = program.add_subcommand("topo", "Show, check, compare, convert, draw and make topologies");
    topo->require_subcommand(1);
    auto options = std::make_shared<TopoOptions>();
    const auto added = [&](const char* name, const char* help, int (*run)(const TopoOptions&)) {
        CLI::App* command = topo->add_subcommand(name, help);
        command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
        return command;
    };
    CLI::App* command = added("show", "What is there, and what algorithms see of it", show);
    command->add_option("file", options->file,
                        "hwloc XML, NCCL XML, HCCL rank table, Tenon JSON (default: this machine, or the job of "
                        "which this is a rank)");
    command->add_option("--ranks", options->rank_count, "Only the first ranks, in the table of levels")
        ->check(CLI::Range(1, 1 << 20));
    add_companion(*command, *options);
    add_output(*command, options->output);

    command = added("validate", "Whether files can be read, and if not, why", validate);
    command->add_option("files", options->files, "Topology files of any known format")->required();
    add_companion(*command, *options);

    command = added("convert", "To Tenon's own JSON", convert);
    command->add_option("file", options->file,
                        "A topology file of any known format (default: this machine, or the job of which this is a "
                        "rank)");
    add_companion(*command, *options);
    add_output(*command, options->output);

    command = added("diff", "What two topologies differ in", diff);
    command->add_option("one", options->file, "A topology file of any known format");
    command->add_option("other", options->other_file,
                        "Another (default: this machine, or the job of which this is a rank)");

    add_generate_command(*topo, action);
    add_probe_command(*topo, action);
}

}  // namespace tenon
