// `tenon explain all_reduce --bytes 1M --topology FILE`: which algorithm a call would use among these ranks and why,
// beside the others with what each is predicted to take; with --measure, in a launcher's job, beside what it takes.
//
// Exit status: 1 when a plan is wrong (--verify) or a rank failed, 2 for bad input.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "communicator/surroundings.hpp"
#include "config/values.hpp"
#include "plan/all_ranks.hpp"
#include "plan/verifier.hpp"
#include "selection/selection.hpp"
#include "tools/tenon/command.hpp"
#include "tools/tenon/explain_moe.hpp"
#include "tools/tenon/facts.hpp"
#include "tools/tenon/job_timing.hpp"
#include "tools/tenon/worlds.hpp"

namespace tenon {
namespace {

struct ExplainOptions {
    std::string collective, type = "float32", format = "text";
    std::vector<std::string> sizes{"1M"};
    WorldOptions world;
    MoeExplainOptions moe;
    Rank root = 0;
    bool is_verified = false, is_measured = false;
    double round_ms = 10;
    int rounds = 5;
};

// A call's candidates, and which of them it would use.
struct Explanation {
    Request request;
    std::uint64_t bytes = 0;
    std::vector<Candidate> candidates;
    Choice choice;
    std::vector<std::optional<double>> measured_ns{};  // by candidate
};

Result<std::vector<Collective>> collectives_of(const std::string& name) {
    std::vector<Collective> all;
    for (std::size_t c = 0; c < planned_collective_count; c++)
        if (name == "all" || collective_named(name) == static_cast<Collective>(c))
            all.push_back(static_cast<Collective>(c));
    if (!all.empty()) return all;
    return fail(Status::invalid_argument, fmt::format("'{}' is no collective that has a plan, and not all", name));
}

Result<std::vector<Request>> requests_of(const ExplainOptions& options, const Topology& topology, bool deterministic) {
    const auto collectives = collectives_of(options.collective);
    if (!collectives) return std::unexpected(collectives.error());
    const auto type = data_type_named(options.type);
    if (!type) return fail(Status::invalid_argument, fmt::format("--type: there is no '{}'", options.type));
    if (options.root < 0 || options.root >= topology.rank_count)
        return fail(Status::invalid_argument,
                    fmt::format("--root: there is no rank {} among {}", options.root, topology.rank_count));
    std::vector<Request> requests;
    for (const Collective collective : *collectives)
        for (const std::string& text : options.sizes) {
            const auto bytes = parse_size(text);
            if (!bytes)
                return fail(Status::invalid_argument, fmt::format("--bytes: '{}' is no size, such as 64K or 1M", text));
            Request r{.collective = collective,
                      .rank_count = topology.rank_count,
                      .count = {1},
                      .type = *type,
                      .root = options.root,
                      .deterministic = deterministic};
            r.count.value = std::max<std::uint64_t>(1, *bytes / large_buffer_bytes(r).value);
            requests.push_back(r);
            if (collective == Collective::barrier) break;
        }
    return requests;
}

Result<Explanation> explain(const Request& request, const Selection& selection, const Topology& topology) {
    auto choice = selection.choose(request, topology);
    if (!choice) return std::unexpected(choice.error());
    return Explanation{request, request.collective == Collective::barrier ? 0 : large_buffer_bytes(request).value,
                       selection.candidates(request, topology), std::move(*choice)};
}

std::string microseconds(double ns) {
    return ns < 1e5   ? fmt::format("{:.2f}", ns / 1e3)
           : ns < 1e6 ? fmt::format("{:.1f}", ns / 1e3)
                      : fmt::format("{:.0f}", ns / 1e3);
}

const LevelLoad& busiest(const Price& price) {
    return *std::ranges::max_element(price.levels, {}, &LevelLoad::busy_ns);
}

FactsTable table_of(const Explanation& e) {
    const bool is_measured = !e.measured_ns.empty();
    FactsTable table{.title = fmt::format("{} of {} bytes: {} ({})", name_of(e.request.collective), show_size(e.bytes),
                                          e.choice.algorithm->name, e.choice.reason),
                     .columns = {"algorithm", "predicted us", "of it latency", "busiest links us", "cores us",
                                 "limited by, or why not"},
                     .rows = {}};
    if (is_measured) table.columns.insert(table.columns.begin() + 2, {"measured us", "error %"});
    for (std::size_t i = 0; i < e.candidates.size(); i++) {
        const Candidate& c = e.candidates[i];
        const std::string name =
            fmt::format("{}{}", c.algorithm == e.choice.algorithm ? "* " : "  ", c.algorithm->name);
        if (!c.price) {
            table.rows.push_back({name, "-", "-", "-", "-", c.obstacle});
        } else {
            table.rows.push_back({name, microseconds(c.price->total_ns), microseconds(c.price->latency_ns),
                                  microseconds(busiest(*c.price).busy_ns), microseconds(c.price->cores_ns),
                                  c.price->limit()});
        }
        if (!is_measured) continue;
        const auto& ns = e.measured_ns[i];
        const std::string error = ns && c.price ? fmt::format("{:+.0f}", (c.price->total_ns / *ns - 1) * 100) : "-";
        table.rows.back().insert(table.rows.back().begin() + 2, {ns ? microseconds(*ns) : "-", error});
    }
    return table;
}

nlohmann::json json_of(const Explanation& e) {
    nlohmann::json all = nlohmann::json::array();
    for (std::size_t i = 0; i < e.candidates.size(); i++) {
        const Candidate& c = e.candidates[i];
        nlohmann::json one{{"algorithm", c.algorithm->name}, {"is_chosen", c.algorithm == e.choice.algorithm}};
        if (!c.price) one["obstacle"] = c.obstacle;
        if (!e.measured_ns.empty() && e.measured_ns[i]) one["measured_us"] = *e.measured_ns[i] / 1e3;
        if (c.price) {
            one["predicted_us"] = c.price->total_ns / 1e3;
            one["latency_us"] = c.price->latency_ns / 1e3;
            one["cores_us"] = c.price->cores_ns / 1e3;
            one["reduction_us"] = c.price->reduction_ns / 1e3;
            one["limited_by"] = c.price->limit();
            one["simulated_ranks"] = c.price->simulated_ranks;
            for (const LevelLoad& load : c.price->levels)
                one["levels"].push_back(
                    {{"level", load.level}, {"part_bytes", load.part_bytes}, {"busy_us", load.busy_ns / 1e3}});
        }
        all.push_back(std::move(one));
    }
    return {{"collective", name_of(e.request.collective)}, {"bytes", e.bytes},          {"ranks", e.request.rank_count},
            {"chosen", e.choice.algorithm->name},          {"reason", e.choice.reason}, {"candidates", std::move(all)}};
}

// The chosen algorithm's plans of all ranks, in words; an error where they are wrong.
Result<std::string> proof(const Explanation& e, const Topology& topology) {
    const auto plans = plans_of_all_ranks(*e.choice.algorithm, e.request, topology);
    if (!plans) return std::unexpected(plans.error());
    const auto proved = verify(*plans);
    if (!proved) return std::unexpected(proved.error());
    return fmt::format("verified: the plans of {} ranks of {} {} are right; {} steps", plans->size(),
                       e.choice.algorithm->name, name_of(e.request.collective), proved->steps);
}

int show_all(const ExplainOptions& options, const Topology& topology, const std::vector<Explanation>& all) {
    if (options.format == "json") {
        nlohmann::json shown{{"ranks", topology.rank_count}, {"hosts", topology.hosts}, {"calls", {}}};
        for (const Explanation& e : all) shown["calls"].push_back(json_of(e));
        fmt::print("{}\n", shown.dump(1));
    } else {
        std::vector<FactsTable> tables;
        for (const Explanation& e : all) tables.push_back(table_of(e));
        fmt::print("{}\n{}", in_words(topology), show(tables, FactsFormat::text));
    }
    std::fflush(stdout);
    if (!options.is_verified) return 0;
    for (const Explanation& e : all) {
        const auto words = proof(e, topology);
        fmt::print(stderr, "{}\n", words ? *words : "wrong: " + words.error().message);
        if (!words) return 1;
    }
    return 0;
}

Result<std::vector<Explanation>> explain_all(const ExplainOptions& options, const Selection& selection,
                                             const Topology& topology, bool deterministic) {
    const auto requests = requests_of(options, topology, deterministic);
    if (!requests) return std::unexpected(requests.error());
    std::vector<Explanation> all;
    for (const Request& request : *requests) {
        auto one = explain(request, selection, topology);
        if (!one) return std::unexpected(one.error());
        all.push_back(std::move(*one));
    }
    return all;
}

int explain_job(const ExplainOptions& options, const Config& config) {
    auto job = JobTiming::join(config);
    if (!job) return bad_input(job.error().message);
    const auto selection = Selection::make(job->algorithms(), config);
    if (!selection) return bad_input(selection.error().message);
    const Topology& topology = job->ranks().topology();
    auto all = explain_all(options, *selection, topology, config.deterministic);
    if (!all) return job->ranks().rank() == 0 ? bad_input(all.error().message) : 2;
    for (Explanation& e : *all) {
        auto measured = job->time_all(e.request, options.round_ms, options.rounds);
        if (!measured) {
            bad_input(measured.error().message);
            return 1;
        }
        e.measured_ns = std::move(*measured);
    }
    return job->ranks().rank() == 0 ? show_all(options, topology, *all) : 0;
}

int explain_world(const ExplainOptions& options, const Config& config) {
    const auto known = known_algorithms(config);
    if (!known) return bad_input(known.error().message);
    const auto selection = Selection::make(*known, config);
    if (!selection) return bad_input(selection.error().message);
    const auto world = world_of(options.world);
    if (!world) return bad_input(world.error().message);
    const Topology topology = selection->tuning().applied_to(*world);
    if (options.collective == "moe")
        return explain_moe(options.moe, topology, selection->tuning().costs, options.format == "json");
    const auto all = explain_all(options, *selection, topology, config.deterministic);
    return all ? show_all(options, topology, *all) : bad_input(all.error().message);
}

int explain_command(const ExplainOptions& options) {
    const auto config = read_config();
    if (!config) return bad_input(config.error().message);
    if (options.collective == "moe" && (options.is_measured || options.is_verified))
        return bad_input("moe has no plan to verify, and is measured by tenon-perf moe");
    return options.is_measured ? explain_job(options, *config) : explain_world(options, *config);
}

}  // namespace

void add_explain_command(CLI::App& program, Action& action) {
    auto options = std::make_shared<ExplainOptions>();
    CLI::App* command =
        program.add_subcommand("explain", "Say which algorithm a call would use, why, and what each would take");
    command
        ->add_option("collective", options->collective,
                     "all_reduce, all_gather, ..., or all; moe: dispatch and combine")
        ->required();
    command->add_option("--bytes", options->sizes, "Sizes of the large buffer, such as 8,64K,1M")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->capture_default_str();
    auto* type = command->add_option("--type", options->type, "Data type (of moe: bfloat16)")->capture_default_str();
    command->add_option("--root", options->root, "Root of a rooted collective")->capture_default_str();
    add_world_options(*command, options->world);
    command->add_flag("--verify", options->is_verified,
                      "Prove the chosen plans of all ranks right, and say so on standard error");
    command->add_flag("--measure", options->is_measured,
                      "Time each of them too, as the ranks of a job: tenon run -n 4 -- tenon explain all --measure");
    command->add_option("--round-ms", options->round_ms, "With --measure: how long a round of one algorithm takes")
        ->check(CLI::Range(0.1, 10'000.0))
        ->capture_default_str();
    command->add_option("--rounds", options->rounds, "With --measure: rounds, of which the median counts")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    command->add_option("--format", options->format, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    add_moe_options(*command, options->moe);
    command->callback([options, type, &action] {
        if (!type->empty()) options->moe.dispatch_type = options->type;
        action = [options] { return explain_command(*options); };
    });
}

}  // namespace tenon
