// The picture of a world: a row per rank with its lanes, a box per step, an arrow per message, time to the right.
//
// A step stands in the column after the last of what it waits for, so that every arrow points to the right and the
// number of columns is the length of the plan in steps.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "plan/names.hpp"
#include "plan/printer.hpp"
#include "plan/schedule.hpp"
#include "plan/world.hpp"

namespace tenon {
namespace {

constexpr std::uint32_t max_drawn_steps = 4096;
constexpr double margin = 28, label_width = 92, header_height = 96, legend_line = 24;
constexpr double box_width = 62, box_height = 24, column_width = 104, lane_height = 38, row_gap = 14;

struct Style {
    StepKind kind;
    std::string_view fill, edge, words;
};
// Sends are blue, receives green, sums warm; what does two of them lies between.
constexpr std::array<Style, 10> styles{{
    {StepKind::send, "#dbeafe", "#2563eb", "send"},
    {StepKind::receive, "#dcfce7", "#16a34a", "receive"},
    {StepKind::receive_send, "#cffafe", "#0891b2", "receive, send on"},
    {StepKind::receive_reduce, "#fef3c7", "#d97706", "receive, add"},
    {StepKind::receive_reduce_send, "#ffedd5", "#ea580c", "receive, add, send on"},
    {StepKind::receive_reduce_copy_send, "#fee2e2", "#dc2626", "receive, add, keep, send on"},
    {StepKind::copy, "#e2e8f0", "#64748b", "copy"},
    {StepKind::reduce, "#ede9fe", "#7c3aed", "reduce"},
    {StepKind::reduce_send, "#fae8ff", "#c026d3", "reduce, send"},
    {StepKind::nothing, "#f8fafc", "#94a3b8", "wait"},
}};
const Style& style_of(StepKind kind) { return styles[static_cast<std::size_t>(kind)]; }

std::string escaped(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        if (c == '<')
            safe += "&lt;";
        else if (c == '&')
            safe += "&amp;";
        else if (static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f)
            safe += c;
        else
            safe += '?';
    }
    return safe;
}

// "in 3", "out 0-3": what fits a box.
std::string short_name(const Chunk& chunk) {
    static constexpr std::array<std::string_view, 3> names{"in", "out", "tmp"};
    if (chunk.count == 0) return "token";
    const auto name = names[static_cast<std::size_t>(chunk.buffer)];
    if (chunk.count == 1) return fmt::format("{} {}", name, chunk.index);
    return fmt::format("{} {}–{}", name, chunk.index, chunk.index + chunk.count - 1);
}

struct Point {
    double x = 0, y = 0;
};

class Picture {
public:
    Picture(const World& world, std::span<const StepId> order)
        : world_(world), order_(order), out_(std::back_inserter(svg_)), column_(world.step_count()) {
        place();
    }

    std::string draw() {
        open();
        for (const Plan& plan : world_.plans()) draw_row(plan);
        for (StepId id = 0; id < world_.step_count(); id++) draw_dependencies(id);
        for (StepId id = 0; id < world_.step_count(); id++)
            if (receives(world_.step(id).kind)) draw_message(world_.sender_of(id), id);
        for (StepId id = 0; id < world_.step_count(); id++) draw_box(id);
        draw_legend();
        svg_ += "</svg>\n";
        return std::move(svg_);
    }

private:
    void place() {
        for (const StepId id : order_) {
            std::uint32_t column = id > world_.first_step(world_.lane_of(id)) ? column_[id - 1] + 1 : 0;
            for (const StepRef& earlier : world_.plan_of(id).dependencies_of(world_.step(id)))
                column = std::max(column, column_[world_.id(world_.plan_of(id).rank, earlier)] + 1);
            if (receives(world_.step(id).kind)) column = std::max(column, column_[world_.sender_of(id)] + 1);
            column_[id] = column;
            columns_ = std::max(columns_, column + 1);
        }
        double y = header_height;
        for (const Plan& plan : world_.plans()) {
            row_top_.push_back(y);
            y += row_height(plan) + row_gap;
        }
        width_ = std::max(2 * margin + label_width + columns_ * column_width, 760.0);
        legend_top_ = y;
        height_ = y + legend_line * legend_lines() + margin;
    }

