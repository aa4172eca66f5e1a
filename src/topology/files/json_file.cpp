#include "topology/files/json_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <vector>

#include "topology/files/json_text.hpp"
#include "topology/plain_text.hpp"

namespace tenon::topology_files {
namespace {

std::string escaped(std::string_view key) {
    std::string pointer;
    for (const char c : key) pointer += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return pointer;
}

const Json missing_value;

// The keys of the objects that are open while the file is parsed, and the first that its object has had before.
class Keys {
public:
    bool operator()(int, Json::parse_event_t event, Json& parsed) {
        if (event == Json::parse_event_t::object_start) open_.emplace_back();
        if (event == Json::parse_event_t::object_end) open_.pop_back();
        if (event == Json::parse_event_t::key) {
            const auto& key = parsed.get_ref<const std::string&>();
            if (!open_.back().insert(key).second && !second_) second_ = {key, count_};
            count_++;
        }
        return true;
    }

    struct Second {
        std::string key;
        std::size_t ordinal;  // among all keys of the file
    };
    const std::optional<Second>& second() const { return second_; }

private:
    std::vector<std::set<std::string>> open_;
    std::size_t count_ = 0;
    std::optional<Second> second_;
};

std::size_t line_of(std::string_view bytes, std::size_t at) {
    return 1 + static_cast<std::size_t>(std::ranges::count(bytes.substr(0, at), '\n'));
}

std::unexpected<Error> refuse_file(std::string_view file, std::size_t line, std::string_view why) {
    return fail(Status::invalid_argument, fmt::format("{}:{}: {}", file, line, why));
}

}  // namespace

std::string described(const Json& value) {
    if (value.is_null()) return "null";
    if (value.is_string()) return fmt::format("the text \"{}\"", shown(value.get_ref<const std::string&>()));
    if (value.is_array()) return "an array";
    if (value.is_object()) return "an object";
    return shown(value.dump());
}

Result<Json> parse_json(std::string_view bytes, std::string_view file) {
    if (bytes.size() > max_json_bytes)
        return refuse_file(file, 1, fmt::format("{} bytes; {} are read at most", bytes.size(), max_json_bytes));
    // Before anything is made of it: a parser would need memory for each bracket.
    if (const auto line = line_deeper_than(bytes, max_json_depth))
        return refuse_file(file, *line,
                           fmt::format("arrays and objects lie inside one another more than {} deep", max_json_depth));
    Keys keys;
    try {
        Json parsed = Json::parse(bytes, std::ref(keys), true, true);
        if (const auto& second = keys.second())
            return refuse_file(file, line_of_key(bytes, second->ordinal),
                               fmt::format("an object has the key \"{}\" twice", shown(second->key)));
        return parsed;
    } catch (const Json::exception& error) {
        const auto* syntax = dynamic_cast<const Json::parse_error*>(&error);
        const std::size_t at = syntax != nullptr ? std::min(syntax->byte, bytes.size()) : 0;
        const std::size_t start = at > 20 ? at - 20 : 0;
        return refuse_file(file, line_of(bytes, at),
                           fmt::format("not well-formed JSON after \"{}\"", shown(bytes.substr(start, at - start))));
    }
}

JsonElement JsonElement::operator[](const char* key) const {
    const bool is_there = has(key);
    return {is_there ? *value_->find(key) : missing_value, fmt::format("{}/{}", pointer_, escaped(key))};
}

JsonElement JsonElement::operator[](std::size_t index) const {
    return {index < size() ? (*value_)[index] : missing_value, fmt::format("{}/{}", pointer_, index)};
}

void JsonReader::refuse(const JsonElement& element, std::string_view why) {
    if (error_) return;
    const std::string& pointer = element.pointer();
    error_ = Error{Status::invalid_argument, fmt::format("{}:{}: {}: {}", file_, line_of_element(bytes_, pointer),
                                                         pointer.empty() ? "/" : shown(pointer, 200), why)};
}

JsonElement JsonReader::member(const JsonElement& object, const char* key) {
    require_object(object);
    const JsonElement found = object[key];
    if (!object.has(key)) refuse(found, "is missing");
    return found;
}

void JsonReader::require_object(const JsonElement& element) {
    if (!element.value().is_object()) refuse(element, fmt::format("is {}, not an object", described(element.value())));
}

std::size_t JsonReader::array_size(const JsonElement& element, std::size_t most) {
    if (!element.value().is_array()) {
        refuse(element, fmt::format("is {}, not an array", described(element.value())));
        return 0;
    }
    if (element.size() > most) refuse(element, fmt::format("has {} elements; {} are allowed", element.size(), most));
    return is_refused() ? 0 : element.size();
}

std::string JsonReader::text(const JsonElement& element) {
    if (element.value().is_string()) return element.value().get<std::string>();
    refuse(element, fmt::format("is {}, not a text", described(element.value())));
    return {};
}

std::uint64_t JsonReader::number(const JsonElement& element, std::uint64_t low, std::uint64_t high) {
    const Json& value = element.value();
    std::optional<std::uint64_t> number;
    if (value.is_number_unsigned()) {
        number = value.get<std::uint64_t>();
    } else if (value.is_string() && takes_digits_in_text_) {
        const auto& digits = value.get_ref<const std::string&>();
        std::uint64_t parsed = 0;
        const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), parsed);
        if (problem == std::errc{} && end == digits.data() + digits.size()) number = parsed;
    }
    if (number && *number >= low && *number <= high) return *number;
    refuse(element, fmt::format("is {}, not a whole number from {} to {}", described(value), low, high));
    return low;
}

std::string JsonReader::words(const JsonElement& element) {
    const Json& value = element.value();
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number() || value.is_boolean()) return value.dump();
    refuse(element, fmt::format("is {}, not a text or a number", described(value)));
    return {};
}

}  // namespace tenon::topology_files
