// NVIDIA DGX H100: 8 GPUs joined by four NVSwitches, a network card beside each GPU.
//
// Figures: 18 NVLinks of 25 GB/s each way a GPU, which reach the four switches as 5, 4, 4 and 5; eight ConnectX-7 of
// 400 Gbit/s; PCIe 5.0 x16 (NVIDIA DGX H100/H200 user guide and data sheet; NVIDIA H100 architecture white paper). 22
// GB/s between the sockets is what NCCL reckons with for Sapphire Rapids (src/graph/topo.h). The latencies are
// assumptions: 1 us between GPUs by NVLink, 4 us by the network, half a microsecond for a PCIe hop.
#include <fmt/format.h>

#include <array>

#include "topology/generators/machines.hpp"

namespace tenon::machines {
namespace {

constexpr std::array<std::uint32_t, 4> nvlinks_to_switch{5, 4, 4, 5};
constexpr std::uint32_t sockets = 2, gpus_of_socket = 4;
constexpr std::uint32_t gpus = sockets * gpus_of_socket;
constexpr std::uint64_t pcie_bytes_per_s = 63'000'000'000, pcie_latency_ns = 500;

constexpr std::array parameters{
    GeneratorParameter{"servers", "how many", 1, 1, 1024},
    GeneratorParameter{"nvlink_mb_per_s", "of one NVLink, of which a GPU has 18", 25'000, 1, 1'000'000},
    GeneratorParameter{"nvlink_ns", "from GPU to GPU", 1'000, 0, 1'000'000},
    GeneratorParameter{"nic_mb_per_s", "of one network card", 50'000, 1, 1'000'000},
    GeneratorParameter{"nic_ns", "from GPU to GPU, by the network", 4'000, 0, 10'000'000},
};

class Server {
public:
    Server(MapBuilder& map, std::uint64_t number, PlaceIndex network, const GeneratorValues& values)
        : map_(map), values_(values), network_(network), first_rank_(static_cast<Rank>(number * gpus)) {
        place_ = map.add_place(outermost, kinds::server, fmt::format("server{}", number));
        map.set_fact(place_, "model", "DGX H100");
        for (std::size_t i = 0; i < nvlinks_to_switch.size(); i++)
            switches_.push_back(map.add_place(place_, kinds::switches, fmt::format("nvswitch{}", i)));
        std::vector<PlaceIndex> packages;
        for (std::uint32_t socket = 0; socket < sockets; socket++) packages.push_back(add_socket(socket));
        map.add_link({.from = packages[0], .to = packages[1], .kind = "upi", .bytes_per_s = 22'000'000'000});
    }

private:
    PlaceIndex add_socket(std::uint32_t socket) {
        const PlaceIndex numa = map_.add_place(place_, kinds::numa, fmt::format("numa{}", socket));
        for (std::uint32_t i = 0; i < gpus_of_socket; i++) add_gpu(numa, socket * gpus_of_socket + i);
        return numa;
    }

    void add_gpu(PlaceIndex numa, std::uint32_t number) {
        const PlaceIndex bridge = map_.add_place(numa, kinds::pci, fmt::format("pci{}", number));
        const PlaceIndex gpu = map_.add_place(bridge, kinds::device, fmt::format("gpu{}", number));
        const PlaceIndex nic = map_.add_place(bridge, kinds::nic, fmt::format("nic{}", number));
        map_.set_rank(gpu, first_rank_ + static_cast<Rank>(number));
        for (const PlaceIndex end : {numa, gpu, nic})
            map_.add_link({.from = bridge,
                           .to = end,
                           .kind = "pcie",
                           .bytes_per_s = pcie_bytes_per_s,
                           .latency_ns = pcie_latency_ns});
        for (std::size_t i = 0; i < switches_.size(); i++)
            map_.add_link({.from = gpu,
                           .to = switches_[i],
                           .kind = "nvlink",
                           .bytes_per_s = values_.bytes_per_s("nvlink_mb_per_s"),
                           .latency_ns = values_["nvlink_ns"] / 2,
                           .count = nvlinks_to_switch[i]});
        // What the PCIe hops to the card take is part of the latency from GPU to GPU.
        const std::uint64_t hops_ns = 4 * pcie_latency_ns, all_ns = values_["nic_ns"];
        map_.add_link({.from = nic,
                       .to = network_,
                       .kind = "infiniband",
                       .bytes_per_s = values_.bytes_per_s("nic_mb_per_s"),
                       .latency_ns = all_ns > hops_ns ? (all_ns - hops_ns) / 2 : 0});
    }

    MapBuilder& map_;
    const GeneratorValues& values_;
    PlaceIndex network_, place_;
    std::vector<PlaceIndex> switches_;
    Rank first_rank_;
};

Result<Map> make(const GeneratorValues& values) {
    MapBuilder map{kinds::cluster, "dgx-h100"};
    const PlaceIndex network = map.add_place(outermost, kinds::network, "infiniband");
    for (std::uint64_t server = 0; server < values["servers"]; server++) Server{map, server, network, values};
    return std::move(map).finish();
}

}  // namespace

const Generator dgx_h100{"dgx-h100", "servers of 8 H100, joined by InfiniBand",
                         "NVIDIA DGX H100/H200 user guide; H100 architecture white paper; between the sockets: NCCL's "
                         "src/graph/topo.h. Latencies are assumptions.",
                         parameters, make};

}  // namespace tenon::machines
