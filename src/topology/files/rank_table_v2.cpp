// HCCL's rank table of version 2.0 (Ascend 950): each rank tells, layer by layer, which instance of a network it is in.
// Source: HCCL's rank_table_config documentation for the 950; hcomm's parser.
//
// The instances of layer 0 become servers, those of layer 1 supernodes, those above "layer 2" and so on. Layers of type
// CLOS are joined by a network, 1DMESH pairwise; what TOPO_FILE_DESC means says the topology file, where it is given.
// Rates are not told. Numbers are numbers here; texts instead are refused, as HCCL does.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "topology/files/rank_topology.hpp"
#include "topology/files/readers.hpp"
#include "topology/files/xml_file.hpp"

namespace tenon::topology_files {
namespace {

constexpr std::size_t max_rank_count = 65536, max_levels = 8, max_addresses = 24, max_ports = 16;
constexpr std::array<std::string_view, 6> net_types{"TOPO_FILE_DESC", "CLOS",      "1DMESH",
                                                    "2DMESH",         "A3_SERVER", "A2_AX_SERVER"};
constexpr std::size_t max_mesh = 128;

struct Membership {
    std::uint64_t layer = 0;
    std::string instance, type, kind;  // kind of its links, from the addresses
    std::uint32_t ports = 0;
    JsonElement element;
};

struct RankEntry {
    std::uint64_t local_id = 0;
    std::vector<Membership> memberships{};  // layers ascending
    PlaceIndex place{};
};

class Reader {
public:
    Reader(std::string_view bytes, std::string_view file, const Companion* topology)
        : json_(bytes, file), topology_(topology), builder_(kinds::cluster, "rank table") {}

    Result<Map> read(const JsonElement& root) {
        const std::string version = json_.text(json_.member(root, "version"));
        if (!json_.is_refused() && version != "2.0")
            json_.refuse(root["version"], fmt::format("is {}, not \"2.0\"", described(root["version"].value())));
        read_ranks(root);
        if (!json_.is_refused()) place_ranks();
        if (json_.is_refused()) return json_.error();
        if (topology_ != nullptr) {
            if (auto read = read_topology(); !read) return std::unexpected(read.error());
        }
        join_layers();
        auto map = std::move(builder_).finish();
        if (!map) json_.refuse(root, map.error().message);
        if (json_.is_refused()) return json_.error();
        return map;
    }

private:
    void read_ranks(const JsonElement& root) {
        const std::uint64_t count = json_.number(json_.member(root, "rank_count"), 1, max_rank_count);
        const JsonElement list = json_.member(root, "rank_list");
        const std::size_t entries = json_.array_size(list, max_rank_count);
        if (!json_.is_refused() && entries != count)
            json_.refuse(root["rank_count"], fmt::format("is {}, but rank_list has {}", count, entries));
        ranks_.resize(json_.is_refused() ? 0 : entries);
        std::vector<bool> is_given(ranks_.size());
        for (std::size_t i = 0; i < entries && !json_.is_refused(); i++) {
            const JsonElement id = json_.member(list[i], "rank_id");
            const auto rank = json_.number(id, 0, count - 1);
            if (json_.is_refused()) return;
            if (is_given[rank]) return json_.refuse(id, fmt::format("is {}, as that of an earlier rank", rank));
            is_given[rank] = true;
            ranks_[rank] = read_rank(list[i]);
            elements_.emplace(rank, list[i]);
        }
    }

    RankEntry read_rank(const JsonElement& element) {
        RankEntry rank{.local_id = json_.number(json_.member(element, "local_id"), 0, max_local_id)};
        if (element.has("device_id")) json_.number(element["device_id"], 0, max_local_id);
        const JsonElement levels = json_.member(element, "level_list");
        const std::size_t count = json_.array_size(levels, max_levels);
        for (std::size_t i = 0; i < count && !json_.is_refused(); i++) {
            rank.memberships.push_back(read_level(levels[i]));
            if (i > 0 && rank.memberships[i].layer <= rank.memberships[i - 1].layer)
                json_.refuse(levels[i]["net_layer"], "is not higher than that of the level before");
        }
        return rank;
    }

