#include "config/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/values.hpp"

namespace tenon {
namespace {

constexpr std::string_view prefix = "TENON_";
// Names under our prefix that belong to what surrounds Tenon: its tests, and the programs it is compared with.
constexpr std::array<std::string_view, 3> names_of_others{"TENON_CORPORA", "TENON_PEERS_HOME", "TENON_TEST_SEED"};

std::unexpected<Error> unknown_name(std::string_view name) {
    const auto rows = config_variables();
    const auto closest =
        std::min_element(rows.begin(), rows.end(), [&](const VariableRow& one, const VariableRow& other) {
            return edit_distance(one.name, name) < edit_distance(other.name, name);
        });
    return fail(Status::invalid_argument, fmt::format("{} is not a variable of Tenon's; the closest is {} (tenon info "
                                                      "--variables lists them)",
                                                      name, closest->name));
}

Result<void> set_row(Config& config, const VariableRow& row, std::string_view value) {
    if (value.empty())
        return fail(Status::invalid_argument,
                    fmt::format("{} is set but empty: unset it, or make it {}", row.name, row.allowed));
    const auto problem = row.parse(config, value);
    if (!problem) return {};
    return fail(Status::invalid_argument, fmt::format("{}={} is wrong: {}{}it must be {}", row.name, value, *problem,
                                                      problem->empty() ? "" : "; ", row.allowed));
}

}  // namespace

Result<void> set_variable(Config& config, std::string_view name, std::string_view value) {
    const auto rows = config_variables();
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const VariableRow& r) { return r.name == name; });
    if (row == rows.end()) return unknown_name(name);
    return set_row(config, *row, value);
}

Result<Config> read_config(const Environment& environment) {
    Config config;
    for (auto at = environment.lower_bound(prefix); at != environment.end() && at->first.starts_with(prefix); ++at) {
        if (std::find(names_of_others.begin(), names_of_others.end(), at->first) != names_of_others.end()) continue;
        if (auto set = set_variable(config, at->first, at->second); !set) return std::unexpected(set.error());
    }
    return config;
}

std::string agreed_settings(const Config& config) {
    std::string lines;
    for (const VariableRow& row : config_variables())
        if (row.must_agree) lines += fmt::format("{}={}\n", row.name, row.show(config));
    return lines;
}

std::string preferred_settings(const Config& config) {
    std::string lines;
    for (const VariableRow& row : config_variables())
        if (const std::string value = row.show(config); row.should_agree && value != row.default_text())
            lines += fmt::format("{}={}\n", row.name, value);
    return lines;
}

}  // namespace tenon
