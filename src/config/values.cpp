#include "config/values.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>

namespace tenon {
namespace {

struct Unit {
    char letter;
    int shift;
};
constexpr Unit units[] = {{'g', 30}, {'m', 20}, {'k', 10}};

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    int shift = 0;
    for (const Unit unit : units)
        if (!text.empty() && (text.back() | 0x20) == unit.letter) shift = unit.shift;
    if (shift != 0) text.remove_suffix(1);
    const auto number = parse_number(text);
    if (!number || *number > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
    return *number << shift;
}

std::string show_size(std::uint64_t bytes) {
    for (const Unit unit : units) {
        const std::uint64_t whole = bytes >> unit.shift;
        if (whole != 0 && whole << unit.shift == bytes) return std::to_string(whole) + unit.letter;
    }
    return std::to_string(bytes);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> pieces;
    for (std::size_t at = text.find(separator); at != text.npos; at = text.find(separator)) {
        pieces.push_back(text.substr(0, at));
        text.remove_prefix(at + 1);
    }
    pieces.push_back(text);
    return pieces;
}

std::size_t edit_distance(std::string_view one, std::string_view other) {
    std::vector<std::size_t> row(other.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < one.size(); i++) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 0; j < other.size(); j++) {
            const std::size_t replaced = diagonal + (one[i] != other[j]);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

}  // namespace tenon