    Membership read_level(const JsonElement& level) {
        Membership read{.layer = json_.number(json_.member(level, "net_layer"), 0, max_layer),
                        .instance = json_.text(json_.member(level, "net_instance_id")),
                        .type = json_.text(json_.member(level, "net_type")),
                        .kind = "ub",
                        .element = level};
        if (!json_.is_refused() && (read.instance.empty() || read.instance.size() > 1024))
            json_.refuse(level["net_instance_id"], "is empty, or longer than 1024 bytes");
        if (!json_.is_refused() && std::ranges::find(net_types, read.type) == net_types.end())
            json_.refuse(level["net_type"], fmt::format("is {}, not {}", described(level["net_type"].value()),
                                                        fmt::join(net_types, ", ")));
        if (level.has("rank_addr_list")) read_addresses(level["rank_addr_list"], read);
        return read;
    }

    void read_addresses(const JsonElement& addresses, Membership& read) {
        const std::size_t count = json_.array_size(addresses, max_addresses);
        for (std::size_t i = 0; i < count && !json_.is_refused(); i++) {
            const std::string type = json_.text(json_.member(addresses[i], "addr_type"));
            json_.text(json_.member(addresses[i], "addr"));
            if (!json_.is_refused() && type != "EID" && type != "IPV4" && type != "IPV6")
                json_.refuse(addresses[i]["addr_type"],
                             fmt::format("is {}, not EID, IPV4 or IPV6", described(addresses[i]["addr_type"].value())));
            if (type != "EID") read.kind = "roce";
            read.ports += addresses[i].has("ports")
                              ? static_cast<std::uint32_t>(json_.array_size(addresses[i]["ports"], max_ports))
                              : 1;
        }
    }

    static std::string kind_of_layer(std::uint64_t layer) {
        if (layer == 0) return std::string(kinds::server);
        return layer == 1 ? std::string(kinds::supernode) : fmt::format("layer {}", layer);
    }

    // A rank lies in its instance of the lowest layer, which lies in that of the next, and so on.
    void place_ranks() {
        std::map<std::pair<PlaceIndex, std::uint64_t>, std::uint64_t> local_ids;
        for (std::size_t rank = 0; rank < ranks_.size() && !json_.is_refused(); rank++) {
            RankEntry& entry = ranks_[rank];
            PlaceIndex place = outermost;
            for (auto membership = entry.memberships.rbegin(); membership != entry.memberships.rend(); ++membership) {
                const auto [found, is_new] = instances_.try_emplace({membership->layer, membership->instance});
                if (is_new) {
                    found->second = builder_.add_place(place, kind_of_layer(membership->layer),
                                                       names_.name_for(place, membership->instance));
                } else if (builder_[found->second].parent != place) {
                    json_.refuse(membership->element["net_instance_id"],
                                 "lies in different instances of the layer above for different ranks");
                    return;
                }
                place = found->second;
            }
            if (!local_ids.emplace(std::pair{place, entry.local_id}, rank).second)
                json_.refuse(elements_.at(rank)["local_id"],
                             fmt::format("is {}, as that of another rank of the same instance", entry.local_id));
            entry.place = builder_.add_place(place, kinds::device,
                                             names_.name_for(place, fmt::format("device{}", entry.local_id)));
            builder_.set_rank(entry.place, static_cast<Rank>(rank));
            set_facts(elements_.at(rank), entry.place);
            if (builder_.problem()) json_.refuse(elements_.at(rank), *builder_.problem());
        }
    }

    void set_facts(const JsonElement& element, PlaceIndex place) {
        for (const char* name : {"local_id", "device_id", "device_port", "host_port"})
            if (element.has(name)) set_fact_if_plain(builder_, place, name, json_.words(element[name]));
    }

