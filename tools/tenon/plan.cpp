// `tenon plan all_reduce --ranks 8 --algorithm ring --bytes 1M`: what each rank would do, step by step, as text, JSON
// or a picture; how much crosses which level of its groups (--groups 4x2); and whether it is right (--verify). Plans
// come from an algorithm of the library or a plugin, from an MSCCL algorithm (--msccl FILE) or from plan JSON (--json
// FILE).
//
// Exit status: 1 when the plans are wrong or cannot be written, 2 for bad input.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "communicator/surroundings.hpp"
#include "config/config.hpp"
#include "config/values.hpp"
#include "interchange/msccl.hpp"
#include "library/registry.hpp"
#include "os/process.hpp"
#include "os/whole_file.hpp"
#include "plan/all_ranks.hpp"
#include "plan/printer.hpp"
#include "plan/verifier.hpp"
#include "selection/selection.hpp"
#include "tools/tenon/command.hpp"
#include "tools/tenon/payload.hpp"
#include "topology/shape.hpp"

namespace tenon {
namespace {

struct PlanOptions {
    std::string collective, algorithm, type = "float32", bytes = "1M", format = "text";
    std::string groups, msccl_file, json_file, out_file;
    std::optional<Rank> rank_count;
    Rank root = 0;
    std::optional<Rank> rank;
    bool is_verified = false;
};

// All ranks' plans, and in which ways they may run.
struct Plans {
    std::vector<Plan> by_rank;
    bool in_place = true;
    std::string reason;   // why this algorithm, when the user did not say which
    std::string payload;  // how much crosses each level, in words
};

Result<Plans> imported(const PlanOptions& options) {
    const std::string& path = options.msccl_file.empty() ? options.json_file : options.msccl_file;
    constexpr std::size_t most_bytes = 1u << 30;
    const auto bytes = os::read_whole_file(path, most_bytes);
    if (!bytes) return std::unexpected(bytes.error());
    if (!options.msccl_file.empty()) {
        auto read = read_msccl(*bytes, path);
        if (!read) return std::unexpected(read.error());
        return Plans{std::move(read->plans), read->in_place, "", ""};
    }
    auto plans = plans_from_json(*bytes);
    if (!plans) return fail(plans.error().status, fmt::format("{}: {}", path, plans.error().message));
    return Plans{std::move(*plans), false, "", ""};
}

// Without an algorithm, the one that a call of this size would use.
Result<Choice> choose(const PlanOptions& options, const Request& request, const Topology& topology) {
    auto config = read_config();
    if (!config) return std::unexpected(config.error());
    const auto known = known_algorithms(*config);
    if (!known) return std::unexpected(known.error());
    if (!options.algorithm.empty()) {
        if (const auto named = algorithm_named(request.collective, options.algorithm); !named)
            return fail(Status::invalid_argument, "--algorithm: " + named.error().message);
        config->algorithms = {{.collective = request.collective, .name = options.algorithm}};
    }
    const auto selection = Selection::make(*known, *config);
    if (!selection) return std::unexpected(selection.error());
    return selection->choose(request, topology);
}

// Ranks and their groups: as many as both options say. Groups of several hosts share no board.
Result<Topology> topology_for(const PlanOptions& options) {
    constexpr Rank most_ranks = 8192;
    const auto cores = os::cores_of_this_thread();
    Topology topology{.rank_count = options.rank_count.value_or(4),
                      .cores = cores ? static_cast<std::int32_t>(cores->count()) : 1};
    if (options.groups.empty()) return topology;
    auto levels = levels_of_shape(options.groups);
    if (!levels) return fail(levels.error().status, "--groups: " + levels.error().message);
    const auto grouped = static_cast<Rank>(levels->front().group_of.size());
    if (options.rank_count.value_or(grouped) != grouped)
        return fail(Status::invalid_argument, fmt::format("--groups: {} holds {} ranks, and --ranks says {}; leave one "
                                                          "of them out, or make them agree",
                                                          options.groups, grouped, *options.rank_count));
    if (grouped > most_ranks)
        return fail(Status::invalid_argument,
                    fmt::format("--groups: {} holds {} ranks; {} are possible", options.groups, grouped, most_ranks));
    topology.rank_count = grouped;
    topology.hosts = std::ranges::max(levels->front().group_of) + 1;
    topology.has_boards = topology.hosts == 1;
    topology.levels = std::move(*levels);
    return topology;
}

Result<Plans> built(const PlanOptions& options) {
    const auto collective = collective_named(options.collective);
    if (!collective || static_cast<std::size_t>(*collective) >= planned_collective_count)
        return fail(Status::invalid_argument, fmt::format("'{}' is no collective that has a plan", options.collective));
    const auto type = data_type_named(options.type);
    if (!type) return fail(Status::invalid_argument, fmt::format("--type: there is no '{}'", options.type));
    const auto bytes = parse_size(options.bytes);
    if (!bytes)
        return fail(Status::invalid_argument,
                    fmt::format("--bytes: '{}' is no size, such as 64K or 1M", options.bytes));
    const auto topology = topology_for(options);
    if (!topology) return std::unexpected(topology.error());
    const Rank rank_count = topology->rank_count;
    if (options.root < 0 || options.root >= rank_count)
        return fail(Status::invalid_argument,
                    fmt::format("--root: there is no rank {} among {}", options.root, rank_count));

    Request request{
        .collective = *collective, .rank_count = rank_count, .count = {1}, .type = *type, .root = options.root};
    request.count.value = *bytes / large_buffer_bytes(request).value;  // in blocks of one element each
    const auto choice = choose(options, request, *topology);
    if (!choice) return std::unexpected(choice.error());
    Plans plans{{}, choice->algorithm->in_place, options.algorithm.empty() ? choice->reason : "", ""};
    auto by_rank = plans_of_all_ranks(*choice->algorithm, request, *topology);
    if (!by_rank) return std::unexpected(by_rank.error());
    plans.by_rank = std::move(*by_rank);
    plans.payload = payload_in_words(plans.by_rank, request, *topology);
    return plans;
}

// In words, or what is wrong.
Result<std::string> proof(const Plans& plans) {
    const auto proved = verify(plans.by_rank);
    if (!proved) return std::unexpected(proved.error());
    if (plans.in_place)
        if (const auto again = verify(plans.by_rank, {.in_place = true}); !again) return std::unexpected(again.error());
    return fmt::format("verified: right{}; {} steps, {} messages, at most {} one after the other; {}; {}",
                       plans.in_place ? ", in place too" : "", proved->steps, proved->messages, proved->message_chain,
                       proved->accesses_ordered ? "no race" : "races were not looked for among so many ranks",
                       !reduces(plans.by_rank[0].collective) ? "nothing is summed"
                       : proved->tree                        ? "sums are the deterministic tree"
                                                             : "sums are not the deterministic tree");
}

Result<std::string> shown(const PlanOptions& options, const Plans& plans) {
    if (options.format == "svg") return svg_of(plans.by_rank);
    if (options.format == "json")
        return (options.rank ? json_of(plans.by_rank[static_cast<std::size_t>(*options.rank)])
                             : json_of(plans.by_rank)) +
               "\n";
    std::string text =
        plans.reason.empty() ? "" : fmt::format("chosen: {} ({})\n", plans.by_rank[0].algorithm, plans.reason);
    text += plans.payload;
    for (const Plan& plan : plans.by_rank)
        if (!options.rank || plan.rank == *options.rank) text += text_of(plan);
    return text;
}

int write_out(const PlanOptions& options, const std::string& text) {
    if (options.out_file.empty()) {
        fmt::print("{}", text);
        return 0;
    }
    return write_file(options.out_file, text) ? 0 : 1;
}

int plan(const PlanOptions& options) {
    const bool is_imported = !options.msccl_file.empty() || !options.json_file.empty();
    if (is_imported != options.collective.empty())
        return bad_input("name a collective, or a file with --msccl or --json (see tenon plan --help)");
    const auto plans = is_imported ? imported(options) : built(options);
    if (!plans) return bad_input(plans.error().message);
    if (options.rank && *options.rank >= static_cast<Rank>(plans->by_rank.size()))
        return bad_input(fmt::format("--rank: there is no rank {} among {}", *options.rank, plans->by_rank.size()));
    const auto text = shown(options, *plans);
    if (!text) return bad_input(text.error().message);
    const int written = write_out(options, *text);
    if (written != 0 || !options.is_verified) return written;
    std::fflush(stdout);
    const auto words = proof(*plans);
    fmt::print(stderr, "{}\n", words ? *words : "wrong: " + words.error().message);
    return words ? 0 : 1;
}

}  // namespace

void add_plan_command(CLI::App& program, Action& action) {
    auto options = std::make_shared<PlanOptions>();
    CLI::App* command = program.add_subcommand("plan", "Show what each rank does in a collective, and prove it right");
    command->add_option("collective", options->collective, "all_reduce, all_gather, ...");
    command->add_option("--ranks", options->rank_count, "How many ranks (default: 4)")->check(CLI::Range(1, 8192));
    command->add_option("--groups", options->groups,
                        "The groups that they are in: 4x2 (4 servers of 2 ranks), 2x3x4 (2 supernodes of 3 servers of "
                        "4), 3,1,4 (servers of 3, 1 and 4)");
    command->add_option("--algorithm", options->algorithm, "Its name (default: what a call of this size would use)");
    command->add_option("--bytes", options->bytes, "Size of the large buffer")->capture_default_str();
    command->add_option("--type", options->type, "Data type")->capture_default_str();
    command->add_option("--root", options->root, "Root of a rooted collective")->capture_default_str();
    command->add_option("--rank", options->rank, "Only this rank's plan (text and JSON)")
        ->check(CLI::Range(0, 1 << 20));
    auto* msccl = command->add_option("--msccl", options->msccl_file, "Read the plans from an MSCCL algorithm (XML)");
    command->add_option("--json", options->json_file, "Read the plans from JSON as this command writes it")
        ->excludes(msccl);
    command->add_option("--format", options->format, "text, json or svg")
        ->check(CLI::IsMember({"text", "json", "svg"}))
        ->capture_default_str();
    command->add_option("--out", options->out_file, "Write to this file");
    command->add_flag("--verify", options->is_verified,
                      "Prove that the plans are right, and say what was proved on standard error");
    command->callback([options, &action] { action = [options] { return plan(*options); }; });
}

}  // namespace tenon
