#include "topology/core_words.hpp"

#include <fmt/format.h>

#include <charconv>

namespace tenon {

std::string core_words(const os::CoreSet& cores) {
    std::string words;
    for (std::size_t first = 0; first < cores.size(); first++) {
        if (!cores.test(first)) continue;
        std::size_t last = first;
        while (last + 1 < cores.size() && cores.test(last + 1)) last++;
        words += fmt::format("{}{}", words.empty() ? "" : ",", first);
        if (last > first) words += fmt::format("-{}", last);
        first = last;
    }
    return words;
}

std::optional<os::CoreSet> cores_in_words(std::string_view words) {
    os::CoreSet cores;
    const char *at = words.data(), *const end = at + words.size();
    const auto number = [&](std::size_t& value) {
        const auto [after, problem] = std::from_chars(at, end, value);
        at = after;
        return problem == std::errc{} && value < cores.size();
    };
    while (at != end) {
        std::size_t first = 0;
        if (!number(first)) return std::nullopt;
        std::size_t last = first;
        if (at != end && *at == '-') {
            at++;
            if (!number(last) || last < first) return std::nullopt;
        }
        if (at != end && *at != ',') return std::nullopt;
        for (std::size_t core = first; core <= last; core++) cores.set(core);
        if (at != end && ++at == end) return std::nullopt;
    }
    return cores;
}

}  // namespace tenon
