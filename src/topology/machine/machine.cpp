#include "topology/machine/machine.hpp"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "topology/files/files.hpp"

namespace tenon {
namespace {

struct DestroyTopology {
    void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using HwlocTopology = std::unique_ptr<hwloc_topology, DestroyTopology>;

Result<std::string> hwloc_xml_of_this_machine() {
    hwloc_topology_t made = nullptr;
    if (hwloc_topology_init(&made) != 0) return fail(Status::system_error, "hwloc cannot be set up");
    const HwlocTopology topology{made};
    hwloc_topology_set_io_types_filter(made, HWLOC_TYPE_FILTER_KEEP_ALL);
    // Linux's own list of PCI devices will do; libpciaccess, which hwloc would use instead, never frees what it finds.
    hwloc_topology_set_components(made, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "pci");
    if (hwloc_topology_load(made) != 0) return fail(Status::system_error, "hwloc cannot find out about this machine");
    char* buffer = nullptr;
    int bytes = 0;
    if (hwloc_topology_export_xmlbuffer(made, &buffer, &bytes, 0) != 0)
        return fail(Status::system_error, "hwloc cannot write down what it found");
    std::string xml{buffer, bytes > 0 ? static_cast<std::size_t>(bytes) - 1 : 0};  // without the final zero
    hwloc_free_xmlbuffer(made, buffer);
    return xml;
}

}  // namespace

// By way of hwloc's own XML, so that one reader decides what of a machine is kept, live or from a file.
Result<Map> map_of_this_machine() {
    const auto xml = hwloc_xml_of_this_machine();
    if (!xml) return std::unexpected(xml.error());
    auto read = read_map(*xml, "this machine");
    if (!read) return std::unexpected(read.error());
    return topology_machine::with_network_facts(read->map, "/sys");
}

namespace topology_machine {
namespace {

namespace fs = std::filesystem;

std::string first_line_of(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc{} || end == text.data()) return std::nullopt;
    return number;
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code problem;
    for (fs::directory_iterator entry{folder, problem}, end; !problem && entry != end; entry.increment(problem))
        names.push_back(entry->path().filename());
    std::ranges::sort(names);
    return names;
}

// The PCI address (or whatever else) that a network or RDMA device sits on.
std::string device_of(const fs::path& entry) {
    std::error_code problem;
    const fs::path target = fs::canonical(entry / "device", problem);
    return problem ? std::string{} : target.filename().string();
}

struct NetworkDevice {
    std::string name, device, kind;  // kind of its wire
    std::uint64_t mbit_per_s = 0;
    std::vector<std::pair<std::string, std::string>> facts{};
};

NetworkDevice interface_named(const fs::path& root, const std::string& name) {
    const fs::path entry = root / "class/net" / name;
    NetworkDevice found{.name = name, .device = device_of(entry), .kind = "ethernet"};
    const std::string type = first_line_of(entry / "type");
    if (type == "32") found.kind = "infiniband";
    // -1 or nothing where there is no wire, or a virtual machine that does not know it.
    if (const auto speed = leading_number(first_line_of(entry / "speed")); speed && *speed < 100'000'000)
        found.mbit_per_s = *speed;
    for (const char* fact : {"address", "mtu", "operstate"})
        if (std::string value = first_line_of(entry / fact); !value.empty()) found.facts.emplace_back(fact, value);
    return found;
}

// "400 Gb/sec (4X NDR)"
NetworkDevice rdma_device_named(const fs::path& root, const std::string& name) {
    const fs::path entry = root / "class/infiniband" / name;
    NetworkDevice found{.name = name, .device = device_of(entry), .kind = "infiniband"};
    for (const std::string& port : names_in(entry / "ports")) {
        const fs::path folder = entry / "ports" / port;
        if (first_line_of(folder / "link_layer") == "Ethernet") found.kind = "roce";
        if (const auto rate = leading_number(first_line_of(folder / "rate")); rate && *rate < 100'000)
            found.mbit_per_s = std::max(found.mbit_per_s, *rate * 1000);
        found.facts.emplace_back(fmt::format("port {}", port), first_line_of(folder / "state"));
    }
    if (std::string guid = first_line_of(entry / "node_guid"); !guid.empty())
        found.facts.emplace_back("node_guid", guid);
    return found;
}

// Copies a map, adding to it.
class Extended {
public:
    explicit Extended(const Map& map) : map_(map), builder_(map[outermost].kind, map.name()) {
        for (std::uint32_t place = 0; place < map.place_count(); place++) copy(map[PlaceIndex{place}], {place});
        for (const Link& link : map.links()) builder_.add_link(link);
    }

    void add(const NetworkDevice& device, std::string_view what) {
        const PlaceIndex nic = place_for(device);
        set_fact(nic, std::string(what), device.name);
        for (const auto& [name, value] : device.facts) set_fact(nic, fmt::format("{} {}", device.name, name), value);
        if (device.mbit_per_s == 0 || !joined_.insert(nic).second) return;
        const auto [network, is_new] = networks_.try_emplace(device.kind);
        if (is_new)
            network->second = builder_.add_place(outermost, kinds::network, fmt::format("{} network", device.kind));
        builder_.add_link(
            {.from = nic, .to = network->second, .kind = device.kind, .bytes_per_s = device.mbit_per_s * 125'000});
    }

    Result<Map> finish() && { return std::move(builder_).finish(); }

private:
    // Places keep their numbers, because a map's are in an order in which parents come first.
    void copy(const MapPlace& place, PlaceIndex index) {
        if (place.parent) builder_.add_place(*place.parent, place.kind, place.name);
        if (place.rank) builder_.set_rank(index, *place.rank);
        for (const Fact& fact : place.facts) builder_.set_fact(index, fact.name, fact.value);
    }

    void set_fact(PlaceIndex place, std::string_view name, std::string_view value) {
        if (!builder_[place].fact(name)) builder_.set_fact(place, name, value);
    }

    PlaceIndex place_for(const NetworkDevice& device) {
        for (std::uint32_t place = 0; place < map_.place_count(); place++) {
            const MapPlace& known = map_[PlaceIndex{place}];
            if (known.kind != kinds::nic) continue;
            if (known.name == device.name || (!device.device.empty() && known.fact("busid") == device.device))
                return {place};
        }
        const auto [added, is_new] = added_.try_emplace(device.device.empty() ? device.name : device.device);
        if (is_new) added->second = builder_.add_place(outermost, kinds::nic, device.name);
        return added->second;
    }

    const Map& map_;
    MapBuilder builder_;
    std::map<std::string, PlaceIndex> added_, networks_;
    std::set<PlaceIndex> joined_;  // a card has one wire, whoever tells of it
};

}  // namespace

Result<Map> with_network_facts(const Map& machine, const std::string& system_root) {
    const fs::path root{system_root};
    Extended extended{machine};
    // An RDMA device knows its rate better than the interface that shares its card.
    for (const std::string& name : names_in(root / "class/infiniband"))
        extended.add(rdma_device_named(root, name), "rdma device");
    for (const std::string& name : names_in(root / "class/net")) {
        const NetworkDevice interface = interface_named(root, name);
        // Without a device it is software: the loopback, bridges, tunnels.
        if (!interface.device.empty()) extended.add(interface, "interface");
    }
    return std::move(extended).finish();
}

}  // namespace topology_machine
}  // namespace tenon
