// hwloc's XML of versions 1 (hwloc 1.x: no version attribute), 2 and 3: what lstopo writes.
//
// Read here and not by libhwloc, because the library refuses files that are newer than itself. Kept are packages, NUMA
// nodes, groups, third-level caches, cores, and of the PCI devices those that compute, network or switch, with the
// bridges on the way to them; what else there is (storage, other caches, hardware threads) is left out. In versions 2
// and 3 a NUMA node is a leaf beside what it is near to: where an object has one such node, all it holds is put inside.
//
// A link between a PCI device or bridge and what holds it has the rate of pci_link_speed; links between processors have
// none, because the file has none. NVLinkBandwidth and XGMIBandwidth become links between the devices.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <map>

#include "topology/core_words.hpp"
#include "topology/files/readers.hpp"
#include "topology/files/xml_file.hpp"

namespace tenon::topology_files {
namespace {

constexpr std::size_t max_distance_objects = 1024;

bool is_object(pugi::xml_node node, std::string_view type) {
    return std::string_view{node.name()} == "object" && std::string_view{node.attribute("type").value()} == type;
}

std::string_view info_of(pugi::xml_node object, std::string_view name) {
    for (const pugi::xml_node info : object.children("info"))
        if (info.attribute("name").value() == name) return info.attribute("value").value();
    return {};
}

// What an operating system's device is for. Versions 1 and 2 number the kinds, version 3 has a bit for each.
struct DeviceUse {
    bool computes = false, networks = false;
};
DeviceUse use_of(std::int64_t osdev_type, int version) {
    if (osdev_type < 0) return {};
    if (version >= 3) return {.computes = (osdev_type & 8) != 0, .networks = (osdev_type & (16 | 32)) != 0};
    return {.computes = osdev_type == 5, .networks = osdev_type == 2 || osdev_type == 3};
}

// "0x00000001,,0x0000ffff": words of 32 bits, the highest first, of which those of 0 may be left out. Nothing for what
// is no such set, or is one without an end.
std::optional<os::CoreSet> cores_of_mask(std::string_view mask) {
    os::CoreSet cores;
    for (std::size_t first = 0; !mask.empty(); first += 32) {
        const std::size_t comma = mask.rfind(',');
        std::string_view digits = mask.substr(comma == std::string_view::npos ? 0 : comma + 1);
        mask = comma == std::string_view::npos ? std::string_view{} : mask.substr(0, comma);
        if (digits.empty()) continue;
        std::uint32_t word = 0;
        if (!digits.starts_with("0x")) return std::nullopt;
        digits.remove_prefix(2);
        const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), word, 16);
        if (problem != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
        if (word != 0 && first >= cores.size()) return std::nullopt;
        for (std::size_t bit = 0; bit < 32 && word != 0; bit++, word >>= 1)
            if ((word & 1) != 0) cores.set(first + bit);
    }
    return cores;
}

class Reader {
public:
    Reader(std::string_view bytes, std::string_view file) : xml_(bytes, file), builder_(kinds::server, "server") {}

