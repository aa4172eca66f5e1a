// Facts as tables of text, shown in one of three formats. What `tenon info` prints.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenon {

enum class FactsFormat { text, json, markdown };
std::optional<FactsFormat> facts_format_named(std::string_view name);

struct FactsTable {
    std::string title;                 // also the key in JSON
    std::vector<std::string> columns;  // their keys in JSON; with two columns and `is_record`, one object in all
    std::vector<std::vector<std::string>> rows;
    bool is_record = false;
    std::size_t text_columns = SIZE_MAX;  // a terminal has no room for more; the other formats show all
};

std::string show(const std::vector<FactsTable>& tables, FactsFormat format);

}  // namespace tenon
