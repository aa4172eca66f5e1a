// Huawei CloudMatrix384: supernodes of 48 servers, 384 Ascend 910C, 768 dies (ranks).
//
// Each of a server's 7 UB switch chips belongs to a plane of the supernode, whose switches are non-blocking and drawn
// as one; supernodes are joined by RoCE. Sources: arXiv 2506.12708; StrataCL's measured rates and latencies
// (ascend_a3.hpp).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "topology/generators/ascend_a3.hpp"
#include "topology/generators/machines.hpp"

namespace tenon::machines {
namespace {

constexpr std::array parameters{
    GeneratorParameter{"supernodes", "how many", 1, 1, 64},
    GeneratorParameter{"servers", "of a supernode", 48, 1, 48},
    a3_parameters[0],
    a3_parameters[1],
    a3_parameters[2],
    a3_parameters[3],
    GeneratorParameter{"in_supernode_mb_per_s", "UB of a die, to other servers", 150'000, 1, 1'000'000},
    GeneratorParameter{"in_supernode_ns", "its latency, of which the servers' switches have in_server_ns", 2'100, 0,
                       10'000'000},
    a3_parameters[4],
    a3_parameters[5],
};

void add_supernode(MapBuilder& map, std::uint64_t number, Rank first_rank, PlaceIndex network,
                   const GeneratorValues& values) {
    const PlaceIndex supernode = map.add_place(outermost, kinds::supernode, fmt::format("supernode{}", number));
    const A3Figures figures = a3_figures(values);
    std::vector<PlaceIndex> planes;
    for (std::uint32_t plane = 0; plane < a3_planes; plane++)
        planes.push_back(map.add_place(supernode, kinds::switches, fmt::format("plane{}", plane)));
    constexpr std::uint32_t dies = a3_npus * a3_dies;
    const std::uint64_t beyond_server_ns =
        values["in_supernode_ns"] - std::min(values["in_supernode_ns"], figures.die_latency_ns);
    for (std::uint64_t server = 0; server < values["servers"]; server++) {
        const A3Server added =
            add_a3_server(map, supernode, server, first_rank + static_cast<Rank>(server * dies), network, figures);
        for (std::uint32_t plane = 0; plane < a3_planes; plane++)
            map.add_link({.from = added.planes[plane],
                          .to = planes[plane],
                          .kind = "ub",
                          .bytes_per_s = values.bytes_per_s("in_supernode_mb_per_s") / a3_planes,
                          .latency_ns = beyond_server_ns / 2,
                          .count = dies});
    }
}

Result<Map> make(const GeneratorValues& values) {
    MapBuilder map{kinds::cluster, "cloudmatrix384"};
    const PlaceIndex network = map.add_place(outermost, kinds::network, "roce");
    const std::uint64_t ranks = values["servers"] * a3_npus * a3_dies;
    for (std::uint64_t supernode = 0; supernode < values["supernodes"]; supernode++)
        add_supernode(map, supernode, static_cast<Rank>(supernode * ranks), network, values);
    return std::move(map).finish();
}

}  // namespace

const Generator cloudmatrix384{"cloudmatrix384", "supernodes of 48 servers, 384 Ascend 910C, 768 ranks", a3_sources,
                               parameters, make};

}  // namespace tenon::machines
