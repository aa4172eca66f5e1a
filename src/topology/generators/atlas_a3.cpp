// Servers of 8 Ascend 910C (16 dies, ranks), joined by RoCE only, as a rank table of version 1.0 describes them; with
// UB between servers they are a CloudMatrix384. Sources: ascend_a3.hpp.
#include <array>

#include "topology/generators/ascend_a3.hpp"
#include "topology/generators/machines.hpp"

namespace tenon::machines {
namespace {

constexpr std::array parameters{
    GeneratorParameter{"servers", "how many", 1, 1, 1024},
    a3_parameters[0],
    a3_parameters[1],
    a3_parameters[2],
    a3_parameters[3],
    a3_parameters[4],
    a3_parameters[5],
};

Result<Map> make(const GeneratorValues& values) {
    MapBuilder map{kinds::cluster, "atlas-a3"};
    const PlaceIndex network = map.add_place(outermost, kinds::network, "roce");
    for (std::uint64_t server = 0; server < values["servers"]; server++)
        add_a3_server(map, outermost, server, static_cast<Rank>(server * a3_npus * a3_dies), network,
                      a3_figures(values));
    return std::move(map).finish();
}

}  // namespace

const Generator atlas_a3{"atlas-a3", "servers of 8 Ascend 910C, 16 ranks, joined by RoCE", a3_sources, parameters,
                         make};

}  // namespace tenon::machines
