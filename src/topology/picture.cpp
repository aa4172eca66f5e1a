#include "topology/picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "topology/likeness.hpp"

namespace tenon::picture {
namespace {

constexpr double padding = 12, gap = 14, row_gap = 34, chip_height = 38, letter_width = 7.2;
constexpr double wanted_aspect = 2.4, uneven_rows = 0.8, another_row = 0.75, widest_joined = 2000;
constexpr std::size_t smallest_mesh = 4;

bool is_switch(std::string_view kind) { return kind == kinds::switches; }

// How many like siblings are drawn one by one, by how much each holds.
std::size_t drawn_alike(std::string_view kind, std::size_t leaves) {
    if (kind == kinds::core) return 2;
    if (leaves <= 1) return is_switch(kind) || kind == kinds::network ? 4 : 16;
    return std::clamp<std::size_t>(48 / leaves, 2, 16);
}

// Boxes for places, like siblings joined where there are many.
class Boxes {
public:
    explicit Boxes(const Map& map)
        : box_of(map.place_count()), is_drawn(map.place_count()), map_(map), shapes_(shapes_of(map)) {
        leaves_.resize(map.place_count());
        for (std::uint32_t place = map.place_count(); place-- > 0;) count_leaves({place});
        add(LikePlaces{{outermost}}, std::nullopt);
    }

    std::vector<Box> boxes;
    std::vector<BoxIndex> box_of;  // by place; that of the place that stands for it
    std::vector<bool> is_drawn;    // by place

private:
    void count_leaves(PlaceIndex place) {
        std::size_t leaves = 0;
        for (const LikePlaces& like : like_children(map_, place, shapes_)) {
            const std::size_t each = leaves_[like.places[0].value];
            const bool joined = like.places.size() > drawn_alike(map_[like.places[0]].kind, each);
            leaves += each * (joined ? 1 : like.places.size());
        }
        leaves_[place.value] = std::max<std::size_t>(leaves, 1);
    }

    void add(const LikePlaces& like, std::optional<BoxIndex> parent) {
        const PlaceIndex first = like.places.front();
        const MapPlace& place = map_[first];
        const BoxIndex box = boxes.size();
        boxes.push_back({.kind = place.kind,
                         .title = like.places.size() == 1
                                      ? place.name
                                      : fmt::format("{}{}{}", place.name, like.places.size() == 2 ? ", " : " .. ",
                                                    map_[like.places.back()].name),
                         .note = note_for(like),
                         .alike = like.places.size(),
                         .parent = parent,
                         .depth = parent ? boxes[*parent].depth + 1 : 0,
                         .leaves = leaves_[first.value]});
        if (parent) boxes[*parent].inside.push_back(box);
        box_of[first.value] = box;
        is_drawn[first.value] = true;
        for (const LikePlaces& inside : drawn_children(first)) add(inside, box);
        // Alike, so the same place within each stands at the same distance from its front.
        for (std::size_t i = 1; i < like.places.size(); i++)
            for (std::uint32_t inner = 0; first.value + inner < map_.end_of(first).value; inner++)
                box_of[like.places[i].value + inner] = box_of[first.value + inner];
    }

    // In the order of the map; like siblings together only where they are not drawn one by one.
    std::vector<LikePlaces> drawn_children(PlaceIndex parent) const {
        std::vector<LikePlaces> drawn;
        for (LikePlaces& like : like_children(map_, parent, shapes_)) {
            const PlaceIndex first = like.places.front();
            if (like.places.size() > drawn_alike(map_[first].kind, leaves_[first.value]))
                drawn.push_back(std::move(like));
            else
                for (const PlaceIndex one : like.places) drawn.push_back({{one}});
        }
        std::ranges::sort(drawn, {}, [](const LikePlaces& like) { return like.places.front(); });
        return drawn;
    }

    std::string note_for(const LikePlaces& like) const {
        const MapPlace &first = map_[like.places.front()], &last = map_[like.places.back()];
        if (like.places.size() > 1) return fmt::format("x {}", like.places.size());
        return first.rank ? fmt::format("rank {}", *last.rank) : std::string{};
    }

