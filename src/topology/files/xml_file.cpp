#include "topology/files/xml_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "topology/plain_text.hpp"

namespace tenon::topology_files {

XmlReader::XmlReader(std::string_view bytes, std::string_view file) : bytes_(bytes), file_(file) {
    if (bytes.size() > max_xml_bytes)
        refuse_at(1, fmt::format("{} bytes; {} are read at most", bytes.size(), max_xml_bytes));
    for (std::size_t at = 0; at < bytes.size() && !is_refused(); at++)
        if (bytes[at] == '\n') line_ends_.push_back(static_cast<std::ptrdiff_t>(at));
}

std::size_t XmlReader::line_at(std::ptrdiff_t offset) const {
    return static_cast<std::size_t>(std::ranges::lower_bound(line_ends_, offset) - line_ends_.begin()) + 1;
}

void XmlReader::refuse_at(std::size_t line, std::string_view why) {
    if (!error_) error_ = Error{Status::invalid_argument, fmt::format("{}:{}: {}", file_, line, why)};
}

void XmlReader::refuse(pugi::xml_node node, std::string_view why) {
    refuse_at(line_at(node.offset_debug()), fmt::format("<{}>: {}", shown(node.name()), why));
}

void XmlReader::note(pugi::xml_node node, const MapBuilder& builder) {
    if (builder.problem()) refuse(node, *builder.problem());
}

pugi::xml_node XmlReader::load(const char* name) {
    if (is_refused()) return {};
    const auto parsed = document_.load_buffer(bytes_.data(), bytes_.size(), pugi::parse_default, pugi::encoding_utf8);
    if (!parsed) {
        refuse_at(line_at(parsed.offset), fmt::format("not well-formed XML: {}", parsed.description()));
        return {};
    }
    const pugi::xml_node root = document_.document_element();
    if (std::string_view{root.name()} != name)
        refuse(root, fmt::format("the outermost element must be <{}>", name));
    else if (const pugi::xml_node more = root.next_sibling(); more.type() == pugi::node_element)
        refuse(more, fmt::format("stands behind the end of <{}>", name));
    return is_refused() ? pugi::xml_node{} : root;
}

std::string_view XmlReader::text(pugi::xml_node node, const char* name) {
    const pugi::xml_attribute attribute = node.attribute(name);
    if (!attribute) refuse(node, fmt::format("the attribute {} is missing", name));
    return attribute.value();
}

std::int64_t XmlReader::number(pugi::xml_node node, const char* name, std::int64_t or_else, std::int64_t low,
                               std::int64_t high) {
    const pugi::xml_attribute attribute = node.attribute(name);
    if (!attribute) return or_else;
    const std::string_view text = attribute.value();
    const bool is_hexadecimal = text.starts_with("0x");
    const std::string_view digits = is_hexadecimal ? text.substr(2) : text;
    std::int64_t value = 0;
    const auto [end, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, is_hexadecimal ? 16 : 10);
    if (problem == std::errc{} && end == digits.data() + digits.size() && value >= low && value <= high) return value;
    refuse(node, fmt::format("{} is \"{}\", not a whole number from {} to {}", name, shown(text), low, high));
    return or_else;
}

double XmlReader::decimal(pugi::xml_node node, const char* name, double or_else, double high) {
    const pugi::xml_attribute attribute = node.attribute(name);
    if (!attribute) return or_else;
    const std::string_view text = attribute.value();
    double value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem == std::errc{} && end == text.data() + text.size() && value >= 0 && value <= high) return value;
    refuse(node, fmt::format("{} is \"{}\", not a number from 0 to {}", name, shown(text), high));
    return or_else;
}

std::string PlaceNames::name_for(PlaceIndex parent, std::string_view wanted) {
    std::string name;
    for (const char c : wanted.substr(0, 200))
        name += c == '/'                                                                        ? '|'
                : static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f ? c
                                                                                                : '?';
    if (name.empty()) name = "unnamed";
    const std::string first = fmt::format("{}/{}", parent.value, name);
    std::string key = first;
    std::string unique = name;
    while (!taken_.emplace(key, 1).second) {
        unique = fmt::format("{} ({})", name, ++taken_[first]);
        key = fmt::format("{}/{}", parent.value, unique);
    }
    return unique;
}

void set_fact_if_plain(MapBuilder& builder, PlaceIndex place, std::string_view name, std::string_view value) {
    if (!value.empty() && value.size() <= max_fact_bytes && is_plain_text(value) && is_plain_text(name))
        builder.set_fact(place, name, value);
}

}  // namespace tenon::topology_files
