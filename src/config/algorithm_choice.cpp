#include "config/algorithm_choice.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/values.hpp"

namespace tenon {
namespace {

std::unexpected<Error> wrong_piece(std::string_view piece, std::string_view why) {
    return fail(Status::invalid_argument, fmt::format("'{}' {}", piece, why));
}

bool is_name(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    });
}

// "FIRST-LAST" or "FIRST-".
bool parse_range(std::string_view text, AlgorithmChoice& choice) {
    const std::size_t dash = text.find('-');
    if (dash == text.npos) return false;
    const auto first = parse_size(text.substr(0, dash));
    if (!first) return false;
    choice.min_bytes = {*first};
    if (dash + 1 == text.size()) return true;
    const auto last = parse_size(text.substr(dash + 1));
    if (!last || *last < *first) return false;
    choice.max_bytes = {*last};
    return true;
}

Result<AlgorithmChoice> parse_choice(std::string_view piece) {
    const std::size_t equals = piece.find('=');
    if (equals == piece.npos) return wrong_piece(piece, "has no '=': write collective=algorithm");
    std::string_view where = piece.substr(0, equals);
    AlgorithmChoice choice;
    choice.name = piece.substr(equals + 1);
    if (!is_name(choice.name)) return wrong_piece(piece, "does not name an algorithm after the '='");
    if (const std::size_t colon = where.find(':'); colon != where.npos) {
        if (!parse_range(where.substr(colon + 1), choice))
            return wrong_piece(piece, "has a malformed size range: write first-last or first-, such as 0-4k");
        where = where.substr(0, colon);
    }
    const auto collective = collective_named(where);
    if (!collective) return wrong_piece(piece, fmt::format("names the unknown collective '{}'", where));
    choice.collective = *collective;
    return choice;
}

}  // namespace

Result<std::vector<AlgorithmChoice>> parse_algorithm_choices(std::string_view text) {
    std::vector<AlgorithmChoice> choices;
    for (const std::string_view piece : split(text, ',')) {
        auto choice = parse_choice(piece);
        if (!choice) return std::unexpected(choice.error());
        choices.push_back(std::move(*choice));
    }
    return choices;
}

std::string show(std::span<const AlgorithmChoice> choices) {
    std::string text;
    for (const AlgorithmChoice& choice : choices) {
        if (!text.empty()) text += ',';
        text += name_of(choice.collective);
        const bool is_open = choice.max_bytes == AlgorithmChoice{}.max_bytes;
        if (choice.min_bytes.value != 0 || !is_open)
            text += fmt::format(":{}-{}", show_size(choice.min_bytes.value),
                                is_open ? "" : show_size(choice.max_bytes.value));
        text += "=" + choice.name;
    }
    return text;
}

const AlgorithmChoice* find_choice(std::span<const AlgorithmChoice> choices, Collective collective, ByteCount bytes) {
    const auto at = std::find_if(choices.begin(), choices.end(), [&](const AlgorithmChoice& choice) {
        return choice.collective == collective && choice.min_bytes <= bytes && bytes <= choice.max_bytes;
    });
    return at == choices.end() ? nullptr : &*at;
}

}  // namespace tenon