    Result<Map> read() {
        const pugi::xml_node topology = xml_.load("topology");
        if (!xml_.is_refused()) read_topology(topology);
        if (xml_.is_refused()) return xml_.error();
        auto map = std::move(builder_).finish();
        if (!map) xml_.refuse(topology, map.error().message);
        if (xml_.is_refused()) return xml_.error();
        return map;
    }

private:
    void read_topology(pugi::xml_node topology) {
        const std::string_view version = topology.attribute("version").value();
        if (version.starts_with("2."))
            version_ = 2;
        else if (version.starts_with("3."))
            version_ = 3;
        else if (topology.attribute("version") && !version.starts_with("1."))
            return xml_.refuse(topology, fmt::format("version is \"{}\"; 1 (which has none), 2.x and 3.x can be read",
                                                     version.substr(0, 16)));
        pugi::xml_node root;
        for (const pugi::xml_node object : topology.children("object")) {
            if (root) return xml_.refuse(object, "there is a second outermost object");
            root = object;
        }
        if (!root) return xml_.refuse(topology, "holds no <object>");
        if (is_object(root, "System")) return read_system(root);
        if (!is_object(root, "Machine"))
            return xml_.refuse(root, fmt::format("the outermost object is a {}, not a Machine",
                                                 std::string_view{root.attribute("type").value()}.substr(0, 32)));
        builder_ = MapBuilder{kinds::server, machine_name(topology, root)};
        note_machine(root, outermost);
        note_machine(topology, outermost);  // version 3 tells the system of it beside the machine
        read_inside(root, outermost, 0);
        for (const pugi::xml_node child : topology.children())
            if (std::string_view{child.name()}.starts_with("distances2") && !xml_.is_refused()) read_distances(child);
    }

    // hwloc 1.x could join several machines' files, with objects of one's own for what lies between.
    void read_system(pugi::xml_node system) {
        builder_ = MapBuilder{kinds::cluster, "system"};
        read_machines(system, outermost, 0);
    }

    void read_machines(pugi::xml_node holder, PlaceIndex place, unsigned depth) {
        for (const pugi::xml_node object : holder.children("object")) {
            if (xml_.is_refused()) return;
            if (is_object(object, "Machine")) {
                const PlaceIndex machine = add(object, place, kinds::server, info_of(object, "HostName"));
                note_machine(object, machine);
                read_inside(object, machine, 0);
            } else if (depth > max_element_depth) {
                xml_.refuse(object, fmt::format("objects lie inside one another more than {} deep", max_element_depth));
            } else {
                read_machines(object, add(object, place, "group", "group"), depth + 1);
            }
        }
    }

    std::string machine_name(pugi::xml_node topology, pugi::xml_node machine) {
        std::string_view name = info_of(machine, "HostName");
        if (name.empty() && topology) name = info_of(topology, "HostName");
        return names_.name_for(outermost, name.empty() ? "machine" : name);
    }

    void note_machine(pugi::xml_node holder, PlaceIndex place) {
        for (const char* name : {"DMIProductName", "DMISysVendor", "Architecture", "OSName"})
            if (!builder_[place].fact(name)) set_fact_if_plain(builder_, place, name, info_of(holder, name));
    }

    PlaceIndex add(pugi::xml_node object, PlaceIndex parent, std::string_view kind, std::string_view name) {
        const PlaceIndex place = builder_.add_place(parent, kind, names_.name_for(parent, name));
        xml_.note(object, builder_);
        return place;
    }

    // All that an object holds; inside its NUMA node, where it has exactly one that is a leaf.
    void read_inside(pugi::xml_node object, PlaceIndex place, unsigned depth) {
        if (depth > max_element_depth)
            return xml_.refuse(object,
                               fmt::format("objects lie inside one another more than {} deep", max_element_depth));
        pugi::xml_node only_node;
        unsigned leaf_nodes = 0;
        for (const pugi::xml_node child : object.children("object"))
            if (is_object(child, "NUMANode") && !child.child("object") && leaf_nodes++ == 0) only_node = child;
        if (leaf_nodes == 1 && has_other_objects(object, only_node))
            place = add_container(only_node, place, kinds::numa, "numa");
        for (const pugi::xml_node child : object.children("object")) {
            if (xml_.is_refused()) return;
            if (leaf_nodes != 1 || child != only_node || !has_other_objects(object, only_node))
                read_object(child, place, depth + 1);
        }
    }

    static bool has_other_objects(pugi::xml_node object, pugi::xml_node one) {
        return std::ranges::any_of(object.children("object"), [&](pugi::xml_node child) { return child != one; });
    }

