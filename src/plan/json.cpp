// Plans to JSON and back; printer.hpp documents the format.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

#include "plan/bounds.hpp"
#include "plan/names.hpp"
#include "plan/printer.hpp"

namespace tenon {
namespace {

using Json = nlohmann::ordered_json;

constexpr int format_version = 1;
constexpr std::size_t max_json_bytes = 256u << 20;

Json written(const Chunk& chunk) {
    Json json{{"buffer", name_of(chunk.buffer)}, {"index", chunk.index}};
    if (chunk.count != 1) json["count"] = chunk.count;
    if (chunk.buffer == BufferId::scratch && chunk.shape != 0) json["shape"] = chunk.shape;
    return json;
}

Json written(const Plan& plan, const Step& step) {
    Json json{{"kind", name_of(step.kind)}};
    if (reads_source(step.kind) && step.source.count != 0) json["source"] = written(step.source);
    if (writes_destination(step.kind) && step.destination.count != 0) json["destination"] = written(step.destination);
    for (const Chunk& operand : plan.operands_of(step)) json["operands"].push_back(written(operand));
    if (receives(step.kind)) {
        json["from"] = step.receive_from;
        if (step.receive_channel != 0) json["receive_channel"] = step.receive_channel;
    }
    if (sends(step.kind)) {
        if (step.send_to == everyone)
            json["to"] = "everyone";
        else
            json["to"] = step.send_to;
        if (step.send_channel != 0 && step.send_to != everyone) json["send_channel"] = step.send_channel;
    }
    for (const StepRef& earlier : plan.dependencies_of(step)) json["after"].push_back({earlier.lane, earlier.step});
    if (step.completes) json["completes"] = true;
    if (step.source_stable) json["source_stable"] = true;
    if (step.destination_free) json["destination_free"] = true;
    if (step.answered) json["answered"] = true;
    if (step.exchanged) json["exchanged"] = true;
    return json;
}

Json written(const Plan& plan) {
    Json json{{"tenon_plan", format_version},  {"collective", name_of(plan.collective)},
              {"algorithm", plan.algorithm},   {"rank", plan.rank},
              {"rank_count", plan.rank_count}, {"root", plan.root},
              {"pieces", plan.pieces},         {"scratch_cells", plan.scratch_cells}};
    if (plan.tile_bytes == one_tile)
        json["tile_bytes"] = "one_tile";
    else
        json["tile_bytes"] = plan.tile_bytes;
    json["lanes"] = Json::array();
    for (const Lane& lane : plan.lanes) {
        Json steps = Json::array();
        for (const Step& step : lane.steps) steps.push_back(written(plan, step));
        json["lanes"].push_back(std::move(steps));
    }
    return json;
}

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Reads one plan; the first problem is kept, and everything after it reads as its default.
class Reader {
public:
    Result<Plan> read(const Json& json) {
        if (!json.is_object()) problem("", "is not an object");
        only(json, "",
             {"tenon_plan", "collective", "algorithm", "rank", "rank_count", "root", "pieces", "scratch_cells",
              "tile_bytes", "lanes"});
        if (number<int>(json, "", "tenon_plan", {}) != format_version)
            problem("tenon_plan", fmt::format("is not {}, the version that is read here", format_version));
        plan_.collective = named(json, "", "collective", collective_named, Collective::barrier);
        plan_.algorithm = text(json, "", "algorithm");
        plan_.rank = number<Rank>(json, "", "rank", {});
        plan_.rank_count = number<Rank>(json, "", "rank_count", {});
        plan_.root = number<Rank>(json, "", "root", 0);
        plan_.pieces = number<std::uint32_t>(json, "", "pieces", {});
        plan_.scratch_cells = number<std::uint32_t>(json, "", "scratch_cells", 0);
        plan_.tile_bytes = json.is_object() && json.contains("tile_bytes") && json["tile_bytes"] == "one_tile"
                               ? one_tile
                               : number<std::uint64_t>(json, "", "tile_bytes", 0);
        plan_.input_blocks = input_blocks(plan_.collective, plan_.rank, plan_.rank_count, plan_.root);
        plan_.output_blocks = output_blocks(plan_.collective, plan_.rank, plan_.rank_count, plan_.root);
        if (plan_.pieces == 0) problem("pieces", "is 0");
        if (problem_.empty()) read_lanes(json);
        if (!problem_.empty()) return fail(Status::invalid_argument, "the plan's JSON: " + problem_);
        if (auto in_bounds = check_bounds(plan_); !in_bounds) return std::unexpected(in_bounds.error());
        return std::move(plan_);
    }

private:
    void problem(std::string_view where, std::string_view what) {
        if (problem_.empty()) problem_ = where.empty() ? std::string(what) : fmt::format("{} {}", where, what);
    }
    static std::string inside(const std::string& where, std::string_view key) {
        return where.empty() ? std::string(key) : fmt::format("{}.{}", where, key);
    }

