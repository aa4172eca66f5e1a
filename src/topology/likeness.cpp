#include "topology/likeness.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace tenon {
namespace {

using LinkEnd = std::tuple<std::string_view, std::uint64_t, std::uint64_t, std::uint32_t, std::string_view>;
struct Shape {
    std::string_view kind;
    bool has_rank;
    std::vector<LinkEnd> links;
    std::vector<std::uint32_t> children;
    friend auto operator<=>(const Shape&, const Shape&) = default;
};

}  // namespace

std::vector<std::uint32_t> shapes_of(const Map& map) {
    std::vector<Shape> shapes(map.place_count());
    for (const Link& link : map.links())
        for (const PlaceIndex end : {link.from, link.to})
            shapes[end.value].links.emplace_back(link.kind, link.bytes_per_s, link.latency_ns, link.count,
                                                 map[link.other_end(end)].kind);
    std::map<Shape, std::uint32_t> numbers;
    std::vector<std::uint32_t> number_of(map.place_count());
    // From the innermost outwards: children have their numbers before their parent needs them.
    for (std::uint32_t place = map.place_count(); place-- > 0;) {
        Shape& shape = shapes[place];
        shape.kind = map[PlaceIndex{place}].kind;
        shape.has_rank = map[PlaceIndex{place}].rank.has_value();
        std::ranges::sort(shape.links);
        std::ranges::reverse(shape.children);
        number_of[place] =
            numbers.try_emplace(std::move(shape), static_cast<std::uint32_t>(numbers.size())).first->second;
        if (const auto parent = map[PlaceIndex{place}].parent)
            shapes[parent->value].children.push_back(number_of[place]);
    }
    return number_of;
}

std::vector<LikePlaces> like_children(const Map& map, PlaceIndex parent, const std::vector<std::uint32_t>& shapes) {
    std::vector<LikePlaces> groups;
    std::map<std::uint32_t, std::size_t> group_of;
    for (const PlaceIndex child : map.children_of(parent)) {
        const auto [group, is_new] = group_of.try_emplace(shapes[child.value], groups.size());
        if (is_new) groups.emplace_back();
        groups[group->second].places.push_back(child);
    }
    return groups;
}

}  // namespace tenon