    // What holds processors, and how they reach what is around it, at rates that the file does not know.
    PlaceIndex add_container(pugi::xml_node object, PlaceIndex parent, std::string_view kind, std::string_view word) {
        const auto number = xml_.number(object, "os_index", -1, -1, UINT32_MAX);
        const char* apart = word.ends_with('3') ? "_" : "";  // "l3_0", not "l30"
        const PlaceIndex place =
            add(object, parent, kind, number < 0 ? std::string(word) : fmt::format("{}{}{}", word, apart, number));
        set_fact_if_plain(builder_, place, "memory_bytes", object.attribute("local_memory").value());
        set_fact_if_plain(builder_, place, "model", info_of(object, "CPUModel"));
        if (const auto cores = cores_of_mask(object.attribute("cpuset").value()))
            set_fact_if_plain(builder_, place, processors_fact, core_words(*cores));
        builder_.add_link({.from = place, .to = parent, .kind = "processor"});
        note_index(object, place);
        return place;
    }

    void note_index(pugi::xml_node object, PlaceIndex place) {
        if (!object.attribute("gp_index")) return;
        const auto index = xml_.number(object, "gp_index", 0, 0, INT64_MAX);
        if (!by_index_.emplace(index, place).second)
            xml_.refuse(object, fmt::format("gp_index {} is given twice", index));
    }

    void read_object(pugi::xml_node object, PlaceIndex parent, unsigned depth) {
        const std::string_view type = xml_.text(object, "type");
        if (type == "Package" || type == "Socket")
            read_inside(object, add_container(object, parent, kinds::package, "package"), depth);
        else if (type == "NUMANode")
            read_inside(object, add_container(object, parent, kinds::numa, "numa"), depth);
        else if (type == "Group" || type == "Die")
            read_inside(
                object,
                add_container(object, parent, type == "Die" ? "cpu die" : "group", type == "Die" ? "die" : "group"),
                depth);
        else if (type == "L3Cache" || (type == "Cache" && std::string_view{object.attribute("depth").value()} == "3"))
            read_inside(object, add_container(object, parent, "l3", "l3"), depth);
        else if (type == "Core")
            add_container(object, parent, kinds::core, "core");
        else if (type == "PU")
            add_container(object, parent, kinds::core, "pu");
        else if (type == "Bridge")
            read_bridge(object, parent, depth);
        else if (type == "PCIDev")
            read_pci_device(object, parent);
        else if (type == "OSDev")
            read_device_without_pci(object, parent);
        else
            read_inside(object, parent, depth);  // other caches, Misc, MemCache, and what may be invented later
    }

    // A device's class and vendor, from "0302 [10de:1eb8] [10de:12a2] a1".
    struct PciType {
        std::string_view pci_class, vendor;
    };
    static PciType pci_type_of(pugi::xml_node object) {
        const std::string_view type = object.attribute("pci_type").value();
        const std::size_t bracket = type.find('[');
        return {type.substr(0, 4), bracket == std::string_view::npos ? "" : type.substr(bracket + 1, 4)};
    }

    // What the libraries of accelerators call their devices; those that only manage them count as displays.
    static bool is_of_accelerator(std::string_view name) {
        constexpr std::array<std::string_view, 5> libraries{"cuda", "nvml", "rsmi", "opencl", "ze"};
        return std::ranges::any_of(libraries, [&](std::string_view library) {
            return name.starts_with(library) && name.size() > library.size() &&
                   std::isdigit(static_cast<unsigned char>(name[library.size()])) != 0;
        });
    }

