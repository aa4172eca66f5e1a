// Tenon's own JSON: a tree of places, links that name their ends by path, and of a job's map how pairs of ranks are
// reached; tenon_topology.schema.json describes it.
//
// Keys that are not known are refused: a misspelt "latency" would otherwise be silently not known.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "topology/files/json_file.hpp"
#include "topology/files/readers.hpp"

namespace tenon {
namespace {

using topology_files::Json;
using topology_files::JsonElement;
using topology_files::JsonReader;

constexpr std::uint64_t format_version = 1;
constexpr std::string_view within_a_server = "within a server", between_servers = "between servers";

class Reader {
public:
    Reader(std::string_view bytes, std::string_view file) : reader_(bytes, file) {}

    Result<Map> read(const JsonElement& root) {
        reader_.require_object(root);
        only(root, {"$schema", "tenon_topology", "place", "links", "pairs"});
        reader_.number(reader_.member(root, "tenon_topology"), format_version, format_version);
        const JsonElement place = reader_.member(root, "place");
        MapBuilder builder{text_member(place, "kind", "?"), text_member(place, "name", "?")};
        note(place, builder);
        paths_.emplace("/", outermost);
        fill(builder, outermost, place, "");
        if (root.has("links")) {
            const JsonElement links = root["links"];
            const std::size_t count = reader_.array_size(links, max_links);
            for (std::size_t i = 0; i < count && !reader_.is_refused(); i++) read_link(builder, links[i]);
        }
        if (root.has("pairs")) {
            const JsonElement pairs = root["pairs"];
            const std::size_t count = reader_.array_size(pairs, max_like_pairs);
            for (std::size_t i = 0; i < count && !reader_.is_refused(); i++) read_pairs(builder, pairs[i]);
        }
        if (reader_.is_refused()) return reader_.error();
        auto map = std::move(builder).finish();
        if (!map) reader_.refuse(root, map.error().message);
        if (reader_.is_refused()) return reader_.error();
        return map;
    }

private:
    void only(const JsonElement& object, std::initializer_list<std::string_view> keys) {
        if (!object.value().is_object()) return;
        for (const auto& [key, value] : object.value().items())
            if (std::ranges::find(keys, key) == keys.end())
                reader_.refuse(object[key.c_str()], fmt::format("is no key here; {} are", fmt::join(keys, ", ")));
    }

    std::string text_member(const JsonElement& object, const char* key, std::string_view or_else = {}) {
        const std::string text = reader_.text(reader_.member(object, key));
        return text.empty() && reader_.is_refused() ? std::string(or_else) : text;
    }
    std::uint64_t figure(const JsonElement& object, const char* key, std::uint64_t or_else, std::uint64_t most) {
        return object.has(key) ? reader_.number(object[key], 0, most) : or_else;
    }

    // Tells what the builder thinks of an element.
    void note(const JsonElement& element, const MapBuilder& builder) {
        if (builder.problem()) reader_.refuse(element, *builder.problem());
    }

    std::vector<Fact> facts_of(const JsonElement& element) {
        std::vector<Fact> facts;
        if (!element.has("facts")) return facts;
        const JsonElement given = element["facts"];
        reader_.require_object(given);
        if (given.value().is_object())
            for (const auto& [name, value] : given.value().items())
                facts.push_back({name, reader_.text(given[name.c_str()])});
        return facts;
    }

    void fill(MapBuilder& builder, PlaceIndex place, const JsonElement& element, const std::string& path) {
        only(element, {"kind", "name", "rank", "facts", "places"});
        if (element.has("rank"))
            builder.set_rank(place, static_cast<Rank>(reader_.number(element["rank"], 0, max_places - 1)));
        for (const Fact& fact : facts_of(element)) builder.set_fact(place, fact.name, fact.value);
        note(element, builder);
        if (!element.has("places")) return;
        const JsonElement inside = element["places"];
        const std::size_t count = reader_.array_size(inside, max_places);
        for (std::size_t i = 0; i < count && !reader_.is_refused(); i++) {
            const JsonElement child = inside[i];
            const std::string name = text_member(child, "name");
            const PlaceIndex added = builder.add_place(place, text_member(child, "kind"), name);
            note(child, builder);
            if (reader_.is_refused()) return;
            const std::string child_path = path + "/" + name;
            paths_.emplace(child_path, added);
            fill(builder, added, child, child_path);
        }
    }

    PlaceIndex end_of_link(const JsonElement& link, const char* key) {
        const std::string path = text_member(link, key);
        const auto found = paths_.find(path);
        if (found != paths_.end()) return found->second;
        reader_.refuse(link[key], "is not the path of a place, such as /server0/gpu1");
        return outermost;
    }

    void read_link(MapBuilder& builder, const JsonElement& element) {
        reader_.require_object(element);
        only(element, {"from", "to", "kind", "bytes_per_s", "latency_ns", "count", "facts"});
        Link link{.from = end_of_link(element, "from"),
                  .to = end_of_link(element, "to"),
                  .kind = text_member(element, "kind"),
                  .bytes_per_s = figure(element, "bytes_per_s", 0, max_link_bytes_per_s),
                  .latency_ns = figure(element, "latency_ns", 0, max_link_latency_ns),
                  .count = static_cast<std::uint32_t>(figure(element, "count", 1, max_link_count)),
                  .facts = facts_of(element)};
        if (reader_.is_refused()) return;
        builder.add_link(std::move(link));
        note(element, builder);
    }