    void only(const Json& json, const std::string& where, std::initializer_list<std::string_view> keys) {
        if (!json.is_object()) return;
        for (const auto& [key, value] : json.items())
            if (std::ranges::find(keys, key) == keys.end()) problem(inside(where, key), "is no key of a plan");
    }

    // The value of a key; null where there is none, which is a problem unless it may be missing.
    const Json& value(const Json& json, const std::string& where, std::string_view key, bool may_be_missing) {
        static const Json missing;
        if (json.is_object())
            if (const auto found = json.find(key); found != json.end()) return *found;
        if (!may_be_missing) problem(inside(where, key), "is missing");
        return missing;
    }

    template <class Number>
    Number in_range(const Json& json, const std::string& where) {
        if (!json.is_number_integer() || (!json.is_number_unsigned() && json.get<std::int64_t>() < 0) ||
            json.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<Number>::max())) {
            problem(where, fmt::format("is not a whole number from 0 to {}", std::numeric_limits<Number>::max()));
            return 0;
        }
        return static_cast<Number>(json.get<std::uint64_t>());
    }

    template <class Number>
    Number number(const Json& json, const std::string& where, std::string_view key, std::optional<Number> or_else) {
        const Json& found = value(json, where, key, or_else.has_value());
        return found.is_null() ? or_else.value_or(0) : in_range<Number>(found, inside(where, key));
    }

    bool flag(const Json& json, const std::string& where, std::string_view key) {
        const Json& found = value(json, where, key, true);
        if (found.is_null()) return false;
        if (!found.is_boolean()) problem(inside(where, key), "is neither true nor false");
        return found.is_boolean() && found.get<bool>();
    }

    std::string text(const Json& json, const std::string& where, std::string_view key) {
        const Json& found = value(json, where, key, false);
        if (found.is_string()) return found.get<std::string>();
        problem(inside(where, key), "is not a text");
        return {};
    }

    template <class Value>
    Value named(const Json& json, const std::string& where, std::string_view key,
                std::optional<Value> (*value_named)(std::string_view), Value or_else) {
        const std::string name = text(json, where, key);
        const std::optional<Value> found = value_named(name);
        if (!found) problem(inside(where, key), fmt::format("is unknown: \"{:.40}\"", name));
        return found.value_or(or_else);
    }

    Chunk chunk(const Json& json, const std::string& where) {
        Chunk chunk;
        if (!json.is_object()) problem(where, "is not an object");
        only(json, where, {"buffer", "index", "count", "shape"});
        chunk.buffer = named(json, where, "buffer", buffer_named, BufferId::input);
        chunk.index = number<ChunkIndex>(json, where, "index", {});
        chunk.count = number<std::uint32_t>(json, where, "count", 1);
        const ChunkIndex shape = chunk.buffer == BufferId::scratch ? 0 : chunk.index % plan_.pieces;
        chunk.shape = number<ChunkIndex>(json, where, "shape", shape);
        return chunk;
    }

    Chunk chunk(const Json& json, const std::string& where, std::string_view key) {
        const Json& found = value(json, where, key, true);
        return found.is_null() ? Chunk{} : chunk(found, inside(where, key));
    }

    void read_lanes(const Json& json) {
        const Json& lanes = value(json, "", "lanes", false);
        if (!lanes.is_array()) problem("lanes", "is not an array");
        for (std::size_t lane = 0; lane < lanes.size() && problem_.empty(); lane++) {
            if (!lanes[lane].is_array()) return problem(fmt::format("lanes[{}]", lane), "is not an array");
            plan_.lanes.emplace_back();
            for (std::size_t step = 0; step < lanes[lane].size() && problem_.empty(); step++)
                plan_.lanes.back().steps.push_back(
                    read_step(lanes[lane][step], fmt::format("lanes[{}][{}]", lane, step)));
        }
    }

