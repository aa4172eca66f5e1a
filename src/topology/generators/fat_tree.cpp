// Servers at a fat tree of equal switches (Al-Fares, Loukissas and Vahdat, A Scalable, Commodity Data Center Network
// Architecture, SIGCOMM 2008).
//
// With radix k, a rack's switch has k/2 servers below it and k/2 links up or, oversubscribed by s, k/2/s. Two levels
// are k racks below spines; three levels are k pods of k/2 racks, below the core. The figures are parameters: 100
// Gbit/s and half a microsecond a link by default, which is an assumption.
#include <fmt/format.h>

#include <array>

#include "topology/generators/machines.hpp"

namespace tenon::machines {
namespace {

constexpr std::array parameters{
    GeneratorParameter{"levels", "of switches", 2, 2, 3},
    GeneratorParameter{"radix", "ports of a switch; even", 8, 2, 64},
    GeneratorParameter{"oversubscription", "of a rack: servers for each link up", 1, 1, 32},
    GeneratorParameter{"devices", "of a server, which share its link", 1, 1, 16},
    GeneratorParameter{"link_mb_per_s", "of each link between switches, and to servers", 12'500, 1, 1'000'000},
    GeneratorParameter{"link_ns", "its latency, switch included", 500, 0, 10'000'000},
    GeneratorParameter{"device_mb_per_s", "between a server's devices", 50'000, 1, 1'000'000},
    GeneratorParameter{"device_ns", "its latency", 500, 0, 10'000'000},
};

constexpr std::uint64_t max_ranks = 65'536;

class Tree {
public:
    explicit Tree(const GeneratorValues& values) : values_(values), half_(values["radix"] / 2) {
        uplinks_ = half_ / values["oversubscription"];
    }

    Result<Map> make() {
        const std::uint64_t racks = values_["levels"] == 2 ? 2 * half_ : 2 * half_ * half_;
        if (values_["radix"] % 2 != 0 || uplinks_ == 0 || half_ % values_["oversubscription"] != 0)
            return fail(Status::invalid_argument,
                        "fat-tree: radix must be even, and oversubscription must divide radix / 2");
        if (racks * half_ * values_["devices"] > max_ranks)
            return fail(Status::invalid_argument, fmt::format("fat-tree: this tree has {} devices; {} are made at most",
                                                              racks * half_ * values_["devices"], max_ranks));
        if (values_["levels"] == 2)
            add_racks(outermost, 2 * half_, add_switches(outermost, "spine", uplinks_));
        else
            add_pods();
        return std::move(map_).finish();
    }

private:
    std::vector<PlaceIndex> add_switches(PlaceIndex parent, std::string_view name, std::uint64_t count) {
        std::vector<PlaceIndex> added;
        for (std::uint64_t i = 0; i < count; i++)
            added.push_back(map_.add_place(parent, kinds::switches, fmt::format("{}{}", name, i)));
        return added;
    }

    void join(PlaceIndex below, PlaceIndex above) {
        map_.add_link({.from = below,
                       .to = above,
                       .kind = "ethernet",
                       .bytes_per_s = values_.bytes_per_s("link_mb_per_s"),
                       .latency_ns = values_["link_ns"]});
    }

    // A pod's switch number i reaches the core switches of group i.
    void add_pods() {
        const auto core = add_switches(outermost, "core", uplinks_ * half_);
        for (std::uint64_t pod = 0; pod < 2 * half_; pod++) {
            const PlaceIndex place = map_.add_place(outermost, "pod", fmt::format("pod{}", pod));
            const auto middle = add_switches(place, "aggregation", uplinks_);
            for (std::uint64_t i = 0; i < uplinks_; i++)
                for (std::uint64_t port = 0; port < half_; port++) join(middle[i], core[i * half_ + port]);
            add_racks(place, half_, middle);
        }
    }

    void add_racks(PlaceIndex parent, std::uint64_t count, const std::vector<PlaceIndex>& above) {
        for (std::uint64_t i = 0; i < count; i++) {
            const PlaceIndex rack = map_.add_place(parent, "rack", fmt::format("rack{}", i));
            const PlaceIndex edge = map_.add_place(rack, kinds::switches, "edge");
            for (const PlaceIndex up : above) join(edge, up);
            for (std::uint64_t server = 0; server < half_; server++) add_server(rack, server, edge);
        }
    }

    void add_server(PlaceIndex rack, std::uint64_t number, PlaceIndex edge) {
        const PlaceIndex server = map_.add_place(rack, kinds::server, fmt::format("server{}", number));
        const PlaceIndex bus = map_.add_place(server, kinds::pci, "pci");
        const PlaceIndex nic = map_.add_place(server, kinds::nic, "nic");
        map_.add_link({.from = bus, .to = nic, .kind = "on_board"});
        join(nic, edge);
        for (std::uint64_t i = 0; i < values_["devices"]; i++) {
            const PlaceIndex device = map_.add_place(server, kinds::device, fmt::format("device{}", i));
            map_.set_rank(device, rank_++);
            map_.add_link({.from = device,
                           .to = bus,
                           .kind = "pcie",
                           .bytes_per_s = values_.bytes_per_s("device_mb_per_s"),
                           .latency_ns = values_["device_ns"] / 2});
        }
    }

    const GeneratorValues& values_;
    std::uint64_t half_, uplinks_ = 0;
    MapBuilder map_{kinds::cluster, "fat-tree"};
    Rank rank_ = 0;
};

Result<Map> make(const GeneratorValues& values) { return Tree{values}.make(); }

}  // namespace

const Generator fat_tree{"fat-tree", "servers at a fat tree of switches, of two or three levels",
                         "Structure: Al-Fares, Loukissas and Vahdat, SIGCOMM 2008. All figures are assumptions.",
                         parameters, make};

}  // namespace tenon::machines
