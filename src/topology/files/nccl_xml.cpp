// NCCL's topology XML (NCCL_TOPO_DUMP_FILE, NCCL_TOPO_FILE; NCCL 2.30 src/graph/{xml,topo}.cc) and RCCL's dialect.
//
// system > cpu (a NUMA node) > pci, nested > gpu, nic > net. Files of clouds name no gpu and no nic, but only PCI
// classes: then each PCI device of class 0x03 (display), 0x12 (accelerator) or 0x02 (network) is one. GPUs and NICs are
// places in their own right; the PCI device that holds nothing else is not drawn apart from them.
//
// Rates are those that NCCL and RCCL reckon with: PCIe by generation and width, NVLink by compute capability, XGMI by
// gcn, the link between sockets by processor. A cpu with another host_hash is another server. NVLinks to PCI devices
// that the file does not have, because another container owns them, are kept as facts.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>

#include "topology/files/readers.hpp"
#include "topology/files/xml_file.hpp"

namespace tenon::topology_files {
namespace {

constexpr std::string_view switch_class = "0x0680", cpu_nvlink_class = "0x068001";

// 100 Mbit/s a lane, as NCCL counts; GB/s are width * speed / 80.
std::uint64_t pcie_bytes_per_s(std::string_view speed, std::int64_t width) {
    struct Row {
        std::string_view speed;
        std::uint64_t lane;
    };
    constexpr std::array<Row, 6> rows{{{"2.5", 15}, {"5", 30}, {"8", 60}, {"16", 120}, {"32", 240}, {"64", 480}}};
    speed = speed.substr(0, speed.find(' '));
    if (speed.ends_with(".0")) speed.remove_suffix(2);
    const auto row = std::ranges::find(rows, speed, &Row::speed);
    const std::uint64_t lane = row == rows.end() ? 60 : row->lane;
    return static_cast<std::uint64_t>(width == 0 ? 16 : width) * lane * 12'500'000;
}

std::uint64_t nvlink_bytes_per_s(std::int64_t sm) {
    constexpr std::uint64_t mb = 1'000'000;
    if (sm >= 100) return 40'100 * mb;
    if (sm >= 90) return 20'600 * mb;
    if (sm == 86) return 12'000 * mb;
    if (sm >= 70 || sm < 60) return 20'000 * mb;  // also where it is not told
    return 18'000 * mb;
}

std::uint64_t xgmi_bytes_per_s(std::string_view gcn) {
    constexpr std::uint64_t gb = 1'000'000'000;
    if (gcn.starts_with("gfx")) gcn.remove_prefix(3);
    if (gcn.starts_with("94") || gcn.starts_with("95")) return 48 * gb;
    if (gcn == "910" || gcn == "90a") return 36 * gb;
    return 24 * gb;
}

std::uint64_t socket_bytes_per_s(std::string_view arch, std::string_view vendor, std::int64_t model) {
    constexpr std::uint64_t gb = 1'000'000'000;
    if (arch == "ppc64") return 32 * gb;
    if (arch == "arm64") return 6 * gb;
    if (vendor == "AuthenticAMD") return 16 * gb;
    if (vendor != "GenuineIntel") return 6 * gb;
    return (model >= 0xcf ? 40 : model >= 0x8f ? 22 : model >= 0x55 ? 10 : 6) * gb;
}

bool is_bus_id(std::string_view text) {
    return !text.empty() && text.size() <= 24 && std::ranges::all_of(text, [](char c) {
        return std::isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.';
    });
}

bool has_element(pugi::xml_node node, std::initializer_list<std::string_view> names) {
    return std::ranges::any_of(node.children(), [&](pugi::xml_node child) {
        return std::ranges::find(names, std::string_view{child.name()}) != names.end();
    });
}

struct Host {
    PlaceIndex server;
    std::vector<PlaceIndex> numas;
    std::map<std::string, PlaceIndex> switches;  // NVSwitches, by bus id
    std::uint64_t socket_bytes_per_s = 0;
};

struct Device {
    PlaceIndex place;
    Host* host;
    PlaceIndex numa;
    pugi::xml_node gpu;
};

class Reader {
public:
    Reader(std::string_view bytes, std::string_view file) : xml_(bytes, file), builder_(kinds::server, "server") {}