    Step read_step(const Json& json, const std::string& where) {
        Step step;
        if (!json.is_object()) problem(where, "is not an object");
        only(json, where,
             {"kind", "source", "destination", "operands", "from", "receive_channel", "to", "send_channel", "after",
              "completes", "source_stable", "destination_free", "answered", "exchanged"});
        step.kind = named(json, where, "kind", step_kind_named, StepKind::nothing);
        const auto unused = [&](std::initializer_list<std::string_view> keys) {
            for (const auto key : keys)
                if (json.is_object() && json.contains(key))
                    problem(inside(where, key), fmt::format("means nothing to a {}", name_of(step.kind)));
        };
        if (!reads_source(step.kind)) unused({"source"});
        if (!writes_destination(step.kind)) unused({"destination"});
        if (!receives(step.kind)) unused({"from", "receive_channel"});
        if (!sends(step.kind)) unused({"to", "send_channel"});
        step.source = chunk(json, where, "source");
        step.destination = chunk(json, where, "destination");
        read_peers(json, where, step);
        step.completes = flag(json, where, "completes");
        step.source_stable = flag(json, where, "source_stable");
        step.destination_free = flag(json, where, "destination_free");
        step.answered = flag(json, where, "answered");
        step.exchanged = flag(json, where, "exchanged");
        step.first_operand = static_cast<std::uint32_t>(plan_.operands.size());
        each(json, where, "operands", [&](const Json& item, const std::string& at) {
            plan_.operands.push_back(chunk(item, at));
            step.operand_count++;
        });
        step.first_dependency = static_cast<std::uint32_t>(plan_.dependencies.size());
        each(json, where, "after", [&](const Json& item, const std::string& at) {
            if (!item.is_array() || item.size() != 2) return problem(at, "is not a pair of lane and step");
            plan_.dependencies.push_back({in_range<std::uint32_t>(item[0], at), in_range<std::uint32_t>(item[1], at)});
            step.dependency_count++;
        });
        return step;
    }

    void read_peers(const Json& json, const std::string& where, Step& step) {
        if (receives(step.kind)) {
            step.receive_from = number<Rank>(json, where, "from", {});
            step.receive_channel = number<Channel>(json, where, "receive_channel", 0);
        }
        if (!sends(step.kind)) return;
        const bool to_everyone = value(json, where, "to", false) == "everyone";
        step.send_to = to_everyone ? everyone : number<Rank>(json, where, "to", {});
        step.send_channel = number<Channel>(json, where, "send_channel", to_everyone ? board_channel : 0);
    }

    template <class Use>
    void each(const Json& json, const std::string& where, std::string_view key, Use use) {
        const Json& items = value(json, where, key, true);
        if (items.is_null()) return;
        if (!items.is_array()) return problem(inside(where, key), "is not an array");
        for (std::size_t i = 0; i < items.size() && problem_.empty(); i++)
            use(items[i], fmt::format("{}[{}]", inside(where, key), i));
    }

    Plan plan_;
    std::string problem_;
};

Result<Json> parse(std::string_view json) {
    if (json.size() > max_json_bytes)
        return fail(Status::invalid_argument,
                    fmt::format("the plan's JSON has {} bytes; {} are read", json.size(), max_json_bytes));
    Json parsed = Json::parse(json, nullptr, false);
    if (parsed.is_discarded()) return fail(Status::invalid_argument, "the plan's JSON is not well-formed JSON");
    return parsed;
}

}  // namespace

std::string json_of(const Plan& plan) { return dumped(written(plan)); }

std::string json_of(std::span<const Plan> plans) {
    std::string json = "[";
    for (const Plan& plan : plans) json += (json.size() == 1 ? "\n" : ",\n") + json_of(plan);
    return json + "\n]\n";
}

Result<Plan> plan_from_json(std::string_view json) {
    const auto parsed = parse(json);
    if (!parsed) return std::unexpected(parsed.error());
    return Reader{}.read(*parsed);
}

Result<std::vector<Plan>> plans_from_json(std::string_view json) {
    const auto parsed = parse(json);
    if (!parsed) return std::unexpected(parsed.error());
    if (!parsed->is_array()) return fail(Status::invalid_argument, "the plans' JSON is not an array");
    std::vector<Plan> plans;
    for (const Json& one : *parsed) {
        auto plan = Reader{}.read(one);
        if (!plan) return std::unexpected(plan.error());
        plans.push_back(std::move(*plan));
    }
    return plans;
}

}  // namespace tenon