    std::string_view kind_of(pugi::xml_node pci_device) {
        DeviceUse use;
        for (const pugi::xml_node child : pci_device.children("object"))
            if (is_object(child, "OSDev")) {
                const DeviceUse more = use_of(xml_.number(child, "osdev_type", -1, -1, INT32_MAX), version_);
                use.computes |= more.computes || is_of_accelerator(child.attribute("name").value());
                use.networks |= more.networks;
            }
        const auto [pci_class, vendor] = pci_type_of(pci_device);
        // Servers' management controllers are of class 0300, too, some of them made by AMD.
        const bool is_gpu = pci_class == "0302" || pci_class == "0380" || pci_class.starts_with("12") ||
                            (pci_class == "0300" && vendor == "10de");
        if (use.computes || is_gpu) return kinds::device;
        if (use.networks || pci_class.starts_with("02")) return kinds::nic;
        if (std::string_view{pci_device.attribute("subtype").value()} == "NVSwitch" ||
            (pci_class == "0680" && vendor == "10de"))
            return kinds::switches;
        return {};
    }

    // Whether a bridge leads to anything that is kept.
    bool leads_somewhere(pugi::xml_node object, unsigned depth) {
        if (depth > max_element_depth || xml_.is_refused()) return false;
        return std::ranges::any_of(object.children("object"), [&](pugi::xml_node child) {
            if (is_object(child, "PCIDev")) return !kind_of(child).empty();
            return is_object(child, "Bridge") && leads_somewhere(child, depth + 1);
        });
    }

    std::uint64_t pci_bytes_per_s(pugi::xml_node object) {
        return static_cast<std::uint64_t>(xml_.decimal(object, "pci_link_speed", 0, 1e5) * 1e9);
    }

    void read_bridge(pugi::xml_node bridge, PlaceIndex parent, unsigned depth) {
        if (!leads_somewhere(bridge, depth)) return;
        std::string_view name = bridge.attribute("pci_busid").value();
        if (name.empty()) name = bridge.attribute("bridge_pci").value();
        const PlaceIndex place = add(bridge, parent, kinds::pci, name);
        builder_.add_link({.from = place, .to = parent, .kind = "pcie", .bytes_per_s = pci_bytes_per_s(bridge)});
        note_index(bridge, place);
        read_inside(bridge, place, depth);
    }

    void read_pci_device(pugi::xml_node device, PlaceIndex parent) {
        const std::string_view kind = kind_of(device);
        if (kind.empty() || xml_.is_refused()) return;
        std::string_view name = device.attribute("pci_busid").value();
        if (kind == kinds::nic)
            for (const pugi::xml_node child : device.children("object"))
                if (is_object(child, "OSDev")) name = child.attribute("name").value();
        const PlaceIndex place = add(device, parent, kind, name);
        builder_.add_link({.from = place, .to = parent, .kind = "pcie", .bytes_per_s = pci_bytes_per_s(device)});
        note_index(device, place);
        set_fact_if_plain(builder_, place, "busid", device.attribute("pci_busid").value());
        set_fact_if_plain(builder_, place, "pci_type", device.attribute("pci_type").value());
        set_fact_if_plain(builder_, place, "product", info_of(device, "PCIDevice"));
        read_names_of(device, place);
        xml_.note(device, builder_);
    }

    // What the operating system calls a device, and what it knows of it.
    void read_names_of(pugi::xml_node device, PlaceIndex place) {
        std::string names;
        for (const pugi::xml_node child : device.children("object")) {
            if (!is_object(child, "OSDev")) continue;
            note_index(child, place);
            names += fmt::format("{}{}", names.empty() ? "" : " ", child.attribute("name").value());
            for (const char* info : {"Address", "GPUModel", "NVIDIAUUID", "NodeGUID", "SysImageGUID"})
                if (!builder_[place].fact(info)) set_fact_if_plain(builder_, place, info, info_of(child, info));
        }
        set_fact_if_plain(builder_, place, "names", names);
    }

    void read_device_without_pci(pugi::xml_node device, PlaceIndex parent) {
        const DeviceUse use = use_of(xml_.number(device, "osdev_type", -1, -1, INT32_MAX), version_);
        if (!use.computes && !use.networks) return;
        const PlaceIndex place =
            add(device, parent, use.computes ? kinds::device : kinds::nic, device.attribute("name").value());
        builder_.add_link({.from = place, .to = parent, .kind = "virtual"});
        set_fact_if_plain(builder_, place, "Address", info_of(device, "Address"));
        note_index(device, place);
    }

