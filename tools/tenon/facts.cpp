#include "tools/tenon/facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tenon {
namespace {

std::string as_text(const FactsTable& table) {
    std::string shown = table.title + "\n";
    const std::size_t columns = std::min(table.columns.size(), table.text_columns);
    std::vector<std::size_t> widths(columns, 0);
    const auto widen = [&](const std::vector<std::string>& cells) {
        for (std::size_t i = 0; i < columns; i++) widths[i] = std::max(widths[i], cells[i].size());
    };
    const auto add = [&](const std::vector<std::string>& cells) {
        std::string line;
        for (std::size_t i = 0; i < columns; i++)
            line += fmt::format("  {:<{}}", cells[i], i + 1 < columns ? widths[i] : 0);
        shown += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    };
    for (const auto& row : table.rows) widen(row);
    if (!table.is_record) {
        widen(table.columns);
        add(table.columns);
    }
    for (const auto& row : table.rows) add(row);
    return shown;
}

std::string as_markdown(const FactsTable& table) {
    const auto line = [](std::vector<std::string> cells) {
        for (std::string& cell : cells)
            for (std::size_t at = cell.find('|'); at != std::string::npos; at = cell.find('|', at + 2))
                cell.insert(at, "\\");
        return fmt::format("| {} |\n", fmt::join(cells, " | "));
    };
    std::string shown = line(table.columns) + line(std::vector<std::string>(table.columns.size(), "---"));
    for (const auto& row : table.rows) shown += line(row);
    return shown;
}

nlohmann::ordered_json as_json(const FactsTable& table) {
    nlohmann::ordered_json all = table.is_record ? nlohmann::ordered_json::object() : nlohmann::ordered_json::array();
    for (const auto& row : table.rows) {
        if (table.is_record) {
            all[row[0]] = row[1];
            continue;
        }
        nlohmann::ordered_json one;
        for (std::size_t i = 0; i < row.size(); i++) one[table.columns[i]] = row[i];
        all.push_back(std::move(one));
    }
    return all;
}

}  // namespace

std::optional<FactsFormat> facts_format_named(std::string_view name) {
    if (name == "text") return FactsFormat::text;
    if (name == "json") return FactsFormat::json;
    if (name == "markdown") return FactsFormat::markdown;
    return std::nullopt;
}

std::string show(const std::vector<FactsTable>& tables, FactsFormat format) {
    if (format == FactsFormat::json) {
        nlohmann::ordered_json all;
        for (const FactsTable& table : tables) all[table.title] = as_json(table);
        return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    }
    std::string shown;
    for (const FactsTable& table : tables) {
        if (!shown.empty()) shown += "\n";
        if (format == FactsFormat::text)
            shown += as_text(table);
        else
            shown += (tables.size() > 1 ? "## " + table.title + "\n" : "") + as_markdown(table);
    }
    return shown;
}

}  // namespace tenon
