// What a picture of a map shows, and where: svg.cpp draws it.
//
// A box stands for a place, or for many like siblings where there are more of them than a picture has room for. What
// joins places that are drawn becomes one line per pair and kind; where every pair of a set of devices is joined alike,
// one hub stands for all those links. Units are those of SVG, from the top left.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "topology/map.hpp"

namespace tenon::picture {

using BoxIndex = std::size_t;

struct Box {
    std::string kind, title, note;
    std::size_t alike = 1;  // how many places it stands for
    std::optional<BoxIndex> parent{};
    std::vector<BoxIndex> inside{};
    unsigned depth = 0;
    std::size_t leaves = 1;
    double x = 0, y = 0, width = 0, height = 0;

    bool is_chip() const { return inside.empty(); }
    double middle() const { return x + width / 2; }
};

struct Line {
    BoxIndex from = 0, to = 0;
    std::string kind;
    std::uint64_t bytes_per_s = 0;  // of one link
    std::uint64_t latency_ns = 0;
    std::uint64_t count = 1;

    std::uint64_t bytes_per_s_of_all() const { return bytes_per_s * count; }
};

inline constexpr double title_height = 22, margin = 24;

struct Picture {
    std::vector<Box> boxes;  // [0] is the outermost; parents before what they hold
    std::vector<Line> lines;
};

Picture picture_of(const Map& map);

// Itself included.
bool holds(const std::vector<Box>& boxes, BoxIndex outer, BoxIndex inner);

}  // namespace tenon::picture