    static double row_height(const Plan& plan) {
        return lane_height * static_cast<double>(std::max<std::size_t>(plan.lanes.size(), 1));
    }
    Point left_of(StepId id) const {
        const LaneId lane = world_.lane_of(id);
        const Rank rank = world_.rank_of(lane);
        const double gap = (column_width - box_width) / 2;
        return {margin + label_width + column_[id] * column_width + gap,
                row_top_[static_cast<std::size_t>(rank)] + lane_height * (lane - world_.first_lane(rank) + 0.5)};
    }
    Point right_of(StepId id) const { return {left_of(id).x + box_width, left_of(id).y}; }

    void open() {
        const Plan& plan = world_.plans().front();
        std::uint64_t messages = 0;
        for (StepId id = 0; id < world_.step_count(); id++) messages += sends(world_.step(id).kind) ? 1 : 0;
        fmt::format_to(out_,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
                       "height=\"{1:.0f}\" font-family=\"Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n"
                       "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"9\" "
                       "markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0,0.8 L7.5,4 "
                       "L0,7.2 z\" fill=\"#475569\"/>"
                       "</marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
                       width_, height_);
        fmt::format_to(out_,
                       "<text x=\"{}\" y=\"40\" font-size=\"20\" font-weight=\"600\" fill=\"#0f172a\">{} {}</text>\n",
                       margin, words(escaped(plan.algorithm)), words(std::string{name_of(plan.collective)}));
        fmt::format_to(
            out_,
            "<text x=\"{}\" y=\"62\" font-size=\"13\" fill=\"#64748b\">{} rank{}{}, {} piece{} per block · {} "
            "steps, {} messages, {} in a chain</text>\n",
            margin, plan.rank_count, plan.rank_count == 1 ? "" : "s",
            is_rooted(plan.collective) ? fmt::format(", root {}", plan.root) : "", plan.pieces,
            plan.pieces == 1 ? "" : "s", world_.step_count(), messages, longest_message_chain(world_, order_));
        for (std::uint32_t column = 0; column < columns_; column++) {
            const double x = margin + label_width + (column + 0.5) * column_width;
            fmt::format_to(
                out_,
                "<text x=\"{0:.1f}\" y=\"{1}\" font-size=\"10\" fill=\"#94a3b8\" text-anchor=\"middle\">{2}</text>\n",
                x, header_height - 8, column + 1);
        }
    }

    static std::string words(std::string name) {
        std::ranges::replace(name, '_', '-');
        return name;
    }

    void draw_row(const Plan& plan) {
        const double top = row_top_[static_cast<std::size_t>(plan.rank)];
        fmt::format_to(
            out_, "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"#f8fafc\" stroke=\"#e2e8f0\"/>\n",
            margin, top, width_ - 2 * margin, row_height(plan));
        fmt::format_to(out_,
                       "<text x=\"{}\" y=\"{}\" font-size=\"13\" font-weight=\"600\" fill=\"#0f172a\">rank {}</text>\n",
                       margin + 12, top + lane_height / 2 + 4.5, plan.rank);
        for (std::size_t lane = 0; lane < plan.lanes.size() && plan.lanes.size() > 1; lane++) {
            const double y = top + lane_height * (static_cast<double>(lane) + 0.5);
            fmt::format_to(out_,
                           "<text x=\"{}\" y=\"{}\" font-size=\"10\" fill=\"#94a3b8\" text-anchor=\"end\">{}</text>\n",
                           margin + label_width - 6, y + 3.5, lane);
        }
        for (std::size_t lane = 0; lane < plan.lanes.size(); lane++) {
            const double y = top + lane_height * (static_cast<double>(lane) + 0.5);
            fmt::format_to(out_, "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#e2e8f0\"/>\n",
                           margin + label_width, y, width_ - margin - 12, y);
        }
    }

    void curve(Point from, Point to, std::string_view attributes) {
        const double reach = std::max(18.0, (to.x - from.x) * 0.45);
        fmt::format_to(out_,
                       "<path d=\"M{:.1f},{:.1f} C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}\" fill=\"none\" {}/>\n",
                       from.x, from.y, from.x + reach, from.y, to.x - reach, to.y, to.x, to.y, attributes);
    }
    void draw_message(StepId send, StepId receive) {
        const bool published = world_.step(send).send_to == everyone;
        curve(right_of(send), left_of(receive),
              published ? "stroke=\"#94a3b8\" stroke-width=\"1\" stroke-opacity=\"0.8\" marker-end=\"url(#head)\""
                        : "stroke=\"#475569\" stroke-width=\"1.3\" stroke-opacity=\"0.7\" marker-end=\"url(#head)\"");
    }
    void draw_dependencies(StepId id) {
        for (const StepRef& earlier : world_.plan_of(id).dependencies_of(world_.step(id)))
            curve(right_of(world_.id(world_.plan_of(id).rank, earlier)), left_of(id),
                  "stroke=\"#a78bfa\" stroke-width=\"1.2\" stroke-dasharray=\"3 3\"");
    }

