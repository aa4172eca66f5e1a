// hwloc's XML, of each of its three versions, becomes the places that matter to collectives, or is refused by line.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/topology/reading.hpp"
#include "topology/core_words.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;

// Version 2: a NUMA node is a leaf beside what it is near to.
constexpr std::string_view version_2 = R"(<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" gp_index="1">
    <info name="HostName" value="node1"/>
    <object type="Package" os_index="0" gp_index="3">
      <object type="NUMANode" os_index="0" gp_index="2" local_memory="1024"/>
      <object type="L2Cache" gp_index="4" cache_size="262144">
        <object type="Core" os_index="0" gp_index="5"><object type="PU" os_index="0" gp_index="6"/></object>
      </object>
      <object type="Bridge" gp_index="7" bridge_type="0-1" depth="0" bridge_pci="0000:[00-03]">
        <object type="PCIDev" gp_index="8" pci_busid="0000:00:17.0" pci_type="0106 [8086:a182] [8086:7270] 09"/>
        <object type="Bridge" gp_index="9" bridge_type="1-1" depth="1" bridge_pci="0000:[01-03]"
            pci_busid="0000:00:01.0" pci_type="0604 [8086:2030] [8086:0000] 07" pci_link_speed="15.75">
          <object type="PCIDev" gp_index="10" pci_busid="0000:01:00.0"
              pci_type="0302 [10de:1eb8] [10de:12a2] a1" pci_link_speed="15.75">
            <object type="OSDev" gp_index="11" name="cuda0" subtype="CUDA" osdev_type="5"><info name="GPUModel"
                value="Tesla T4"/></object>
          </object>
          <object type="PCIDev" gp_index="12" pci_busid="0000:02:00.0"
              pci_type="0302 [10de:1eb8] [10de:12a2] a1" pci_link_speed="15.75">
            <object type="OSDev" gp_index="13" name="nvml1" subtype="NVML" osdev_type="1"/>
          </object>
          <object type="PCIDev" gp_index="14" pci_busid="0000:03:00.0"
              pci_type="0207 [15b3:101b] [15b3:0007] 00" pci_link_speed="31.5">
            <object type="OSDev" gp_index="15" name="ib0" osdev_type="2"><info name="Address"
                value="00:11"/></object>
            <object type="OSDev" gp_index="16" name="mlx5_0" osdev_type="3"/>
          </object>
        </object>
      </object>
      <object type="Bridge" gp_index="17" bridge_type="0-1" depth="0" bridge_pci="0000:[10-10]">
        <object type="PCIDev" gp_index="18" pci_busid="0000:10:00.0" pci_type="0300 [1a03:2000] [1a03:2000] 41">
          <object type="OSDev" gp_index="19" name="card0" osdev_type="1"/>
        </object>
      </object>
    </object>
  </object>
  <distances2hetero nbobjs="2" kind="10" name="NVLinkBandwidth">
    <indexes length="14">OSDev:11 OSDev:13 </indexes>
    <u64values length="10">0 25000 </u64values>
    <u64values length="8">25000 0 </u64values>
  </distances2hetero>
</topology>
)";

