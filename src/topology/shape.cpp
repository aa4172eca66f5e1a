#include "topology/shape.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace tenon {
namespace {

constexpr std::size_t most_ranks = 1 << 20;
constexpr std::size_t most_levels = 8;

// Numbers from 1, between separators; empty where it is something else.
std::vector<std::size_t> numbers(std::string_view text, char separator) {
    std::vector<std::size_t> found;
    for (const char* at = text.data(); at <= text.data() + text.size();) {
        std::size_t number = 0;
        const auto [end, error] = std::from_chars(at, text.data() + text.size(), number);
        if (error != std::errc{} || number == 0 || number > most_ranks) return {};
        found.push_back(number);
        if (end == text.data() + text.size()) return found;
        if (*end != separator) return {};
        at = end + 1;
    }
    return {};
}

std::string name_of_level(std::size_t level, std::size_t count) {
    if (level == 0) return "server";
    if (level + 1 == count) return "cluster";
    return level == 1 ? "supernode" : "group" + std::to_string(level + 1);
}

std::vector<Level> nested(const std::vector<std::size_t>& factors) {
    std::size_t ranks = 1;
    for (const std::size_t factor : factors) ranks *= factor;
    std::vector<Level> levels;
    std::size_t size = 1;
    for (std::size_t level = 0; level < factors.size(); level++) {
        size *= factors[factors.size() - 1 - level];
        Level made{.name = name_of_level(level, factors.size()), .group_of = {}};
        for (std::size_t rank = 0; rank < ranks; rank++)
            made.group_of.push_back(static_cast<std::int32_t>(rank / size));
        levels.push_back(std::move(made));
    }
    return levels;
}

std::vector<Level> listed(const std::vector<std::size_t>& sizes) {
    std::vector<Level> levels{{.name = "server", .group_of = {}}, {.name = "cluster", .group_of = {}}};
    for (std::size_t server = 0; server < sizes.size(); server++)
        levels[0].group_of.insert(levels[0].group_of.end(), sizes[server], static_cast<std::int32_t>(server));
    levels[1].group_of.assign(levels[0].group_of.size(), 0);
    return levels;
}

}  // namespace

Result<std::vector<Level>> levels_of_shape(std::string_view shape) {
    const bool is_list = shape.find(',') != std::string_view::npos;
    const std::vector<std::size_t> found = numbers(shape, is_list ? ',' : 'x');
    std::size_t ranks = is_list ? 0 : 1;
    for (const std::size_t number : found) ranks = std::min(most_ranks + 1, is_list ? ranks + number : ranks * number);
    if (found.empty() || ranks > most_ranks || (!is_list && found.size() > most_levels))
        return fail(Status::invalid_argument,
                    "'" + std::string{shape} +
                        "' is no shape of groups; write 4x2 for 4 servers of 2 ranks, 2x3x4 for 2 "
                        "supernodes of 3 servers of 4 ranks, or 3,1,4 for servers of 3, 1 and 4 ranks; up to " +
                        std::to_string(most_ranks) + " ranks and " + std::to_string(most_levels) + " levels");
    return is_list ? listed(found) : nested(found);
}

}  // namespace tenon
