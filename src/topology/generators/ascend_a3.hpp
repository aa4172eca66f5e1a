// The server that CloudMatrix384 and Atlas A3 share: 8 Ascend 910C of two dies; a die is a rank.
//
// Figures: a die's unified bus (UB) is 7 links of 224 Gbit/s, one to each of the server's 7 switch chips (arXiv
// 2506.12708); measured per die: 210 GB/s at 0.2 us to the other die of its NPU, 170 GB/s at 0.7 us within the server,
// 150 GB/s at 2.1 us to another server of the supernode (StrataCL). The links have the measured rates, since plans are
// to be priced by what they get: a die's 7 links 170 GB/s, the chips' links upwards 150 GB/s for each of the 16 dies.
// RoCE is 200 Gbit/s a die (arXiv 2506.12708); its latency is an assumption, 5 us from die to die.
#pragma once

#include "topology/generators.hpp"

namespace tenon::machines {

inline constexpr std::uint32_t a3_npus = 8, a3_dies = 2, a3_planes = 7;

inline constexpr std::string_view a3_sources =
    "Structure and RoCE: arXiv 2506.12708. SIO and UB: as StrataCL measured them. RoCE's latency is an assumption.";

struct A3Figures {
    std::uint64_t sio_bytes_per_s, sio_latency_ns;
    std::uint64_t die_bytes_per_s, die_latency_ns;  // over UB, to another die of the server
    std::uint64_t nic_bytes_per_s, nic_latency_ns;  // from die to die
};

inline constexpr GeneratorParameter a3_parameters[]{
    {"die_to_die_mb_per_s", "between the two dies of an NPU (SIO)", 210'000, 1, 1'000'000},
    {"die_to_die_ns", "its latency", 200, 0, 1'000'000},
    {"in_server_mb_per_s", "UB of a die, within the server", 170'000, 1, 1'000'000},
    {"in_server_ns", "its latency", 700, 0, 1'000'000},
    {"nic_mb_per_s", "RoCE of a die", 25'000, 1, 1'000'000},
    {"nic_ns", "its latency, from die to die", 5'000, 0, 10'000'000},
};

A3Figures a3_figures(const GeneratorValues& values);

struct A3Server {
    PlaceIndex place;
    std::vector<PlaceIndex> planes;  // the switch chips, by plane
};

// Adds the server with ranks from first_rank on, joined to the RoCE network.
A3Server add_a3_server(MapBuilder& map, PlaceIndex parent, std::uint64_t number, Rank first_rank, PlaceIndex network,
                       const A3Figures& figures);

}  // namespace tenon::machines