    Result<void> read_topology() {
        const auto parsed = parse_json(topology_->bytes, topology_->file);
        if (!parsed) return std::unexpected(parsed.error());
        JsonReader json{topology_->bytes, topology_->file};
        const JsonElement root{*parsed, ""};
        const RankTopology read = read_rank_edges(json, root);
        if (json.is_refused()) return json.error();
        for (const auto& [server, ranks] : ranks_by_server())
            for (const RankEdge& edge : read.edges) add_edge(ranks, edge);
        has_edges_ = true;
        if (builder_.problem()) json.refuse(root, *builder_.problem());
        if (json.is_refused()) return json.error();
        return {};
    }

    std::map<PlaceIndex, std::vector<std::size_t>> ranks_by_server() const {
        std::map<PlaceIndex, std::vector<std::size_t>> by_server;
        for (std::size_t rank = 0; rank < ranks_.size(); rank++)
            by_server[*builder_[ranks_[rank].place].parent].push_back(rank);
        return by_server;
    }

    // A topology file describes a full server; edges of devices that have no rank are left out.
    void add_edge(const std::vector<std::size_t>& ranks, const RankEdge& edge) {
        const auto with_id = [&](std::uint64_t id) -> const RankEntry* {
            const auto found = std::ranges::find(ranks, id, [&](std::size_t rank) { return ranks_[rank].local_id; });
            return found == ranks.end() ? nullptr : &ranks_[*found];
        };
        const RankEntry* one = with_id(edge.local_a);
        if (one == nullptr) return;
        Link link{.from = one->place, .kind = edge.kind, .count = edge.ports};
        for (const auto& [name, value] : edge.facts) link.facts.push_back({name, value});
        if (edge.local_b) {
            const RankEntry* other = with_id(*edge.local_b);
            if (other == nullptr) return;
            link.to = other->place;
        } else {
            const auto membership = std::ranges::find(one->memberships, edge.layer, &Membership::layer);
            const PlaceIndex holder = membership == one->memberships.end()
                                          ? outermost
                                          : instances_.at({membership->layer, membership->instance});
            link.to = network_in(holder, edge.network);
        }
        builder_.add_link(std::move(link));
    }

    PlaceIndex network_in(PlaceIndex holder, const std::string& name) {
        const auto [network, is_new] = networks_.try_emplace({holder, name});
        if (is_new) network->second = builder_.add_place(holder, kinds::network, names_.name_for(holder, name));
        return network->second;
    }

    // What the types of the layers say by themselves; a topology file has said it better.
    void join_layers() {
        if (has_edges_) return;
        std::map<PlaceIndex, std::vector<PlaceIndex>> meshes;
        for (const RankEntry& rank : ranks_)
            for (const Membership& membership : rank.memberships) {
                const PlaceIndex instance = instances_.at({membership.layer, membership.instance});
                if (membership.type == "1DMESH") {
                    auto& earlier = meshes[instance];
                    for (std::size_t i = 0; i < earlier.size() && earlier.size() < max_mesh; i++)
                        builder_.add_link({.from = earlier[i], .to = rank.place, .kind = membership.kind});
                    earlier.push_back(rank.place);
                } else if (membership.type != "TOPO_FILE_DESC") {
                    builder_.add_link({.from = rank.place,
                                       .to = network_in(instance, fmt::format("net{}", membership.layer)),
                                       .kind = membership.kind,
                                       .count = std::max(membership.ports, 1u)});
                }
            }
    }

    JsonReader json_;
    const Companion* topology_;
    MapBuilder builder_;
    PlaceNames names_;
    std::vector<RankEntry> ranks_;
    std::map<std::size_t, JsonElement> elements_;  // by rank
    std::map<std::pair<std::uint64_t, std::string>, PlaceIndex> instances_;
    std::map<std::pair<PlaceIndex, std::string>, PlaceIndex> networks_;
    bool has_edges_ = false;
};

}  // namespace

Result<Map> read_rank_table_v2(std::string_view bytes, std::string_view file, const Companion* topology) {
    const auto parsed = parse_json(bytes, file);
    if (!parsed) return std::unexpected(parsed.error());
    return Reader{bytes, file, topology}.read({*parsed, ""});
}

}  // namespace tenon::topology_files
