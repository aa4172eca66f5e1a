// Servers of 8 Ascend 910B (Atlas 800T A2), each NPU joined with each other by HCCS, servers by RoCE.
//
// Figures: HCCS is 392 GB/s of an NPU, read as 7 links of 28 GB/s each way (Huawei EDOC1100317202); RoCE is 200 Gbit/s
// an NPU. The latencies are assumptions: HCCS as measured within an Atlas A3 server, RoCE 5 us.
#include <fmt/format.h>

#include <array>

#include "topology/generators/machines.hpp"

namespace tenon::machines {
namespace {

constexpr std::array parameters{
    GeneratorParameter{"servers", "how many", 1, 1, 2048},
    GeneratorParameter{"npus", "of a server", 8, 1, 16},
    GeneratorParameter{"hccs_mb_per_s", "between two NPUs", 28'000, 1, 1'000'000},
    GeneratorParameter{"hccs_ns", "its latency", 700, 0, 1'000'000},
    GeneratorParameter{"nic_mb_per_s", "RoCE of an NPU", 25'000, 1, 1'000'000},
    GeneratorParameter{"nic_ns", "its latency, from NPU to NPU", 5'000, 0, 10'000'000},
};

void add_server(MapBuilder& map, std::uint64_t number, PlaceIndex network, const GeneratorValues& values) {
    const PlaceIndex server = map.add_place(outermost, kinds::server, fmt::format("server{}", number));
    map.set_fact(server, "model", "Atlas A2: Ascend 910B");
    std::vector<PlaceIndex> npus;
    for (std::uint64_t i = 0; i < values["npus"]; i++) {
        const PlaceIndex npu = map.add_place(server, kinds::device, fmt::format("npu{}", i));
        map.set_rank(npu, static_cast<Rank>(number * values["npus"] + i));
        for (const PlaceIndex other : npus)
            map.add_link({.from = other,
                          .to = npu,
                          .kind = "hccs",
                          .bytes_per_s = values.bytes_per_s("hccs_mb_per_s"),
                          .latency_ns = values["hccs_ns"]});
        npus.push_back(npu);
    }
    for (std::uint64_t i = 0; i < values["npus"]; i++) {
        const PlaceIndex nic = map.add_place(server, kinds::nic, fmt::format("nic{}", i));
        map.add_link({.from = npus[i], .to = nic, .kind = "on_chip"});
        map.add_link({.from = nic,
                      .to = network,
                      .kind = "roce",
                      .bytes_per_s = values.bytes_per_s("nic_mb_per_s"),
                      .latency_ns = values["nic_ns"] / 2});
    }
}

Result<Map> make(const GeneratorValues& values) {
    MapBuilder map{kinds::cluster, "atlas-a2"};
    const PlaceIndex network = map.add_place(outermost, kinds::network, "roce");
    for (std::uint64_t server = 0; server < values["servers"]; server++) add_server(map, server, network, values);
    return std::move(map).finish();
}

}  // namespace

const Generator atlas_a2{"atlas-a2", "servers of 8 Ascend 910B, joined by RoCE",
                         "HCCS and RoCE: Huawei EDOC1100317202. Latencies are assumptions.", parameters, make};

}  // namespace tenon::machines
