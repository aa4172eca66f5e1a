// Strict readers of the values that variables hold: the whole text must be the value, or it is none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenon {

// Decimal digits only: no sign, no blanks, no overflow.
std::optional<std::uint64_t> parse_number(std::string_view text);
// A number with an optional k, m or g (powers of 1024, either case).
std::optional<std::uint64_t> parse_size(std::string_view text);
std::string show_size(std::uint64_t bytes);  // what parse_size reads, in the largest whole unit
// Always at least one piece; pieces may be empty.
std::vector<std::string_view> split(std::string_view text, char separator);
// Insertions, deletions and replacements that turn one word into the other.
std::size_t edit_distance(std::string_view one, std::string_view other);

}  // namespace tenon