    Result<Map> read() {
        const pugi::xml_node system = xml_.load("system");
        if (!xml_.is_refused()) read_system(system);
        if (xml_.is_refused()) return xml_.error();
        auto map = std::move(builder_).finish();
        if (!map) xml_.refuse(system, map.error().message);
        if (xml_.is_refused()) return xml_.error();
        return map;
    }

private:
    void read_system(pugi::xml_node system) {
        xml_.number(system, "version", 1, 1, 2);
        std::set<std::string_view> hosts;
        for (const pugi::xml_node cpu : system.children("cpu")) hosts.insert(cpu.attribute("host_hash").value());
        const bool is_cluster = hosts.size() > 1;
        if (is_cluster) builder_ = MapBuilder{kinds::cluster, "cluster"};
        for (const pugi::xml_node cpu : system.children("cpu")) {
            if (xml_.is_refused()) return;
            const std::string hash = cpu.attribute("host_hash").value();
            auto [host, is_new] = hosts_.try_emplace(hash);
            if (is_new && is_cluster)
                host->second.server = builder_.add_place(
                    outermost, kinds::server, names_.name_for(outermost, fmt::format("server{}", hosts_.size() - 1)));
            read_cpu(cpu, host->second);
        }
        if (hosts_.empty()) xml_.refuse(system, "holds no <cpu>");
        for (auto& [hash, host] : hosts_) join_sockets(host);
        for (const Device& device : devices_)
            if (!xml_.is_refused()) read_device_links(device);
        add_device_links();
        for (const auto& [from, target, node] : pci_links_) add_pci_link(from, target, node);
        number_ranks(system);
    }

    PlaceIndex add(pugi::xml_node node, PlaceIndex parent, std::string_view kind, std::string_view name) {
        const PlaceIndex place = builder_.add_place(parent, kind, names_.name_for(parent, name));
        xml_.note(node, builder_);
        return place;
    }
    void set_facts(pugi::xml_node node, PlaceIndex place, std::initializer_list<const char*> names) {
        for (const char* name : names) set_fact_if_plain(builder_, place, name, node.attribute(name).value());
    }
    void link(PlaceIndex from, PlaceIndex to, std::string_view kind, std::uint64_t bytes_per_s = 0,
              std::uint32_t count = 1) {
        builder_.add_link(
            {.from = from, .to = to, .kind = std::string(kind), .bytes_per_s = bytes_per_s, .count = count});
    }

    void read_cpu(pugi::xml_node cpu, Host& host) {
        const std::int64_t id = xml_.number(cpu, "numaid", -1, -1, 1 << 16);
        if (!numa_ids_.emplace(&host, id).second) xml_.refuse(cpu, fmt::format("numaid {} is given twice", id));
        const PlaceIndex numa = add(cpu, host.server, kinds::numa, fmt::format("numa{}", id));
        set_facts(cpu, numa, {"affinity", "arch", "familyid", "host_hash", "modelid", "vendor"});
        const auto model = xml_.number(cpu, "modelid", 0, -1, INT32_MAX);
        host.socket_bytes_per_s =
            socket_bytes_per_s(cpu.attribute("arch").value(), cpu.attribute("vendor").value(), model);
        host.numas.push_back(numa);
        for (const pugi::xml_node child : cpu.children())
            if (!xml_.is_refused()) read_below({&host, numa}, child, numa, 0);
    }

    void join_sockets(const Host& host) {
        for (std::size_t one = 0; one < host.numas.size() && host.numas.size() <= 64; one++)
            for (std::size_t other = one + 1; other < host.numas.size(); other++)
                link(host.numas[one], host.numas[other], "socket", host.socket_bytes_per_s);
    }

    struct Where {
        Host* host;
        PlaceIndex numa;
    };

    void read_below(Where where, pugi::xml_node node, PlaceIndex parent, unsigned depth) {
        const std::string_view name = node.name();
        if (depth > max_element_depth)
            xml_.refuse(node, fmt::format("elements lie inside one another more than {} deep", max_element_depth));
        else if (name == "pci")
            read_pci(where, node, parent, depth);
        else if (name == "nic")
            read_nets(node, parent, "virtual");
    }

