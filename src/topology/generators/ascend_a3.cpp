#include "topology/generators/ascend_a3.hpp"

#include <fmt/format.h>

#include <string>

namespace tenon::machines {

A3Figures a3_figures(const GeneratorValues& values) {
    return {.sio_bytes_per_s = values.bytes_per_s("die_to_die_mb_per_s"),
            .sio_latency_ns = values["die_to_die_ns"],
            .die_bytes_per_s = values.bytes_per_s("in_server_mb_per_s"),
            .die_latency_ns = values["in_server_ns"],
            .nic_bytes_per_s = values.bytes_per_s("nic_mb_per_s"),
            .nic_latency_ns = values["nic_ns"]};
}

A3Server add_a3_server(MapBuilder& map, PlaceIndex parent, std::uint64_t number, Rank first_rank, PlaceIndex network,
                       const A3Figures& figures) {
    A3Server server{map.add_place(parent, kinds::server, fmt::format("server{}", number)), {}};
    map.set_fact(server.place, "model", "Atlas A3: 8 Ascend 910C");
    for (std::uint32_t plane = 0; plane < a3_planes; plane++)
        server.planes.push_back(map.add_place(server.place, kinds::switches, fmt::format("ub{}", plane)));
    Rank rank = first_rank;
    for (std::uint32_t npu = 0; npu < a3_npus; npu++) {
        const PlaceIndex holder = map.add_place(server.place, kinds::npu, fmt::format("npu{}", npu));
        std::vector<PlaceIndex> dies;
        for (std::uint32_t number_in_npu = 0; number_in_npu < a3_dies; number_in_npu++) {
            const PlaceIndex die = map.add_place(holder, kinds::die, fmt::format("die{}", number_in_npu));
            const PlaceIndex nic = map.add_place(holder, kinds::nic, fmt::format("nic{}", number_in_npu));
            map.set_rank(die, rank++);
            dies.push_back(die);
            for (const PlaceIndex plane : server.planes)
                map.add_link({.from = die,
                              .to = plane,
                              .kind = "ub",
                              .bytes_per_s = figures.die_bytes_per_s / a3_planes,
                              .latency_ns = figures.die_latency_ns / 2});
            map.add_link({.from = die, .to = nic, .kind = "on_chip"});
            map.add_link({.from = nic,
                          .to = network,
                          .kind = "roce",
                          .bytes_per_s = figures.nic_bytes_per_s,
                          .latency_ns = figures.nic_latency_ns / 2});
        }
        map.add_link({.from = dies[0],
                      .to = dies[1],
                      .kind = "sio",
                      .bytes_per_s = figures.sio_bytes_per_s,
                      .latency_ns = figures.sio_latency_ns});
    }
    return server;
}

}  // namespace tenon::machines
