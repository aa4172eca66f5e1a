#include "perf/heat_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tenon::perf {
namespace {

constexpr double least_range = 3;  // so that noise looks even

struct Colour {
    int red, green, blue;
    std::string hex() const { return fmt::format("#{:02x}{:02x}{:02x}", red, green, blue); }
    bool is_dark() const { return red * 299 + green * 587 + blue * 114 < 140 * 1000; }
};

// From pale yellow over orange to dark red.
Colour colour_of(double slowness) {
    constexpr Colour stops[] = {{255, 247, 214}, {253, 187, 99}, {227, 74, 51}, {127, 0, 0}};
    constexpr double last = std::size(stops) - 1;
    const double at = std::clamp(slowness, 0.0, 1.0) * last;
    const auto first = static_cast<std::size_t>(std::min(at, last - 1));
    const double part = at - static_cast<double>(first);
    const auto between = [&](int Colour::*c) {
        return static_cast<int>(std::lround(stops[first].*c + part * (stops[first + 1].*c - stops[first].*c)));
    };
    return {between(&Colour::red), between(&Colour::green), between(&Colour::blue)};
}

// 0: as good as the best of its reach; 1: as bad as the worst.
double slowness(const HeatMap& map, Rank from, Rank to) {
    const Comparison& compared = map.compared;
    if (compared.figures().at(from, to) <= 0) return map.nothing == HeatMap::Nothing::is_bad ? 1 : 0;
    const Reach reach = compared.reach_of(from, to);
    const double best = compared.best(reach), worst = compared.worst(reach);
    if (best <= 0 || worst <= 0) return 1;
    const double range = std::max({best / worst, worst / best, least_range});
    return std::log(compared.times_slower(from, to)) / std::log(range);
}

std::string number(double value) {
    return value >= 100 ? fmt::format("{:.0f}", value) : value >= 10 ? fmt::format("{:.1f}", value)
                                                                     : fmt::format("{:.2f}", value);
}

std::string escaped(std::string_view text) {
    std::string safe;
    for (const char c : text) safe += c == '<' ? "&lt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
    return safe;
}

constexpr int cell_width = 58, cell_height = 26, left = 120, head = 56, gap = 24;

void draw(std::string& svg, const HeatMap& map, int top) {
    const PairFigures& figures = map.compared.figures();
    const std::span<const std::string> names = map.compared.hosts();
    svg += fmt::format(R"(<text x="8" y="{}" font-size="15" font-weight="bold">{}</text>)" "\n", top + 18,
                       escaped(map.title));
    const auto name = [&](Rank r) { return escaped(names[static_cast<std::size_t>(r)]); };
    for (Rank r = 0; r < figures.ranks(); r++) {
        svg += fmt::format(R"(<text x="{}" y="{}" text-anchor="middle">{}</text>)" "\n",
                           left + r * cell_width + cell_width / 2, top + head - 8, r);
        svg += fmt::format(R"(<text x="{}" y="{}" text-anchor="end">{} {}</text>)" "\n", left - 8,
                           top + head + r * cell_height + 17, name(r), r);
    }
    for (Rank from = 0; from < figures.ranks(); from++)
        for (Rank to = 0; to < figures.ranks(); to++) {
            if (from == to) continue;
            const double value = figures.at(from, to);
            const Colour colour = colour_of(slowness(map, from, to));
            const int x = left + to * cell_width, y = top + head + from * cell_height;
            svg += fmt::format(
                R"(<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>rank {} to rank {}: {}</title></rect>)"
                "\n",
                x + 1, y + 1, cell_width - 2, cell_height - 2, colour.hex(), from, to, number(value));
            svg += fmt::format(R"(<text x="{}" y="{}" text-anchor="middle" fill="{}">{}</text>)" "\n",
                               x + cell_width / 2, y + 17, colour.is_dark() ? "#fff" : "#222", number(value));
        }
}

}  // namespace

std::string as_text(const HeatMap& map, bool in_colour) {
    const PairFigures& figures = map.compared.figures();
    std::string text = fmt::format("{}\n{:>9}", map.title, "from\\to");
    for (Rank to = 0; to < figures.ranks(); to++) text += fmt::format("{:>8}", to);
    for (Rank from = 0; from < figures.ranks(); from++) {
        text += fmt::format("\n{:>9}", from);
        for (Rank to = 0; to < figures.ranks(); to++) {
            const std::string value = from == to ? "-" : number(figures.at(from, to));
            if (!in_colour || from == to) {
                text += fmt::format("{:>8}", value);
                continue;
            }
            const Colour c = colour_of(slowness(map, from, to));
            text += fmt::format("\033[48;2;{};{};{};38;5;{}m{:>8}\033[0m", c.red, c.green, c.blue,
                                c.is_dark() ? 15 : 16, value);
        }
    }
    return text + "\n";
}

std::string as_svg(std::span<const HeatMap> maps) {
    const int ranks = maps.empty() ? 0 : maps[0].compared.figures().ranks();
    const int width = left + ranks * cell_width + 16, height = head + ranks * cell_height + gap;
    const auto count = static_cast<int>(maps.size());
    std::string svg = fmt::format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}")"
        R"( font-family="sans-serif" font-size="12" fill="#222">)"
        "\n"
        R"(<rect width="{0}" height="{1}" fill="#fff"/>)"
        "\n",
        std::max(width, 420), count * height);
    for (int i = 0; i < count; i++) draw(svg, maps[static_cast<std::size_t>(i)], i * height);
    return svg + "</svg>\n";
}

}  // namespace tenon::perf
