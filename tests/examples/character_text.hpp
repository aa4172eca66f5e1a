// The text that examples learn from: what lies in a folder, as a row of symbols, some of it held out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

inline constexpr std::size_t symbols = 96;

struct Text {
    std::string training, held_out;  // of symbols in [0, 96): printable ASCII, and the end of a line
};

// Every tenth block of 2,000 characters is held out.
inline Text read_text(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (!entry.is_symlink()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    Text text;
    std::size_t position = 0;
    for (const auto& path : files) {
        std::ifstream file(path, std::ios::binary);
        for (std::istreambuf_iterator<char> c(file), end; c != end; ++c, ++position) {
            const char symbol = *c == '\n' ? 95 : *c > ' ' && *c <= '~' ? static_cast<char>(*c - ' ') : 0;
            (position / 2000 % 10 == 9 ? text.held_out : text.training).push_back(symbol);
        }
    }
    return text;
}