    const Map& map_;
    std::vector<std::uint32_t> shapes_;
    std::vector<std::size_t> leaves_;  // by place: chips that are drawn for it
};

// Links of the places that are drawn, added up per pair of boxes and kind: those that the inner of the two has, since a
// switch with forty-eight servers is not to look forty-eight times as wide as each server's way to it.
std::vector<Line> lines_between(const Map& map, const Boxes& boxes) {
    std::map<std::tuple<BoxIndex, BoxIndex, std::string_view, std::uint64_t>, Line> found;
    for (const Link& link : map.links()) {
        BoxIndex one = boxes.box_of[link.from.value], other = boxes.box_of[link.to.value];
        if (one == other) continue;
        PlaceIndex inner = link.from;
        if (boxes.boxes[other].depth > boxes.boxes[one].depth) inner = link.to;
        if (!boxes.is_drawn[inner.value]) continue;
        if (other < one) std::swap(one, other);
        const auto [line, is_new] = found.try_emplace({one, other, link.kind, link.bytes_per_s});
        if (is_new) line->second = {one, other, link.kind, link.bytes_per_s, link.latency_ns, 0};
        line->second.count += link.count;
    }
    std::vector<Line> lines;
    for (const auto& [key, line] : found) lines.push_back(line);
    return lines;
}

// Puts a hub in place of the links of a set of boxes in which each is joined with each other alike.
class Meshes {
public:
    Meshes(std::vector<Box>& boxes, std::vector<Line>& lines) : boxes_(boxes), lines_(lines) {
        std::map<std::tuple<std::string, std::uint64_t, std::uint64_t>, std::map<BoxIndex, std::set<BoxIndex>>> near;
        for (const Line& line : lines) {
            if (!boxes[line.from].is_chip() || !boxes[line.to].is_chip()) continue;
            auto& of_kind = near[{line.kind, line.bytes_per_s, line.count}];
            of_kind[line.from].insert({line.from, line.to});
            of_kind[line.to].insert({line.from, line.to});
        }
        for (const auto& [like, neighbours] : near) {
            std::map<std::set<BoxIndex>, std::size_t> sets;
            for (const auto& [box, with_neighbours] : neighbours) sets[with_neighbours]++;
            for (const auto& [members, count] : sets)
                if (members.size() >= smallest_mesh && count == members.size()) replace(members, std::get<0>(like));
        }
    }

private:
    void replace(const std::set<BoxIndex>& members, const std::string& kind) {
        Line mesh;
        std::erase_if(lines_, [&](const Line& line) {
            const bool is_in = line.kind == kind && members.contains(line.from) && members.contains(line.to);
            if (is_in) mesh = line;
            return is_in;
        });
        const BoxIndex holder = holder_of(members), hub = boxes_.size();
        boxes_.push_back({.kind = "mesh",
                          .title = fmt::format("{} mesh", kind),
                          .note = "each with each",
                          .parent = holder,
                          .depth = boxes_[holder].depth + 1});
        boxes_[holder].inside.push_back(hub);
        for (const BoxIndex member : members)
            lines_.push_back({member, hub, kind, mesh.bytes_per_s, mesh.latency_ns, mesh.count * (members.size() - 1)});
    }

    BoxIndex holder_of(const std::set<BoxIndex>& members) const {
        BoxIndex holder = *boxes_[*members.begin()].parent;
        for (const BoxIndex member : members)
            while (!holds(boxes_, holder, member)) holder = *boxes_[holder].parent;
        return holder;
    }

    std::vector<Box>& boxes_;
    std::vector<Line>& lines_;
};

// Switches and hubs above, what they join in the middle, network cards below, networks at the bottom. Cards whose wires
// lead to a switch are above, too.
class Layout {
public:
    Layout(std::vector<Box>& boxes, const std::vector<Line>& lines)
        : boxes_(boxes), leads_out_(boxes.size()), joins_switch_(boxes.size()) {
        for (const Line& line : lines) {
            note_way_out(line.from, line.to);
            note_way_out(line.to, line.from);
        }
        measure(0);
        place(0, margin, margin);
    }

private:
    struct Row {
        std::vector<BoxIndex> boxes;
        double width = 0, height = 0;
    };

    int band_of(BoxIndex index) const {
        const Box& box = boxes_[index];
        if (box.kind == "mesh" || (is_switch(box.kind) && box.is_chip())) return 0;
        if (box.kind == kinds::core) return 1;
        if (box.kind == kinds::nic) return joins_switch_[index] ? 0 : 3;
        return box.kind == kinds::network ? 4 : 2;
    }

    // A line to what holds a box ends at its edge; any other has to cross what lies between.
    void note_way_out(BoxIndex from, BoxIndex to) {
        if (holds(boxes_, to, from)) return;
        if (is_switch(boxes_[to].kind)) joins_switch_[from] = true;
        for (std::optional<BoxIndex> box = from; box && !holds(boxes_, *box, to); box = boxes_[*box].parent)
            leads_out_[*box] = true;
    }

