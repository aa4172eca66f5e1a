#include "tools/tenon/explain_moe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "communicator/moe.hpp"
#include "exchange/moe_price.hpp"
#include "tools/tenon/command.hpp"
#include "tools/tenon/facts.hpp"

namespace tenon {
namespace {

Result<DataType> type_named(const char* option, const std::string& name) {
    if (const auto type = data_type_named(name)) return *type;
    return fail(Status::invalid_argument, fmt::format("{}: there is no '{}'", option, name));
}

Result<MoeShape> shape_of(const MoeExplainOptions& options, Rank rank_count) {
    const auto dispatch = type_named("--type", options.dispatch_type);
    if (!dispatch) return std::unexpected(dispatch.error());
    const auto combine = type_named("--combine-type", options.combine_type);
    if (!combine) return std::unexpected(combine.error());
    MoeShape shape{.experts = options.experts,
                   .top_k = options.top_k,
                   .hidden = options.hidden,
                   .most_tokens = options.tokens,
                   .token_type = *dispatch,
                   .dispatch_type = *dispatch,
                   .combine_type = *combine,
                   .partial_type = *combine,
                   .layout = options.layout == "rank" ? MoeLayout::rank_major : MoeLayout::expert_major};
    place_in_blocks(shape, rank_count);
    if (auto ok = check(shape, 0, rank_count); !ok) return std::unexpected(ok.error());
    return shape;
}

std::string mb(double bytes) { return fmt::format("{:.2f}", bytes / 1e6); }

FactsTable times_of(const MoeShape& shape, const MoePathChoice& choice) {
    const bool is_flat = choice.path == MoePath::flat;
    FactsTable table{.title = fmt::format("moe, {} tokens of each rank, {} experts, top-{}, rows of {} bytes: {} ({})",
                                          shape.most_tokens, shape.experts, shape.top_k, shape.dispatch_row_bytes(),
                                          is_flat ? "flat" : "hierarchical", choice.reason),
                     .columns = {"path", "dispatch us", "limited by", "combine us", "limited by"},
                     .rows = {}};
    const auto add = [&](const std::string& name, bool is_chosen, const MoeWayPrice& way) {
        table.rows.push_back({fmt::format("{} {}", is_chosen ? "*" : " ", name),
                              fmt::format("{:.1f}", way.dispatch_ns / 1e3), way.dispatch_limit,
                              fmt::format("{:.1f}", way.combine_ns / 1e3), way.combine_limit});
    };
    add("flat", is_flat, choice.flat);
    add(choice.rounds > 1 ? fmt::format("hierarchical, {} rounds", choice.rounds) : "hierarchical", !is_flat,
        choice.hierarchical);
    return table;
}

FactsTable bytes_of(const MoePathChoice& choice) {
    FactsTable table{.title = "expected MB of rows between ranks, all together",
                     .columns = {"between parts of a", "flat dispatch", "flat combine", "hierarchical dispatch",
                                 "hierarchical combine"},
                     .rows = {}};
    for (std::size_t i = 0; i < choice.flat.levels.size(); i++) {
        const MoeLevelBytes &flat = choice.flat.levels[i], &other = choice.hierarchical.levels[i];
        table.rows.push_back({flat.level, mb(flat.dispatch), mb(flat.combine), mb(other.dispatch), mb(other.combine)});
    }
    return table;
}

FactsTable leaving_of(const MoePathChoice& choice) {
    const double least = std::max(choice.hierarchical.leaving_bytes, 1.0);
    FactsTable table{.title = "expected MB that a dispatch sends to other nodes, all ranks together",
                     .columns = {"a row for each", "MB", "times the least"},
                     .rows = {}};
    for (const auto& [name, bytes] : {std::pair{"expert", choice.per_expert_leaving_bytes},
                                      {"rank (flat)", choice.flat.leaving_bytes},
                                      {"node (hierarchical)", choice.hierarchical.leaving_bytes}})
        table.rows.push_back({name, mb(bytes), fmt::format("{:.2f}", bytes / least)});
    return table;
}

nlohmann::json json_of(const MoeWayPrice& way) {
    nlohmann::json made{{"dispatch_us", way.dispatch_ns / 1e3},
                        {"dispatch_limited_by", way.dispatch_limit},
                        {"combine_us", way.combine_ns / 1e3},
                        {"combine_limited_by", way.combine_limit},
                        {"leaving_bytes", way.leaving_bytes},
                        {"levels", nlohmann::json::array()}};
    for (const MoeLevelBytes& level : way.levels)
        made["levels"].push_back(
            {{"level", level.level}, {"dispatch_bytes", level.dispatch}, {"combine_bytes", level.combine}});
    return made;
}

}  // namespace

void add_moe_options(CLI::App& command, MoeExplainOptions& options) {
    const auto add = [&](const char* name, auto& value, const char* what, std::uint64_t most) {
        command.add_option(name, value, what)->check(CLI::Range(std::uint64_t{1}, most))->capture_default_str();
    };
    add("--tokens", options.tokens, "moe: of each rank", 1 << 24);
    add("--experts", options.experts, "moe: of the model", most_experts);
    add("--top-k", options.top_k, "moe: experts of a token", most_slots_of_token);
    add("--hidden", options.hidden, "moe: elements of a row", 1 << 24);
    command.add_option("--combine-type", options.combine_type, "moe: of the experts' rows; --type is the tokens'")
        ->capture_default_str();
    command.add_option("--layout", options.layout, "moe: expert or rank")
        ->check(CLI::IsMember({"expert", "rank"}))
        ->capture_default_str();
}

int explain_moe(const MoeExplainOptions& options, const Topology& topology, const CostParameters& costs, bool as_json) {
    const auto shape = shape_of(options, topology.rank_count);
    if (!shape) return bad_input(shape.error().message);
    const MoePathChoice choice = choose_moe_path(*shape, MoeGroup::nodes_of(topology), topology, costs);
    if (!as_json) {
        fmt::print("{}\n{}", in_words(topology),
                   show({times_of(*shape, choice), bytes_of(choice), leaving_of(choice)}, FactsFormat::text));
        return 0;
    }
    const nlohmann::json made{{"ranks", topology.rank_count},
                              {"chosen", choice.path == MoePath::flat ? "flat" : "hierarchical"},
                              {"reason", choice.reason},
                              {"rounds", choice.rounds},
                              {"per_expert_leaving_bytes", choice.per_expert_leaving_bytes},
                              {"flat", json_of(choice.flat)},
                              {"hierarchical", json_of(choice.hierarchical)}};
    fmt::print("{}\n", made.dump(1));
    return 0;
}

}  // namespace tenon