    void read_pci(Where where, pugi::xml_node pci, PlaceIndex parent, unsigned depth) {
        const std::string bus_id{xml_.text(pci, "busid")};
        if (!is_bus_id(bus_id)) xml_.refuse(pci, "busid is not a PCI address, such as 0000:3b:00.0");
        const std::string_view pci_class = xml_.text(pci, "class");
        const auto width = width_of(pci);
        if (xml_.is_refused()) return;
        const std::uint64_t rate = pcie_bytes_per_s(pci.attribute("link_speed").value(), width);
        const auto [place_of_bus, is_new] = by_bus_id_.try_emplace({where.host, bus_id});
        if (!is_new) return xml_.refuse(pci, fmt::format("busid {} is given twice", bus_id));

        const bool holds_more = has_element(pci, {"pci"});
        const std::size_t nets = net_count(pci);
        const auto kind_of = [&]() -> std::string_view {
            if (pci.child("gpu") ||
                (!holds_more && nets == 0 && (pci_class.starts_with("0x03") || pci_class.starts_with("0x12"))))
                return kinds::device;
            if (!holds_more && (nets == 1 || (nets == 0 && pci_class.starts_with("0x02")))) return kinds::nic;
            return pci_class.starts_with(switch_class) ? kinds::switches : kinds::pci;
        };
        const std::string_view kind = kind_of();
        const pugi::xml_node net = pci.child("nic").child("net");
        const std::string_view net_name = net.attribute("name").value();
        const PlaceIndex place = add(pci, parent, kind, kind == kinds::nic && !net_name.empty() ? net_name : bus_id);
        place_of_bus->second = place;
        set_facts(pci, place, {"busid", "class", "device", "subsystem_device", "subsystem_vendor", "vendor"});
        link(place, parent, "pcie", rate);
        if (kind == kinds::device) devices_.push_back({place, where.host, where.numa, read_gpu(pci, place)});
        if (kind == kinds::switches) where.host->switches.emplace(bus_id, place);
        if (kind == kinds::nic) {
            if (net) read_net(net, place);
        } else {
            for (const pugi::xml_node nic : pci.children("nic")) read_nets(nic, place, "on_board");
        }
        for (const pugi::xml_node child : pci.children("pcilink"))
            pci_links_.push_back({{where.host, bus_id}, std::string(xml_.text(child, "target")), child});
        for (const pugi::xml_node child : pci.children("pci"))
            if (!xml_.is_refused()) read_below(where, child, place, depth + 1);
    }

    // Virtual machines tell 255, which is Linux's word for not known, or nothing.
    std::int64_t width_of(pugi::xml_node pci) {
        if (std::string_view{pci.attribute("link_width").value()}.empty()) return 16;
        const auto width = xml_.number(pci, "link_width", 16, 0, 255);
        return width > 32 ? 16 : width;
    }

    static std::size_t net_count(pugi::xml_node pci) {
        std::size_t count = 0;
        for (const pugi::xml_node nic : pci.children("nic"))
            for ([[maybe_unused]] const pugi::xml_node net : nic.children("net")) count++;
        return count;
    }

    pugi::xml_node read_gpu(pugi::xml_node pci, PlaceIndex place) {
        const pugi::xml_node gpu = pci.child("gpu");
        set_facts(gpu, place, {"arch", "dev", "gcn", "gdr", "rank", "sm"});
        const auto rank = xml_.number(gpu, "rank", -1, -1, max_places - 1);
        if (rank < 0) return gpu;
        const auto [first, is_new] = by_rank_.emplace(rank, place);
        if (!is_new) xml_.refuse(gpu, fmt::format("rank {} is given twice", rank));
        return gpu;
    }

    void read_nets(pugi::xml_node nic, PlaceIndex parent, std::string_view kind) {
        for (const pugi::xml_node net : nic.children("net")) {
            if (xml_.is_refused()) return;
            const PlaceIndex place = add(net, parent, kinds::nic, net.attribute("name").value());
            link(place, parent, kind);
            read_net(net, place);
        }
    }

    // What the card's wire leads to is not told; one network of its kind stands for it.
    void read_net(pugi::xml_node net, PlaceIndex nic) {
        set_facts(net, nic, {"coll", "dev", "gdr", "guid", "maxconn", "plane", "port", "rail"});
        const auto mbit_per_s = xml_.number(net, "speed", 0, -1, 100'000'000);
        const double latency_us = xml_.decimal(net, "latency", 0, 1e6);
        const bool is_infiniband = builder_[nic].fact("class").value_or("").starts_with("0x0207");
        const std::string_view kind = is_infiniband ? "infiniband" : "ethernet";
        auto [network, is_new] = networks_.try_emplace(kind);
        if (is_new) network->second = add(net, outermost, kinds::network, kind);
        builder_.add_link({.from = nic,
                           .to = network->second,
                           .kind = std::string(kind),
                           .bytes_per_s = mbit_per_s > 0 ? static_cast<std::uint64_t>(mbit_per_s) * 125'000 : 0,
                           .latency_ns = static_cast<std::uint64_t>(latency_us * 1000)});
        xml_.note(net, builder_);
    }