    Row row_of(std::span<const BoxIndex> members) const {
        Row row;
        for (const BoxIndex member : members) {
            row.boxes.push_back(member);
            row.width += boxes_[member].width + (row.width > 0 ? gap : 0);
            row.height = std::max(row.height, boxes_[member].height);
        }
        return row;
    }

    static std::pair<double, double> size_of(const std::vector<Row>& rows) {
        double width = 0, height = 0;
        for (const Row& row : rows) {
            width = std::max(width, row.width);
            height += row.height + (height > 0 ? row_gap : 0);
        }
        return {width, height};
    }

    // As many in a row as give the shape that is wanted; one row of all where lines to others would cross the rows
    // between, unless it is too wide.
    std::vector<Row> rows_of(std::span<const BoxIndex> members) const {
        const bool is_joined = std::ranges::any_of(members, [&](BoxIndex member) { return leads_out_[member]; });
        if (Row all = row_of(members); is_joined && all.width <= widest_joined) return {std::move(all)};
        std::vector<Row> best;
        double least = 1e9;
        for (std::size_t in_row = 1; in_row <= members.size(); in_row++) {
            std::vector<Row> rows;
            for (std::size_t at = 0; at < members.size(); at += in_row)
                rows.push_back(row_of(members.subspan(at, std::min(in_row, members.size() - at))));
            const auto [width, height] = size_of(rows);
            const double off = std::abs(std::log(width / height / wanted_aspect)) +
                               another_row * static_cast<double>(rows.size() - 1) +
                               (members.size() % in_row == 0 ? 0 : uneven_rows);
            if (off < least) {
                least = off;
                best = std::move(rows);
            }
        }
        return best;
    }

    void measure(BoxIndex index) {
        for (const BoxIndex inner : boxes_[index].inside) measure(inner);
        Box& box = boxes_[index];
        const double words = letter_width * static_cast<double>(std::max(box.title.size(), box.note.size()));
        if (box.is_chip()) {
            box.width = std::max(72.0, words + 16);
            box.height = chip_height;
            return;
        }
        std::vector<Row>& rows = rows_[index];
        for (int band = 0; band <= 4; band++) {
            std::vector<BoxIndex> members;
            for (const BoxIndex inner : box.inside)
                if (band_of(inner) == band) members.push_back(inner);
            // A band of chips is one row where it fits beneath or above the others.
            const bool is_single = band != 2 && members.size() <= 24;
            if (members.empty()) continue;
            if (is_single)
                rows.push_back(row_of(members));
            else
                for (Row& row : rows_of(members)) rows.push_back(std::move(row));
        }
        const auto [width, height] = size_of(rows);
        const double title =
            letter_width * static_cast<double>(box.kind.size() + box.title.size() + box.note.size() + 4);
        box.width = std::max(width, title) + 2 * padding;
        box.height = title_height + padding + height + padding + (rows.size() > 1 ? 0 : 4);
    }

    void place(BoxIndex index, double x, double y) {
        boxes_[index].x = x;
        boxes_[index].y = y;
        double top = y + title_height + padding;
        for (const Row& row : rows_[index]) {
            // Rows stand in the middle, and what is narrow spreads over the width.
            const double room = boxes_[index].width - 2 * padding - row.width;
            const double spread =
                row.boxes.size() > 1 ? std::min(room / static_cast<double>(row.boxes.size()), 60.0) : 0;
            double left = x + padding + (room - spread * static_cast<double>(row.boxes.size() - 1)) / 2;
            for (const BoxIndex inner : row.boxes) {
                place(inner, left, top);
                left += boxes_[inner].width + gap + spread;
            }
            top += row.height + row_gap;
        }
    }

    std::vector<Box>& boxes_;
    std::vector<bool> leads_out_;     // by box: it or what it holds has a line to outside
    std::vector<bool> joins_switch_;  // by box
    std::map<BoxIndex, std::vector<Row>> rows_;
};

}  // namespace

bool holds(const std::vector<Box>& boxes, BoxIndex outer, BoxIndex inner) {
    std::optional<BoxIndex> box = inner;
    while (box && *box != outer) box = boxes[*box].parent;
    return box.has_value();
}

Picture picture_of(const Map& map) {
    Boxes boxes{map};
    Picture picture{{}, lines_between(map, boxes)};
    picture.boxes = std::move(boxes.boxes);
    Meshes{picture.boxes, picture.lines};
    Layout{picture.boxes, picture.lines};
    return picture;
}

}  // namespace tenon::picture
