#include "topology/files/rank_topology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "topology/files/readers.hpp"

namespace tenon::topology_files {
namespace {

constexpr std::size_t max_edges = 1u << 16, max_ports = 64;

struct Protocol {
    std::string_view name, kind;
};
constexpr std::array<Protocol, 9> protocols{{{"UB_CTP", "ub"},
                                             {"UB_TP", "ub"},
                                             {"UBC_CTP", "ub"},
                                             {"UBC_TP", "ub"},
                                             {"UB_MEM", "ub"},
                                             {"ROCE", "roce"},
                                             {"HCCS", "hccs"},
                                             {"TCP", "tcp"},
                                             {"UBOE", "uboe"}}};

std::string read_protocols(JsonReader& json, const JsonElement& edge, RankEdge& read) {
    const JsonElement list = json.member(edge, "protocols");
    const std::size_t count = json.array_size(list, protocols.size());
    if (count == 0 && !json.is_refused()) json.refuse(list, "is empty");
    std::string kind, all;
    for (std::size_t i = 0; i < count; i++) {
        const std::string name = json.text(list[i]);
        const auto known = std::ranges::find(protocols, name, &Protocol::name);
        if (known == protocols.end()) {
            json.refuse(list[i],
                        fmt::format("is {}, not a protocol, such as UB_CTP or ROCE", described(list[i].value())));
            return "unknown";
        }
        if (kind.empty()) kind = known->kind;
        all += (all.empty() ? "" : " ") + name;
    }
    read.facts.emplace_back("protocols", all);
    return kind;
}

void read_ports(JsonReader& json, const JsonElement& edge, const char* key, RankEdge& read) {
    if (!edge.has(key)) return;
    const std::size_t count = json.array_size(edge[key], max_ports);
    std::string all;
    for (std::size_t i = 0; i < count; i++) {
        const std::string port = json.text(edge[key][i]);
        if (port.empty() || port.find_first_not_of("0123456789/") != std::string::npos)
            json.refuse(edge[key][i],
                        fmt::format("is {}, not a port, such as \"1/0\"", described(edge[key][i].value())));
        all += (all.empty() ? "" : " ") + port;
    }
    read.ports = std::max(read.ports, static_cast<std::uint32_t>(count));
    if (count > 0) read.facts.emplace_back(key, all);
}

std::uint64_t read_end(JsonReader& json, const JsonElement& edge, const char* key,
                       const std::set<std::uint64_t>& known) {
    const JsonElement end = json.member(edge, key);
    const std::uint64_t id = json.number(end, 0, max_local_id);
    if (!json.is_refused() && !known.contains(id))
        json.refuse(end, fmt::format("is {}, which is not in peer_list", id));
    return id;
}

RankEdge read_edge(JsonReader& json, const JsonElement& edge, const std::set<std::uint64_t>& known) {
    RankEdge read{.layer = json.number(json.member(edge, "net_layer"), 0, max_layer)};
    const std::string type = json.text(json.member(edge, "link_type"));
    if (!json.is_refused() && type != "PEER2PEER" && type != "PEER2NET")
        json.refuse(edge["link_type"],
                    fmt::format("is {}, not PEER2PEER or PEER2NET", described(edge["link_type"].value())));
    read.kind = read_protocols(json, edge, read);
    read.local_a = read_end(json, edge, "local_a", known);
    read_ports(json, edge, "local_a_ports", read);
    if (type == "PEER2PEER") {
        read.local_b = read_end(json, edge, "local_b", known);
        read_ports(json, edge, "local_b_ports", read);
        if (!json.is_refused() && *read.local_b == read.local_a) json.refuse(edge["local_b"], "is local_a, too");
    }
    const std::string instance = edge.has("topo_instance_id") ? json.words(edge["topo_instance_id"]) : "0";
    read.network = fmt::format("net{}.{}", read.layer, instance);
    return read;
}

}  // namespace

RankTopology read_rank_edges(JsonReader& json, const JsonElement& root) {
    RankTopology topology;
    const JsonElement peers = json.member(root, "peer_list");
    const std::size_t peer_count = json.array_size(peers, max_local_id + 1);
    std::set<std::uint64_t> known;
    for (std::size_t i = 0; i < peer_count && !json.is_refused(); i++) {
        const JsonElement id = json.member(peers[i], "local_id");
        topology.local_ids.push_back(json.number(id, 0, max_local_id));
        if (!json.is_refused() && !known.insert(topology.local_ids.back()).second)
            json.refuse(id, fmt::format("is {}, as that of an earlier peer", topology.local_ids.back()));
    }
    const JsonElement edges = json.member(root, "edge_list");
    const std::size_t edge_count = json.array_size(edges, max_edges);
    for (std::size_t i = 0; i < edge_count && !json.is_refused(); i++)
        topology.edges.push_back(read_edge(json, edges[i], known));
    const auto check_count = [&](const char* key, std::size_t count) {
        if (json.is_refused() || !root.has(key)) return;
        const auto told = json.number(root[key], 0, UINT32_MAX);
        if (told != count) json.refuse(root[key], fmt::format("is {}, but the list has {}", told, count));
    };
    check_count("peer_count", peer_count);
    check_count("edge_count", edge_count);
    return topology;
}

Result<Map> read_rank_topology(std::string_view bytes, std::string_view file) {
    const auto parsed = parse_json(bytes, file);
    if (!parsed) return std::unexpected(parsed.error());
    const JsonElement root{*parsed, ""};
    JsonReader json{bytes, file};
    const RankTopology topology = read_rank_edges(json, root);
    if (json.is_refused()) return json.error();
    MapBuilder builder{kinds::server, "server"};
    std::map<std::uint64_t, PlaceIndex> devices;
    std::map<std::string, PlaceIndex> networks;
    for (const std::uint64_t id : topology.local_ids)
        devices.emplace(id, builder.add_place(outermost, kinds::device, fmt::format("device{}", id)));
    for (const RankEdge& edge : topology.edges) {
        Link link{.from = devices.at(edge.local_a), .kind = edge.kind, .count = edge.ports};
        for (const auto& [name, value] : edge.facts) link.facts.push_back({name, value});
        if (edge.local_b) {
            link.to = devices.at(*edge.local_b);
        } else {
            const auto [network, is_new] = networks.try_emplace(edge.network);
            if (is_new) network->second = builder.add_place(outermost, kinds::network, edge.network);
            link.to = network->second;
        }
        builder.add_link(std::move(link));
    }
    auto map = std::move(builder).finish();
    if (!map) json.refuse(root, map.error().message);
    if (json.is_refused()) return json.error();
    return map;
}

}  // namespace tenon::topology_files