    bool is_between_servers(const JsonElement& element) {
        const std::string where = text_member(element, "where");
        if (where != within_a_server && where != between_servers)
            reader_.refuse(element["where"],
                           fmt::format("is neither \"{}\" nor \"{}\"", within_a_server, between_servers));
        return where == between_servers;
    }

    void read_pairs(MapBuilder& builder, const JsonElement& element) {
        reader_.require_object(element);
        only(element, {"where", "transport", "over", "bytes_per_s", "count", "such_as"});
        if (reader_.is_refused()) return;
        const JsonElement ranks = reader_.member(element, "such_as");
        if (reader_.array_size(ranks, 2) != 2) reader_.refuse(ranks, "is not two ranks");
        if (reader_.is_refused()) return;
        const auto rank = [&](std::size_t i) {
            return static_cast<Rank>(reader_.number(ranks[i], 0, max_places - 1));
        };
        LikePairs pairs{.is_between_servers = is_between_servers(element),
                        .transport = text_member(element, "transport"),
                        .over = element.has("over") ? reader_.text(element["over"]) : std::string{},
                        .bytes_per_s = figure(element, "bytes_per_s", 0, max_link_bytes_per_s),
                        .count = figure(element, "count", 1, std::uint64_t{max_places} * max_places),
                        .first = rank(0),
                        .second = rank(1)};
        if (reader_.is_refused()) return;
        builder.add_pairs(std::move(pairs));
        note(element, builder);
    }

    JsonReader reader_;
    std::unordered_map<std::string, PlaceIndex> paths_;
};

std::string as_json(std::string_view text) { return Json(text).dump(); }

std::string written(const std::vector<Fact>& facts) {
    std::string json;
    for (const Fact& fact : facts)
        json += fmt::format("{}{}: {}", json.empty() ? "" : ", ", as_json(fact.name), as_json(fact.value));
    return fmt::format(", \"facts\": {{{}}}", json);
}

void write_place(std::string& json, const Map& map, PlaceIndex place, const std::string& indent) {
    const MapPlace& written_place = map[place];
    json += fmt::format("{{\"kind\": {}, \"name\": {}", as_json(written_place.kind), as_json(written_place.name));
    if (written_place.rank) json += fmt::format(", \"rank\": {}", *written_place.rank);
    if (!written_place.facts.empty()) json += written(written_place.facts);
    const auto children = map.children_of(place);
    if (!children.empty()) json += ", \"places\": [";
    for (std::size_t i = 0; i < children.size(); i++) {
        json += fmt::format("{}\n{}  ", i == 0 ? "" : ",", indent);
        write_place(json, map, children[i], indent + "  ");
    }
    if (!children.empty()) json += "]";
    json += "}";
}

std::string written(const Link& link, const std::vector<std::string>& paths) {
    std::string json = fmt::format("{{\"from\": {}, \"to\": {}, \"kind\": {}", as_json(paths[link.from.value]),
                                   as_json(paths[link.to.value]), as_json(link.kind));
    if (link.bytes_per_s != 0) json += fmt::format(", \"bytes_per_s\": {}", link.bytes_per_s);
    if (link.latency_ns != 0) json += fmt::format(", \"latency_ns\": {}", link.latency_ns);
    if (link.count != 1) json += fmt::format(", \"count\": {}", link.count);
    if (!link.facts.empty()) json += written(link.facts);
    return json + "}";
}

std::string written(const LikePairs& pairs) {
    std::string json = fmt::format("{{\"where\": {}, \"transport\": {}",
                                   as_json(pairs.is_between_servers ? between_servers : within_a_server),
                                   as_json(pairs.transport));
    if (!pairs.over.empty()) json += fmt::format(", \"over\": {}", as_json(pairs.over));
    if (pairs.bytes_per_s != 0) json += fmt::format(", \"bytes_per_s\": {}", pairs.bytes_per_s);
    return json + fmt::format(", \"count\": {}, \"such_as\": [{}, {}]}}", pairs.count, pairs.first, pairs.second);
}

}  // namespace

namespace topology_files {

Result<Map> read_tenon_json(std::string_view bytes, std::string_view file) {
    const auto parsed = parse_json(bytes, file);
    if (!parsed) return std::unexpected(parsed.error());
    return Reader{bytes, file}.read({*parsed, ""});
}

}  // namespace topology_files

std::string json_of(const Map& map) {
    std::string json = fmt::format("{{\"tenon_topology\": {},\n \"place\":\n  ", format_version);
    write_place(json, map, outermost, "  ");
    json += ",\n \"links\": [";
    const std::vector<std::string> paths = map.paths();
    for (std::size_t i = 0; i < map.links().size(); i++)
        json += (i == 0 ? "\n  " : ",\n  ") + written(map.links()[i], paths);
    json += "]";
    for (std::size_t i = 0; i < map.pairs().size(); i++)
        json += (i == 0 ? ",\n \"pairs\": [\n  " : ",\n  ") + written(map.pairs()[i]);
    return json + (map.pairs().empty() ? "}\n" : "]}\n");
}

}  // namespace tenon