TEST(HwlocXml, OfVersion2HasItsDevicesInTheirNumaNode) {
    const Map map = read_or_fail(version_2);
    EXPECT_EQ(places_of(map),
              "/ server\n/package0 package\n/package0/numa0 numa\n/package0/numa0/core0 core\n"
              "/package0/numa0/0000:[00-03] pci\n/package0/numa0/0000:[00-03]/0000:00:01.0 pci\n"
              "/package0/numa0/0000:[00-03]/0000:00:01.0/0000:01:00.0 device\n"
              "/package0/numa0/0000:[00-03]/0000:00:01.0/0000:02:00.0 device\n"
              "/package0/numa0/0000:[00-03]/0000:00:01.0/mlx5_0 nic\n");
    EXPECT_EQ(map.name(), "node1");
    EXPECT_THAT(links_of(map),
                HasSubstr("/0000:00:01.0 /package0/numa0/0000:[00-03]/0000:00:01.0/mlx5_0 pcie 1 31500\n"));
    EXPECT_THAT(links_of(map),
                HasSubstr("/0000:01:00.0 /package0/numa0/0000:[00-03]/0000:00:01.0/0000:02:00.0 nvlink 1 25000\n"));
    EXPECT_EQ(map[PlaceIndex{6}].fact("GPUModel"), "Tesla T4");
    EXPECT_EQ(map[PlaceIndex{8}].fact("names"), "ib0 mlx5_0");
    const auto topology = topology_of(map);
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_EQ(topology->rank_count, 2);
    EXPECT_EQ(topology->levels.back().link.rank_bytes_per_s, 25'000'000'000u);
}

TEST(HwlocXml, SaysWhichProcessorsAPlaceHas) {
    const auto processors_of = [](std::string_view mask) {
        const std::string package = "type=\"Package\" os_index=\"0\"";
        const std::string with_mask = fmt::format("{} cpuset=\"{}\"", package, mask);
        const Map map = read_or_fail(changed(version_2, package, with_mask));
        return std::string{map[PlaceIndex{1}].fact(processors_fact).value_or("not said")};
    };
    EXPECT_EQ(processors_of("0x0000010f"), "0-3,8");
    EXPECT_EQ(processors_of("0x80000000,,0x00000003"), "0-1,95");
    EXPECT_EQ(processors_of("0x0"), "not said");
    EXPECT_EQ(processors_of("0xf...f"), "not said") << "it has no end";
    EXPECT_EQ(processors_of("0x1,7"), "not said");
    std::string beyond = "0x1";
    for (int word = 0; word < 32; word++) beyond += ",0x0";
    EXPECT_EQ(processors_of(beyond), "not said") << "more than Tenon counts";
}

TEST(HwlocXml, OfVersion3HasOsDevicesAsBits) {
    std::string xml = changed(version_2, "version=\"2.0\"", "version=\"3.0\"");
    xml = changed(xml, "osdev_type=\"5\"", "osdev_type=\"12\"");
    xml = changed(xml, "osdev_type=\"1\"", "osdev_type=\"12\"");
    xml = changed(xml, "osdev_type=\"2\"", "osdev_type=\"16\"");
    xml = changed(xml, "osdev_type=\"3\"", "osdev_type=\"32\"");
    xml = changed(xml, "name=\"card0\" osdev_type=\"1\"", "name=\"card0\" osdev_type=\"4\"");
    xml = changed(xml, "    <info name=\"HostName\" value=\"node1\"/>\n", "");
    xml = changed(xml, "</topology>",
                  "<info name=\"HostName\" value=\"node1\"/><info name=\"OSName\" value=\"Linux\"/></topology>");
    const Map map = read_or_fail(xml);
    EXPECT_EQ(places_of(map), places_of(read_or_fail(version_2)));
    EXPECT_EQ(map.name(), "node1");
    EXPECT_EQ(map[outermost].fact("OSName"), "Linux");
}

// Version 1: a NUMA node holds its sockets, caches are numbered, and there are no gp_index.
TEST(HwlocXml, OfVersion1HasSocketsInNumaNodes) {
    const Map map = read_or_fail(R"(<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc.dtd">
<topology>
  <object type="Machine" os_level="-1" os_index="0" cpuset="0x00000003">
    <info name="OSName" value="Linux"/>
    <distances nbobjs="2" relative_depth="1" latency_base="10.0"><latency value="1.0"/></distances>
    <object type="NUMANode" os_level="-1" os_index="0"><object type="Socket" os_index="0">
      <object type="Cache" depth="3" cache_size="12582912"><object type="Cache" depth="2">
        <object type="Core" os_index="0"><object type="PU" os_index="0"/></object></object></object>
    </object></object>
    <object type="NUMANode" os_level="-1" os_index="1"><object type="Socket" os_index="1">
      <object type="Core" os_index="0"><object type="PU" os_index="1"/></object>
      </object>
      <object type="Bridge" os_index="0" bridge_type="0-1" depth="0" bridge_pci="0000:[00-07]">
        <object type="PCIDev" os_index="1" pci_busid="0000:07:00.0" pci_type="0200 [8086:10c9] [8086:a03c] 01"
            pci_link_speed="1.0">
          <object type="OSDev" name="eth1" osdev_type="2"/></object></object>
    </object>
  </object>
</topology>)");
    EXPECT_EQ(places_of(map),
              "/ server\n/numa0 numa\n/numa0/package0 package\n/numa0/package0/l3 l3\n"
              "/numa0/package0/l3/core0 core\n/numa1 numa\n/numa1/package1 package\n"
              "/numa1/package1/core0 core\n/numa1/0000:[00-07] pci\n/numa1/0000:[00-07]/eth1 nic\n");
    EXPECT_EQ(topology_of(map)->rank_count, 2) << "without devices, cores are numbered";
}

TEST(HwlocXml, IsRefusedByLineElementAndReason) {
    EXPECT_THAT(refusal_of(changed(version_2, "version=\"2.0\"", "version=\"4.0\"")),
                HasSubstr("f:3: <topology>: version is \"4.0\"; 1 (which has none), 2.x and 3.x can be read"));
    EXPECT_THAT(refusal_of(changed(version_2, "pci_link_speed=\"31.5\"", "pci_link_speed=\"-1\"")),
                HasSubstr("f:24: <object>: pci_link_speed is \"-1\", not a number from 0"));
    EXPECT_THAT(refusal_of(changed(version_2, "gp_index=\"12\"", "gp_index=\"10\"")),
                HasSubstr("f:20: <object>: gp_index 10 is given twice"));
    EXPECT_THAT(refusal_of(changed(version_2, "OSDev:13", "OSDev:99")),
                HasSubstr("f:39: <distances2hetero>: no object has the gp_index 99"));
    EXPECT_THAT(refusal_of(changed(version_2, "0 25000", "0 25000 7")), HasSubstr("is not one of 4 whole numbers"));
    EXPECT_THAT(refusal_of(changed(version_2, "0 25000", "0")),
                HasSubstr("nbobjs is 2, but there are 2 indexes and 3 values"));
    EXPECT_THAT(refusal_of(changed(version_2, "nbobjs=\"2\"", "nbobjs=\"100000\"")), HasSubstr("from 1 to 1024"));
    EXPECT_THAT(refusal_of(changed(version_2, "type=\"Machine\"", "type=\"Core\"")),
                HasSubstr("f:4: <object>: the outermost object is a Core, not a Machine"));
    EXPECT_THAT(refusal_of("<topology version=\"2.0\"/>"), HasSubstr("holds no <object>"));
}

TEST(HwlocXml, IsRefusedWhereItIsNestedWithoutEnd) {
    std::string xml = "<topology version=\"2.0\"><object type=\"Machine\">", end;
    for (int depth = 0; depth < 500; depth++) {
        xml += "<object type=\"Group\">";
        end += "</object>";
    }
    EXPECT_THAT(refusal_of(xml + end + "</object></topology>"), HasSubstr("deep"));
}

}  // namespace
}  // namespace tenon
