// Draws a Picture: boxes, then lines, then chips above the lines, then the legend.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "topology/picture.hpp"
#include "topology/printer.hpp"

namespace tenon {
namespace {

using picture::Box;
using picture::BoxIndex;
using picture::Line;
using picture::Picture;

struct Colours {
    std::string_view name, fill, edge;
};
constexpr std::array<Colours, 14> box_colours{{{"cluster", "#f8fafc", "#94a3b8"},
                                               {"supernode", "#eef2ff", "#818cf8"},
                                               {"server", "#ffffff", "#475569"},
                                               {"package", "#f8fafc", "#94a3b8"},
                                               {"numa", "#f1f5f9", "#94a3b8"},
                                               {"pci", "#fafaf9", "#a8a29e"},
                                               {"npu", "#eff6ff", "#60a5fa"},
                                               {"device", "#dbeafe", "#2563eb"},
                                               {"die", "#dbeafe", "#2563eb"},
                                               {"process", "#dbeafe", "#2563eb"},
                                               {"nic", "#dcfce7", "#16a34a"},
                                               {"switch", "#fef3c7", "#d97706"},
                                               {"mesh", "#fff7ed", "#ea580c"},
                                               {"network", "#ede9fe", "#7c3aed"}}};
struct LineColour {
    std::string_view kind, colour;
};
constexpr std::array<LineColour, 12> line_colours{{{"nvlink", "#65a30d"},
                                                   {"xgmi", "#dc2626"},
                                                   {"hccs", "#ea580c"},
                                                   {"ub", "#2563eb"},
                                                   {"sio", "#0891b2"},
                                                   {"roce", "#9333ea"},
                                                   {"infiniband", "#7c3aed"},
                                                   {"ethernet", "#c026d3"},
                                                   {"pcie", "#64748b"},
                                                   {"upi", "#a16207"},
                                                   {"socket", "#a16207"},
                                                   {"processor", "#a16207"}}};
constexpr std::array<std::string_view, 4> other_colours{"#0f766e", "#b45309", "#be185d", "#4d7c0f"};

const Colours& colours_of(std::string_view kind) {
    const auto found = std::ranges::find(box_colours, kind, &Colours::name);
    return found == box_colours.end() ? box_colours[3] : *found;
}

std::string_view colour_of(std::string_view kind) {
    const auto found = std::ranges::find(line_colours, kind, &LineColour::kind);
    if (found != line_colours.end()) return found->colour;
    std::size_t sum = 0;
    for (const char letter : kind) sum = sum * 31 + static_cast<unsigned char>(letter);
    return other_colours[sum % other_colours.size()];
}

// Ten times the rate is three units wider.
double width_of(const Line& line) {
    if (line.bytes_per_s == 0) return 1.2;
    return std::clamp(1.0 + 3 * std::log10(static_cast<double>(line.bytes_per_s_of_all()) / 5e9), 0.8, 9.0);
}

std::string escaped(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        if (c == '<')
            safe += "&lt;";
        else if (c == '&')
            safe += "&amp;";
        else if (c == '"')
            safe += "&quot;";
        else
            safe += c;
    }
    return safe;
}

struct Point {
    double x, y;
};
constexpr double neighbours_apart = 16;

class Drawing {
public:
    explicit Drawing(const Picture& drawn) : picture_(drawn), out_(std::back_inserter(svg_)) {}

    std::string draw() {
        const Box& all = picture_.boxes[0];
        const auto entries = legend();
        const double legend_top = all.y + all.height + 26;
        const double width = std::max(all.width + 2 * picture::margin, 640.0);
        const double height = legend_top + 20 * static_cast<double>(entries.size() + 1) + picture::margin;
        fmt::format_to(out_,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
                       "height=\"{1:.0f}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n"
                       "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"white\"/>\n",
                       width, height);
        draw_containers();
        for (const Line& line : picture_.lines)
            if (!is_upward(line)) draw_line(line);
        for (const Box& box : picture_.boxes)
            if (!box.is_chip()) draw_title(box);
        for (const Box& box : picture_.boxes)
            if (box.is_chip()) draw_chip(box);
        draw_legend(entries, legend_top);
        svg_ += "</svg>\n";
        return std::move(svg_);
    }

private:
    void draw_stack(const Box& box, const Colours& colours, double radius) {
        if (box.alike == 1) return;
        for (const double shift : {8.0, 4.0})
            fmt::format_to(out_,
                           "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" fill=\"{}\" "
                           "stroke=\"{}\"/>\n",
                           box.x + shift, box.y + shift, box.width, box.height, radius, colours.fill, colours.edge);
    }

