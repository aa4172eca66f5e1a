// JSON files, read element by element: every complaint names the file, the line, the element by its JSON pointer,
// and the reason.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "tenon/plugin/types.hpp"

namespace tenon::topology_files {

using Json = nlohmann::json;

inline constexpr std::size_t max_json_bytes = 256u << 20;
inline constexpr std::size_t max_json_depth = 128;

// Comments (// and /* */) are taken for blanks, as the documentation of rank tables writes them. A key that an object
// gives twice is refused, because nobody can say which of the two is meant.
Result<Json> parse_json(std::string_view bytes, std::string_view file);

// A value and where it is.
class JsonElement {
public:
    JsonElement(const Json& value, std::string pointer) : value_(&value), pointer_(std::move(pointer)) {}

    const Json& value() const { return *value_; }
    const std::string& pointer() const { return pointer_; }
    bool has(const char* key) const { return value_->is_object() && value_->contains(key); }
    JsonElement operator[](const char* key) const;
    JsonElement operator[](std::size_t index) const;
    std::size_t size() const { return value_->is_array() ? value_->size() : 0; }

private:
    const Json* value_;
    std::string pointer_;
};

// Keeps the first thing that is wrong; all that follows reads as its default. The bytes are those that were parsed, and
// outlive it.
class JsonReader {
public:
    // The older rank tables write numbers as texts of digits.
    JsonReader(std::string_view bytes, std::string_view file, bool takes_digits_in_text = false)
        : bytes_(bytes), file_(file), takes_digits_in_text_(takes_digits_in_text) {}

    void refuse(const JsonElement& element, std::string_view why);
    bool is_refused() const { return error_.has_value(); }
    std::unexpected<Error> error() const { return std::unexpected(*error_); }

    // The member of that name; refused where it is missing.
    JsonElement member(const JsonElement& object, const char* key);
    void require_object(const JsonElement& element);
    // How many elements an array has, which are `most` at most; refused where it is no array.
    std::size_t array_size(const JsonElement& element, std::size_t most);
    std::string text(const JsonElement& element);
    std::uint64_t number(const JsonElement& element, std::uint64_t low, std::uint64_t high);
    // What people read: a text, a number, true or false.
    std::string words(const JsonElement& element);

private:
    std::string_view bytes_;
    std::string file_;
    bool takes_digits_in_text_;
    std::optional<Error> error_;
};

// What a value is, for messages: "the text "abc"", "an array".
std::string described(const Json& value);

}  // namespace tenon::topology_files
