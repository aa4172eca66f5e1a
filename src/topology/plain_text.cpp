#include "topology/plain_text.hpp"

namespace tenon {
namespace {

// Bytes that a well-formed UTF-8 character at the front has; 0 where there is none.
std::size_t character_bytes(std::string_view text) {
    const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
    const auto goes_on = [&](std::size_t at) { return (byte(at) & 0xc0u) == 0x80u; };
    const unsigned first = byte(0), second = byte(1);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first < 0xe0) return goes_on(1) ? 2 : 0;
    if (first >= 0xe0 && first < 0xf0) {
        const bool is_in_range = (first != 0xe0 || second >= 0xa0) && (first != 0xed || second < 0xa0);
        return is_in_range && goes_on(1) && goes_on(2) ? 3 : 0;
    }
    if (first >= 0xf0 && first < 0xf5) {
        const bool is_in_range = (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second < 0x90);
        return is_in_range && goes_on(1) && goes_on(2) && goes_on(3) ? 4 : 0;
    }
    return 0;
}

}  // namespace

bool is_plain_text(std::string_view text) {
    while (!text.empty()) {
        const std::size_t bytes = character_bytes(text);
        if (bytes == 0 || static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7f) return false;
        text.remove_prefix(bytes);
    }
    return true;
}

std::string shown(std::string_view text, std::size_t most) {
    std::string safe;
    for (const char c : text.substr(0, most)) safe += c >= 0x20 && c < 0x7f ? c : '?';
    return text.size() > most ? safe + "..." : safe;
}

}  // namespace tenon
