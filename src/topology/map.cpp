#include "topology/map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "topology/plain_text.hpp"

namespace tenon {

std::optional<std::string_view> MapPlace::fact(std::string_view fact_name) const {
    const auto found = std::ranges::lower_bound(facts, fact_name, {}, &Fact::name);
    if (found == facts.end() || found->name != fact_name) return std::nullopt;
    return found->value;
}

std::vector<PlaceIndex> Map::children_of(PlaceIndex place) const {
    std::vector<PlaceIndex> children;
    for (PlaceIndex child{place.value + 1}; child < end_of(place); child = end_of(child)) children.push_back(child);
    return children;
}

std::string Map::path_of(PlaceIndex place) const {
    std::string path;
    for (; places_[place.value].parent; place = *places_[place.value].parent)
        path = "/" + places_[place.value].name + path;
    return path.empty() ? "/" : path;
}

std::vector<std::string> Map::paths() const {
    std::vector<std::string> paths{"/"};
    paths.reserve(places_.size());
    for (std::uint32_t place = 1; place < place_count(); place++) {
        const std::uint32_t parent = places_[place].parent->value;
        paths.push_back((parent == 0 ? "" : paths[parent]) + "/" + places_[place].name);
    }
    return paths;
}

MapBuilder::MapBuilder(std::string_view kind, std::string_view name) {
    check_text("the kind of the outermost place", kind, max_name_bytes);
    check_text("the name of the outermost place", name, max_name_bytes);
    places_.push_back({.kind = std::string(kind), .name = std::string(name)});
    depths_.push_back(0);
}

void MapBuilder::refuse(std::string why) {
    if (!problem_) problem_ = std::move(why);
}

bool MapBuilder::check_text(std::string_view what, std::string_view text, std::size_t limit) {
    if (text.empty())
        refuse(fmt::format("{} is empty", what));
    else if (text.size() > limit)
        refuse(fmt::format("{} has {} bytes; {} are allowed", what, text.size(), limit));
    else if (!is_plain_text(text))
        refuse(fmt::format("{} is \"{}\", which is not plain UTF-8 text of one line", what, shown(text)));
    return !problem_;
}

std::string MapBuilder::words_for(PlaceIndex place) const {
    return fmt::format("the {} \"{}\"", shown(places_[place.value].kind), shown(places_[place.value].name));
}

PlaceIndex MapBuilder::add_place(PlaceIndex parent, std::string_view kind, std::string_view name) {
    if (problem_ || !check_text("a place's kind", kind, max_name_bytes) ||
        !check_text(fmt::format("the name of a {}", shown(kind)), name, max_name_bytes))
        return outermost;
    const std::uint32_t depth = depths_[parent.value] + 1;
    const PlaceIndex added{place_count()};
    if (name.find('/') != std::string_view::npos)
        refuse(fmt::format("\"{}\" cannot be a place's name, because / stands between names", shown(name)));
    else if (place_count() == max_places)
        refuse(fmt::format("there are more than {} places", max_places));
    else if (depth > max_place_depth)
        refuse(fmt::format("places lie inside one another more than {} deep", max_place_depth));
    else if (!by_parent_and_name_.emplace(fmt::format("{}/{}", parent.value, name), added).second)
        refuse(fmt::format("{} holds two places named \"{}\"", words_for(parent), shown(name)));
    if (problem_) return outermost;
    places_.push_back({.kind = std::string(kind), .name = std::string(name), .parent = parent});
    depths_.push_back(depth);
    return added;
}

void MapBuilder::set_rank(PlaceIndex place, Rank rank) {
    if (problem_) return;
    if (rank < 0 || static_cast<std::uint32_t>(rank) >= max_places)
        return refuse(fmt::format("{} has rank {}, which is not from 0 to {}", words_for(place), rank, max_places - 1));
    if (places_[place.value].rank)
        return refuse(
            fmt::format("{} is both rank {} and rank {}", words_for(place), *places_[place.value].rank, rank));
    const auto [first, is_new] = by_rank_.emplace(rank, place);
    if (!is_new)
        return refuse(
            fmt::format("rank {} is given twice, to {} and to {}", rank, words_for(first->second), words_for(place)));
    places_[place.value].rank = rank;
}

void MapBuilder::set_fact(PlaceIndex place, std::string_view name, std::string_view value) {
    if (problem_ || !check_text("a fact's name", name, max_name_bytes)) return;
    if (!value.empty() && !check_text(fmt::format("the fact \"{}\"", shown(name)), value, max_fact_bytes)) return;
    auto& facts = places_[place.value].facts;
    const auto at = std::ranges::lower_bound(facts, name, {}, &Fact::name);
    if (at != facts.end() && at->name == name) {
        if (at->value != value)
            refuse(fmt::format("{}: \"{}\" is given twice: \"{}\" and \"{}\"", words_for(place), shown(name),
                               shown(at->value), shown(value)));
        return;
    }
    if (facts.size() == max_facts) return refuse(fmt::format("{} has more than {} facts", words_for(place), max_facts));
    facts.insert(at, {std::string(name), std::string(value)});
}

void MapBuilder::add_link(Link link) {
    if (problem_ || !check_text("a link's kind", link.kind, max_name_bytes)) return;
    const auto ends = [&] { return fmt::format("{} and {}", words_for(link.from), words_for(link.to)); };
    if (link.from == link.to)
        refuse(fmt::format("a {} link joins {} with itself", shown(link.kind), words_for(link.from)));
    else if (links_.size() == max_links)
        refuse(fmt::format("there are more than {} links", max_links));
    else if (link.bytes_per_s > max_link_bytes_per_s)
        refuse(fmt::format("a {} link between {} has {} bytes/s; more than {} are not believed", shown(link.kind),
                           ends(), link.bytes_per_s, max_link_bytes_per_s));
    else if (link.latency_ns > max_link_latency_ns)
        refuse(fmt::format("a {} link between {} has a latency of {} ns; more than {} are not believed",
                           shown(link.kind), ends(), link.latency_ns, max_link_latency_ns));
    else if (link.count == 0 || link.count > max_link_count)
        refuse(fmt::format("there are {} {} links between {}; 1 to {} are allowed", link.count, shown(link.kind),
                           ends(), max_link_count));
    if (link.facts.size() > max_facts) refuse(fmt::format("a link has more than {} facts", max_facts));
    std::ranges::sort(link.facts);
    for (std::size_t i = 0; i < link.facts.size() && !problem_; i++) {
        if (i > 0 && link.facts[i - 1].name == link.facts[i].name)
            refuse(fmt::format("a link's fact \"{}\" is given twice", shown(link.facts[i].name)));
        check_text("a link fact's name", link.facts[i].name, max_name_bytes);
        if (!link.facts[i].value.empty()) check_text("a link's fact", link.facts[i].value, max_fact_bytes);
    }
    if (!problem_) links_.push_back(std::move(link));
}

void MapBuilder::add_pairs(LikePairs pairs) {
    if (problem_ || !check_text("a transport's name", pairs.transport, max_name_bytes)) return;
    if (!pairs.over.empty() && !check_text("what pairs are reached over", pairs.over, max_name_bytes)) return;
    if (pairs_.size() == max_like_pairs)
        refuse(fmt::format("there are more than {} kinds of pairs", max_like_pairs));
    else if (pairs.bytes_per_s > max_link_bytes_per_s)
        refuse(fmt::format("{} bytes/s over {} are not believed; {} are", pairs.bytes_per_s, shown(pairs.transport),
                           max_link_bytes_per_s));
    else if (pairs.count == 0)
        refuse(fmt::format("there are no pairs over {}", shown(pairs.transport)));
    else if (pairs.first < 0 || pairs.first >= pairs.second)
        refuse(fmt::format("ranks {} and {} are no pair, of which the lower rank comes first", pairs.first,
                           pairs.second));
    if (!problem_) pairs_.push_back(std::move(pairs));
}

// No more pairs than the ranks can be, of those ranks.
void MapBuilder::check_pairs() {
    const std::uint64_t ranks = by_rank_.size();
    std::uint64_t left = ranks < 2 ? 0 : ranks * (ranks - 1) / 2;
    for (const LikePairs& pairs : pairs_) {
        if (std::cmp_greater_equal(pairs.second, ranks))
            return refuse(fmt::format("ranks {} and {} are a pair, but there are {} ranks", pairs.first, pairs.second,
                                      ranks));
        if (pairs.count > left)
            return refuse(fmt::format("there are more pairs than {} ranks can be: {} over {}, of {} that are left",
                                      ranks, pairs.count, shown(pairs.transport), left));
        left -= pairs.count;
    }
}

void MapBuilder::check_ranks() {
    for (Rank rank = 0; std::cmp_less(rank, by_rank_.size()); rank++)
        if (!by_rank_.contains(rank))
            return refuse(fmt::format("there are {} ranks, but none is rank {}", by_rank_.size(), rank));
    for (Rank rank = 0; std::cmp_less(rank, by_rank_.size()); rank++)
        for (auto outer = places_[by_rank_.at(rank).value].parent; outer; outer = places_[outer->value].parent)
            if (places_[outer->value].rank)
                return refuse(fmt::format("rank {} lies inside rank {}", rank, *places_[outer->value].rank));
}

// The places in depth-first order, children in the order in which they came; and by place, where what it holds ends.
std::vector<PlaceIndex> MapBuilder::depth_first(std::vector<PlaceIndex>& ends) const {
    // Positions from the number of places inside: a parent comes before what it holds, so one pass back counts them,
    // and one pass forward hands out the room.
    std::vector<std::uint32_t> sizes(places_.size(), 1), next(places_.size());
    for (std::uint32_t place = place_count() - 1; place > 0; place--)
        sizes[places_[place].parent->value] += sizes[place];
    std::vector<PlaceIndex> position(places_.size());
    next[0] = 1;
    ends[0] = {place_count()};
    for (std::uint32_t place = 1; place < place_count(); place++) {
        const std::uint32_t parent = places_[place].parent->value;
        position[place] = {next[parent]};
        next[parent] += sizes[place];
        next[place] = position[place].value + 1;
        ends[position[place].value] = {position[place].value + sizes[place]};
    }
    return position;
}

Result<Map> MapBuilder::finish() && {
    if (!problem_) check_ranks();
    if (!problem_) check_pairs();
    if (problem_) return fail(Status::invalid_argument, std::move(*problem_));
    Map map;
    map.ends_.resize(places_.size());
    const std::vector<PlaceIndex> position = depth_first(map.ends_);
    map.places_.resize(places_.size());
    map.ranks_.resize(by_rank_.size());
    for (std::uint32_t place = 0; place < place_count(); place++) {
        MapPlace& moved = map.places_[position[place].value] = std::move(places_[place]);
        if (moved.parent) moved.parent = position[moved.parent->value];
        if (moved.rank) map.ranks_[static_cast<std::size_t>(*moved.rank)] = position[place];
    }
    for (Link& link : links_) {
        link.from = position[link.from.value];
        link.to = position[link.to.value];
        if (link.to < link.from) std::swap(link.from, link.to);
    }
    map.links_ = std::move(links_);
    map.pairs_ = std::move(pairs_);
    return map;
}

}  // namespace tenon