    // Numbers from all elements of that name, which split a long list; "Type:" before a number is skipped.
    std::vector<std::uint64_t> numbers_in(pugi::xml_node distances, const char* element, std::size_t most) {
        std::vector<std::uint64_t> numbers;
        for (const pugi::xml_node part : distances.children(element)) {
            std::string_view text = part.text().get();
            while (true) {
                const std::size_t start = text.find_first_not_of(" \t\r\n");
                if (start == std::string_view::npos || xml_.is_refused()) break;
                const std::string_view word = text.substr(start, text.find_first_of(" \t\r\n", start) - start);
                text.remove_prefix(start + word.size());
                const std::string_view digits = word.substr(word.rfind(':') + 1);
                std::uint64_t value = 0;
                const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
                if (problem != std::errc{} || end != digits.data() + digits.size() || numbers.size() == most)
                    xml_.refuse(part, fmt::format("\"{:.24}\" is not one of {} whole numbers", word, most));
                numbers.push_back(value);
            }
        }
        return numbers;
    }

    void read_distances(pugi::xml_node distances) {
        const std::string_view name = distances.attribute("name").value();
        const bool is_nvlink = name == "NVLinkBandwidth";
        if (!is_nvlink && name != "XGMIBandwidth") return;
        const auto count = static_cast<std::size_t>(xml_.number(distances, "nbobjs", 0, 1, max_distance_objects));
        const auto indexes = numbers_in(distances, "indexes", count);
        const auto values = numbers_in(distances, "u64values", count * count);
        if (xml_.is_refused()) return;
        if (indexes.size() != count || values.size() != count * count)
            return xml_.refuse(distances, fmt::format("nbobjs is {}, but there are {} indexes and {} values", count,
                                                      indexes.size(), values.size()));
        std::vector<std::optional<PlaceIndex>> places;
        for (const std::uint64_t index : indexes) {
            const auto found = by_index_.find(static_cast<std::int64_t>(index));
            places.push_back(found == by_index_.end() ? std::nullopt : std::optional{found->second});
            if (!places.back() && !has_object(distances.root(), index))
                return xml_.refuse(distances, fmt::format("no object has the gp_index {}", index));
        }
        for (std::size_t one = 0; one < count; one++)
            for (std::size_t other = one + 1; other < count; other++)
                if (places[one] && places[other] && *places[one] != *places[other])
                    add_bandwidth(*places[one], *places[other], is_nvlink ? "nvlink" : "xgmi",
                                  std::max(values[one * count + other], values[other * count + one]));
        xml_.note(distances, builder_);
    }

    void add_bandwidth(PlaceIndex one, PlaceIndex other, const char* kind, std::uint64_t mb_per_s) {
        constexpr std::uint64_t limit = max_link_bytes_per_s / 1'000'000;
        if (mb_per_s == 0) return;
        // Beyond the limit, the builder refuses it.
        builder_.add_link(
            {.from = one, .to = other, .kind = kind, .bytes_per_s = std::min(mb_per_s, limit + 1) * 1'000'000});
    }

    // Among all objects of the file, those that are not kept included.
    static bool has_object(pugi::xml_node root, std::uint64_t index) {
        const std::string wanted = std::to_string(index);
        return !root.find_node([&](pugi::xml_node node) { return node.attribute("gp_index").value() == wanted; })
                    .empty();
    }

    XmlReader xml_;
    MapBuilder builder_;
    PlaceNames names_;
    std::map<std::int64_t, PlaceIndex> by_index_;
    int version_ = 1;
};

}  // namespace

Result<Map> read_hwloc_xml(std::string_view bytes, std::string_view file) { return Reader{bytes, file}.read(); }

}  // namespace tenon::topology_files