    void draw_rectangle(const Box& box, double radius) {
        const Colours& colours = colours_of(box.kind);
        draw_stack(box, colours, radius);
        fmt::format_to(out_,
                       "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" fill=\"{}\" "
                       "stroke=\"{}\"{}/>\n",
                       box.x, box.y, box.width, box.height, radius, colours.fill, colours.edge,
                       box.kind == kinds::server ? " stroke-width=\"1.6\"" : "");
    }

    void draw_text(double x, double y, std::string_view text, std::string_view style) {
        fmt::format_to(out_, "<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, escaped(text));
    }

    // From a container to the one that holds it: drawn beneath what lies deeper, so that it shows in the gaps only.
    bool is_upward(const Line& line) const {
        const Box &one = picture_.boxes[line.from], &other = picture_.boxes[line.to];
        return !one.is_chip() && !other.is_chip() && (one.parent == line.to || other.parent == line.from);
    }

    void draw_containers() {
        unsigned deepest = 0;
        for (const Box& box : picture_.boxes) deepest = std::max(deepest, box.depth);
        for (unsigned depth = 0; depth <= deepest; depth++) {
            for (const Box& box : picture_.boxes)
                if (box.depth == depth && !box.is_chip()) draw_rectangle(box, 8);
            for (const Line& line : picture_.lines)
                if (is_upward(line) && std::min(depth_of(line.from), depth_of(line.to)) == depth) draw_line(line);
        }
    }
    unsigned depth_of(BoxIndex box) const { return picture_.boxes[box].depth; }

    // Above the lines, with a light edge, so that it can be read.
    void draw_title(const Box& box) {
        const std::string title =
            box.title.starts_with(box.kind) ? box.title : fmt::format("{} {}", box.kind, box.title);
        constexpr std::string_view edge = "paint-order=\"stroke\" stroke=\"white\" stroke-width=\"3\"";
        draw_text(box.x + 10, box.y + 16, title, fmt::format("font-weight=\"bold\" fill=\"#334155\" {}", edge));
        if (!box.note.empty())
            draw_text(box.x + box.width - 10, box.y + 16, box.note,
                      fmt::format("font-weight=\"bold\" fill=\"#b91c1c\" text-anchor=\"end\" {}", edge));
    }

    void draw_chip(const Box& box) {
        draw_rectangle(box, 5);
        const std::string_view note = box.note.empty() ? std::string_view{box.kind} : std::string_view{box.note};
        draw_text(box.middle(), box.y + 16, box.title, "font-weight=\"bold\" fill=\"#0f172a\" text-anchor=\"middle\"");
        draw_text(box.middle(), box.y + 31, note,
                  box.alike > 1 ? "font-weight=\"bold\" fill=\"#b91c1c\" text-anchor=\"middle\""
                                : "fill=\"#475569\" text-anchor=\"middle\"");
    }

    // Where a line leaves a box for another: a container at its title, a chip at the side that faces the other.
    Point end_at(const Box& box, const Box& other) const {
        if (!box.is_chip()) {
            const double x = std::clamp(other.middle(), box.x + 12, box.x + box.width - 12);
            return {x, box.y + picture::title_height};
        }
        const double other_top = other.is_chip() ? other.y : other.y + picture::title_height;
        if (other_top >= box.y + box.height) return {box.middle(), box.y + box.height};
        return {box.middle(), box.y};
    }

    static std::string path_between_containers(const Box& left, const Box& right) {
        const Box &upper = left.y < right.y ? left : right, &lower = left.y < right.y ? right : left;
        if (lower.y >= upper.y + upper.height)
            return fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}", upper.middle(), upper.y + upper.height, lower.middle(),
                               lower.y);
        return fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}", left.x + left.width, left.y + 11, right.x, right.y + 11);
    }

    std::string path_of(const Line& line) const {
        const Box &one = picture_.boxes[line.from], &other = picture_.boxes[line.to];
        const Box &left = one.x < other.x ? one : other, &right = one.x < other.x ? other : one;
        if (is_upward(line)) {
            const Box &inner = one.depth > other.depth ? one : other, &outer = one.depth > other.depth ? other : one;
            return fmt::format("M{:.1f} {:.1f}V{:.1f}", inner.middle(), inner.y, outer.y + picture::title_height);
        }
        if (!one.is_chip() && !other.is_chip() && !picture::holds(picture_.boxes, line.from, line.to) &&
            !picture::holds(picture_.boxes, line.to, line.from))
            return path_between_containers(left, right);
        const Point from = end_at(one, other), to = end_at(other, one);
        if (!one.is_chip() || !other.is_chip() || std::abs(one.y - other.y) >= one.height)
            return fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}", from.x, from.y, to.x, to.y);
        if (right.x - (left.x + left.width) < neighbours_apart)
            return fmt::format("M{:.1f} {:.1f}H{:.1f}", left.x + left.width, left.y + left.height / 2, right.x);
        // Of one row, but not neighbours: over what lies between them.
        const double lift = std::min(12 + std::abs(from.x - to.x) * 0.12, 90.0);
        return fmt::format("M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", from.x, one.y, from.x,
                           one.y - lift, to.x, other.y - lift, to.x, other.y);
    }

    void draw_line(const Line& line) {
        fmt::format_to(out_,
                       "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{:.1f}\" stroke-opacity=\"0.6\"{}>"
                       "<title>{}</title></path>\n",
                       path_of(line), colour_of(line.kind), width_of(line),
                       line.bytes_per_s == 0 ? " stroke-dasharray=\"4 3\"" : "", escaped(words_for(line)));
    }

    static std::string words_for(const Line& line) {
        std::string text = line.kind;
        if (line.bytes_per_s == 0)
            text += line.count > 1 ? fmt::format(": {} links, rate not known", line.count) : ": rate not known";
        else if (line.count > 1)
            text += fmt::format(": {} x {} = {}", line.count, rate_words(line.bytes_per_s),
                                rate_words(line.bytes_per_s_of_all()));
        else
            text += ": " + rate_words(line.bytes_per_s);
        if (line.latency_ns != 0) text += ", " + latency_words(line.latency_ns);
        return text;
    }

    struct Entry {
        Line line;
        std::set<std::string> joined;  // "die - switch"
        std::string words() const { return fmt::format("{} ({})", words_for(line), fmt::join(joined, ", ")); }
    };

    // One entry for each class of line, the fastest of a kind first.
    std::vector<Entry> legend() const {
        std::map<std::tuple<std::string, std::uint64_t, std::uint64_t, std::uint64_t>, Entry> entries;
        for (const Line& line : picture_.lines) {
            const Box &one = picture_.boxes[line.from], &other = picture_.boxes[line.to];
            const Box &outer = one.depth <= other.depth ? one : other, &inner = one.depth <= other.depth ? other : one;
            Entry& entry = entries[{line.kind, ~line.bytes_per_s_of_all(), line.count, line.latency_ns}];
            entry.line = line;
            entry.joined.insert(fmt::format("{} - {}", inner.kind, outer.kind));
        }
        std::vector<Entry> all;
        for (auto& [key, entry] : entries) all.push_back(std::move(entry));
        return all;
    }

    void draw_legend(const std::vector<Entry>& entries, double top) {
        draw_text(picture::margin, top,
                  "Each way; wider is faster, dashed is not known; a stack stands for places that are alike.",
                  "fill=\"#475569\" font-style=\"italic\"");
        for (std::size_t i = 0; i < entries.size(); i++) {
            const double y = top + 20 * static_cast<double>(i + 1);
            fmt::format_to(
                out_,
                "<path d=\"M{:.1f} {:.1f}h44\" stroke=\"{}\" stroke-width=\"{:.1f}\" stroke-opacity=\"0.8\"{}/>\n",
                picture::margin, y - 4, colour_of(entries[i].line.kind), width_of(entries[i].line),
                entries[i].line.bytes_per_s == 0 ? " stroke-dasharray=\"4 3\"" : "");
            draw_text(picture::margin + 56, y, entries[i].words(), "fill=\"#0f172a\"");
        }
    }

    const Picture& picture_;
    std::string svg_;
    std::back_insert_iterator<std::string> out_;
};

}  // namespace

std::string svg_of(const Map& map) { return Drawing{picture::picture_of(map)}.draw(); }

}  // namespace tenon