    void read_device_links(const Device& device) {
        const auto sm = xml_.number(device.gpu, "sm", 0, -1, 100'000);
        for (const pugi::xml_node child : device.gpu.children()) {
            const std::string_view name = child.name();
            if (name == "nvlink")
                read_device_link(device, child, "nvlink", nvlink_bytes_per_s(sm));
            else if (name == "xgmi")
                read_device_link(device, child, "xgmi", xgmi_bytes_per_s(device.gpu.attribute("gcn").value()));
            else if (name == "c2c")
                link(device.place, device.numa, "c2c",
                     static_cast<std::uint64_t>(xml_.number(child, "bw", 0, 0, 10'000'000)) * 1'000'000,
                     static_cast<std::uint32_t>(xml_.number(child, "count", 1, 1, max_link_count)));
            xml_.note(child, builder_);
            if (xml_.is_refused()) return;
        }
    }

    void read_device_link(const Device& device, pugi::xml_node node, std::string_view kind, std::uint64_t rate) {
        const std::string target{xml_.text(node, "target")};
        const std::string_view target_class = node.attribute("tclass").value();
        const auto count = static_cast<std::uint32_t>(xml_.number(node, "count", 1, 0, 1024));
        if (!is_bus_id(target)) xml_.refuse(node, "target is not a PCI address, such as 0000:3b:00.0");
        if (xml_.is_refused() || count == 0) return;
        if (target_class.starts_with(cpu_nvlink_class)) return note_link(device.place, device.numa, kind, rate, count);
        const auto known = by_bus_id_.find({device.host, target});
        if (target_class.starts_with(switch_class)) {
            // In some virtual machines a GPU's peers stand for the switch, each with all links of the GPU.
            const bool is_peer = known != by_bus_id_.end() && builder_[known->second].kind == kinds::device;
            const auto nvswitch = device.host->switches.try_emplace(is_peer ? "" : target, outermost).first;
            if (nvswitch->second == outermost)
                nvswitch->second = add(node, device.host->server, kinds::switches, is_peer ? "nvswitch" : target);
            return note_link(device.place, nvswitch->second, kind, rate, count);
        }
        if (known == by_bus_id_.end())
            return set_fact_if_plain(builder_, device.place, fmt::format("{} to {}", kind, target),
                                     std::to_string(count));
        if (known->second == device.place) return xml_.refuse(node, "target is the GPU itself");
        note_link(device.place, known->second, kind, rate, count);
    }

    // Each end tells the same links; of two counts the larger holds.
    void note_link(PlaceIndex one, PlaceIndex other, std::string_view kind, std::uint64_t rate, std::uint32_t count) {
        Link& known = device_links_[{std::min(one, other), std::max(one, other), kind}];
        known = {.from = std::min(one, other),
                 .to = std::max(one, other),
                 .kind = std::string(kind),
                 .bytes_per_s = rate,
                 .count = std::max(count, known.from == known.to ? 1 : known.count)};
    }

    void add_device_links() {
        for (const auto& [ends, device_link] : device_links_) builder_.add_link(device_link);
    }

    void add_pci_link(const std::pair<const Host*, std::string>& from, const std::string& target, pugi::xml_node node) {
        const auto one = by_bus_id_.find(from), other = by_bus_id_.find({from.first, target});
        if (!is_bus_id(target)) return xml_.refuse(node, "target is not a PCI address, such as 0000:3b:00.0");
        if (other == by_bus_id_.end()) return set_fact_if_plain(builder_, one->second, "pcilink to " + target, "1");
        // Both ends tell it.
        if (one->second < other->second || !told_by(target, from.second)) link(one->second, other->second, "pcie");
        xml_.note(node, builder_);
    }
    bool told_by(const std::string& from, const std::string& target) const {
        return std::ranges::any_of(
            pci_links_, [&](const PciLink& other) { return other.from.second == from && other.target == target; });
    }

    // One server's file has the ranks that run on it, which need not begin with 0: it may be the second server of a
    // job, or ranks may be dealt out to servers in turn. They are numbered anew, in order, and keep what they were as a
    // fact.
    void number_ranks(pugi::xml_node system) {
        std::int64_t stride = 0, previous = -1;
        Rank number = 0;
        for (const auto& [rank, place] : by_rank_) {
            const std::int64_t step = number == 0 ? 0 : rank - previous;
            if (number == 1) stride = step;
            if (number > 1 && step != stride)
                return xml_.refuse(system,
                                   fmt::format("rank {} is followed by rank {}: ranks are missing", previous, rank));
            builder_.set_rank(place, number++);
            previous = rank;
        }
        xml_.note(system, builder_);
    }

    struct PciLink {
        std::pair<const Host*, std::string> from;
        std::string target;
        pugi::xml_node node;
    };

    XmlReader xml_;
    MapBuilder builder_;
    PlaceNames names_;
    std::map<std::string, Host> hosts_;
    std::set<std::pair<const Host*, std::int64_t>> numa_ids_;
    std::map<std::pair<const Host*, std::string>, PlaceIndex> by_bus_id_;
    std::map<std::int64_t, PlaceIndex> by_rank_;
    std::vector<Device> devices_;
    std::map<std::tuple<PlaceIndex, PlaceIndex, std::string_view>, Link> device_links_;
    std::map<std::string_view, PlaceIndex> networks_;
    std::vector<PciLink> pci_links_;
};

}  // namespace

Result<Map> read_nccl_xml(std::string_view bytes, std::string_view file) { return Reader{bytes, file}.read(); }

}  // namespace tenon::topology_files