    void draw_box(StepId id) {
        const Step& step = world_.step(id);
        const Style& style = style_of(step.kind);
        const Point at = left_of(id);
        const Chunk& chunk = writes_destination(step.kind) ? step.destination : step.source;
        fmt::format_to(out_, "<g><title>{}: {}{}</title>", world_.name(id), name_of(chunk),
                       step.completes ? ", the complete sum" : "");
        fmt::format_to(out_,
                       "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"{}\" stroke=\"{}\" "
                       "stroke-width=\"{}\"/>",
                       at.x, at.y - box_height / 2, box_width, box_height, style.fill, style.edge,
                       step.completes ? 2.6 : 1.2);
        const std::string label = step.kind == StepKind::nothing ? "" : short_name(chunk);
        if (!label.empty())
            fmt::format_to(
                out_,
                "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" fill=\"#0f172a\" text-anchor=\"middle\">{}</text>",
                at.x + box_width / 2, at.y + 4, label.size() > 9 ? 9 : 11, label);
        svg_ += "</g>\n";
    }

    // Legend entries for what the picture has, as many to a line as fit.
    struct Entry {
        std::string_view fill, edge, words;
        double edge_width = 1.2;
        std::string_view dashes = "none";
    };
    std::vector<Entry> entries() const {
        std::array<bool, styles.size()> used{};
        bool completes = false, waits = false;
        for (StepId id = 0; id < world_.step_count(); id++) {
            used[static_cast<std::size_t>(world_.step(id).kind)] = true;
            completes = completes || world_.step(id).completes;
            waits = waits || world_.step(id).dependency_count != 0;
        }
        std::vector<Entry> all;
        for (const Style& style : styles)
            if (used[static_cast<std::size_t>(style.kind)]) all.push_back({style.fill, style.edge, style.words});
        if (waits) all.push_back({"white", "#a78bfa", "dashed: waits for a step", 1.2, "3 3"});
        if (completes) all.push_back({"white", "#0f172a", "thick edge: the sum is complete", 2.6});
        return all;
    }
    static double entry_width(const Entry& entry) { return 46 + 6.4 * static_cast<double>(entry.words.size()); }
    std::uint32_t legend_lines() const {
        double x = margin;
        std::uint32_t lines = 1;
        for (const Entry& entry : entries()) {
            if (x + entry_width(entry) > width_ - margin) x = margin, lines++;
            x += entry_width(entry);
        }
        return lines;
    }
    void draw_legend() {
        double x = margin, y = legend_top_ + 10;
        for (const Entry& entry : entries()) {
            if (x + entry_width(entry) > width_ - margin) x = margin, y += legend_line;
            fmt::format_to(
                out_,
                "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"20\" height=\"13\" rx=\"3\" fill=\"{}\" stroke=\"{}\" "
                "stroke-width=\"{}\" stroke-dasharray=\"{}\"/><text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"12\" "
                "fill=\"#334155\">{}</text>\n",
                x, y, entry.fill, entry.edge, entry.edge_width, entry.dashes, x + 27, y + 10.5, entry.words);
            x += entry_width(entry);
        }
    }

    const World& world_;
    std::span<const StepId> order_;
    std::string svg_;
    std::back_insert_iterator<std::string> out_;
    std::vector<std::uint32_t> column_;  // by step
    std::uint32_t columns_ = 0;
    std::vector<double> row_top_;  // by rank
    double width_ = 0, height_ = 0, legend_top_ = 0;
};

}  // namespace

Result<std::string> svg_of(std::span<const Plan> plans) {
    const auto world = World::link(plans);
    if (!world) return std::unexpected(world.error());
    if (world->step_count() > max_drawn_steps)
        return fail(
            Status::invalid_argument,
            fmt::format("{} steps are too many to draw; {} are possible: use fewer ranks, or print the plan as text",
                        world->step_count(), max_drawn_steps));
    const auto order = schedule(*world, max_drawn_steps);
    if (!order) return std::unexpected(order.error());
    return Picture{*world, *order}.draw();
}

}  // namespace tenon
