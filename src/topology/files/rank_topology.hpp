// The links of a topology file of version 2.0: which devices of a server (by local id) reach each other, and which
// reach a network of which layer. It goes with a rank table of version 2.0.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "topology/files/json_file.hpp"

namespace tenon::topology_files {

inline constexpr std::uint64_t max_local_id = 64, max_layer = 7;

struct RankEdge {
    std::uint64_t layer = 0;
    std::uint64_t local_a = 0;
    std::optional<std::uint64_t> local_b{};  // none: to a network
    std::string kind{};                      // of the link
    std::uint32_t ports = 1;
    std::string network{};  // which of the layer, where it leads to one
    std::vector<std::pair<std::string, std::string>> facts{};
};

struct RankTopology {
    std::vector<std::uint64_t> local_ids;
    std::vector<RankEdge> edges;
};

RankTopology read_rank_edges(JsonReader& json, const JsonElement& root);

}  // namespace tenon::topology_files
