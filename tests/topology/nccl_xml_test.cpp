// NCCL's topology XML and RCCL's dialect become places, ranks and links with NCCL's rates, or are refused by line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/topology/reading.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;

constexpr std::string_view two_gpus = R"(<!-- two GPUs and a card -->
<system version="1">
  <cpu numaid="0" affinity="ff" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="143" unheard_of="1">
    <pci busid="0000:10:00.0" class="0x060400" link_speed="32.0 GT/s PCIe" link_width="16">
      <pci busid="0000:11:00.0" class="0x030200" link_speed="16 GT/s" link_width="16">
        <gpu dev="0" sm="90" rank="0" gdr="1">
          <nvlink target="0000:21:00.0" count="4" tclass="0x030200"/>
        </gpu>
      </pci>
      <pci busid="0000:12:00.0" class="0x020700" link_speed="8.0 GT/s PCIe" link_width="8">
        <nic><net name="mlx5_0" dev="0" speed="200000" port="1" latency="1.5" guid="0x1" maxconn="9"
            gdr="1"/></nic>
      </pci>
    </pci>
  </cpu>
  <cpu numaid="1" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="143">
    <pci busid="0000:21:00.0" class="0x030200" link_speed="5.0 GT/s" link_width="0">
      <gpu dev="1" sm="90" rank="1" gdr="1"><nvlink target="0000:11:00.0" count="4" tclass="0x030200"/></gpu>
    </pci>
    <something/>
  </cpu>
</system>
)";

TEST(NcclXml, BecomesPlacesAndLinks) {
    const Map map = read_or_fail(two_gpus);
    EXPECT_EQ(places_of(map),
              "/ server\n"
              "/numa0 numa\n"
              "/numa0/0000:10:00.0 pci\n"
              "/numa0/0000:10:00.0/0000:11:00.0 device 0\n"
              "/numa0/0000:10:00.0/mlx5_0 nic\n"
              "/infiniband network\n"
              "/numa1 numa\n"
              "/numa1/0000:21:00.0 device 1\n");
    EXPECT_EQ(links_of(map),
              "/numa0 /numa0/0000:10:00.0 pcie 1 48000\n"
              "/numa0/0000:10:00.0 /numa0/0000:10:00.0/0000:11:00.0 pcie 1 24000\n"
              "/numa0/0000:10:00.0 /numa0/0000:10:00.0/mlx5_0 pcie 1 6000\n"
              "/numa0/0000:10:00.0/mlx5_0 /infiniband infiniband 1 25000\n"
              "/numa1 /numa1/0000:21:00.0 pcie 1 6000\n"
              "/numa0 /numa1 socket 1 22000\n"
              "/numa0/0000:10:00.0/0000:11:00.0 /numa1/0000:21:00.0 nvlink 4 20600\n");
    EXPECT_EQ(map.links()[3].latency_ns, 1500u);
    EXPECT_EQ(map[map.ranks()[0]].fact("sm"), "90");
    EXPECT_EQ(map[PlaceIndex{1}].fact("vendor"), "GenuineIntel");
}

TEST(NcclXml, JoinsGpusByTheSwitchThatTheirNvlinksLeadTo) {
    std::string xml = changed(two_gpus, "0000:21:00.0\" count=\"4\" tclass=\"0x030200\"",
                              "0000:03:00.0\" count=\"9\" tclass=\"0x068000\"");
    xml = changed(xml, "0000:11:00.0\" count=\"4\" tclass=\"0x030200\"",
                  "0000:03:00.0\" count=\"9\" tclass=\"0x068000\"");
    EXPECT_THAT(links_of(read_or_fail(xml)),
                HasSubstr("/numa0/0000:10:00.0/0000:11:00.0 /0000:03:00.0 nvlink 9 20600\n"));
    // In some virtual machines the peer is named where the switch is meant.
    std::string peers = changed(two_gpus, "tclass=\"0x030200\"", "tclass=\"0x068000\"");
    peers = changed(peers, "tclass=\"0x030200\"", "tclass=\"0x068000\"");
    EXPECT_THAT(links_of(read_or_fail(peers)),
                HasSubstr("/numa0/0000:10:00.0/0000:11:00.0 /nvswitch nvlink 4 20600\n"));
}

TEST(NcclXml, OfACloudNamesOnlyPciClasses) {
    const Map map = read_or_fail(R"(<system version="1"><cpu numaid="0" arch="x86_64" vendor="AuthenticAMD">
        <pci busid="ffff:ff:01.0" class="0x060400" link_speed="16 GT/s" link_width="16">
          <pci busid="0003:00:00.0" class="0x030200" link_speed="16 GT/s" link_width="16"/>
          <pci busid="0103:00:00.0" class="0x020700" link_speed="16 GT/s" link_width="16"/>
        </pci></cpu></system>)");
    EXPECT_EQ(places_of(map),
              "/ server\n/numa0 numa\n/numa0/ffff:ff:01.0 pci\n"
              "/numa0/ffff:ff:01.0/0003:00:00.0 device\n/numa0/ffff:ff:01.0/0103:00:00.0 nic\n");
    const auto places = rank_places(map);
    ASSERT_TRUE(places) << places.error().message;
    EXPECT_EQ(places->size(), 1u);
}

TEST(NcclXml, OfRcclHasXgmi) {
    const Map map = read_or_fail(R"(<system version="2"><cpu numaid="0" arch="x86_64" vendor="AuthenticAMD">
        <pci busid="0000:11:00.0" class="0x038000" link_speed="16 GT/s" link_width="16">
          <gpu dev="0" sm="104" gcn="910" arch="38911" rank="0" gdr="1"><xgmi target="0000:12:00.0" count="2"
              tclass="0x038000"/></gpu></pci>
        <pci busid="0000:12:00.0" class="0x038000" link_speed="16 GT/s" link_width="16">
          <gpu dev="1" sm="104" gcn="910" arch="38911" rank="1" gdr="1"><xgmi target="0000:11:00.0" count="2"
              tclass="0x038000"/></gpu></pci>
        </cpu></system>)");
    EXPECT_THAT(links_of(map), HasSubstr("/numa0/0000:11:00.0 /numa0/0000:12:00.0 xgmi 2 36000\n"));
    EXPECT_EQ(map.ranks().size(), 2u);
}

TEST(NcclXml, OfALaterServerIsNumberedAnew) {
    std::string xml = changed(two_gpus, "rank=\"0\"", "rank=\"8\"");
    const Map map = read_or_fail(changed(xml, "rank=\"1\"", "rank=\"9\""));
    ASSERT_EQ(map.ranks().size(), 2u);
    EXPECT_EQ(map[map.ranks()[1]].fact("rank"), "9");
}

TEST(NcclXml, OfSeveralHostsIsACluster) {
    std::string xml = changed(two_gpus, "<cpu numaid=\"0\"", "<cpu host_hash=\"0x1\" numaid=\"0\"");
    xml = changed(xml, "<cpu numaid=\"1\"", "<cpu host_hash=\"0x2\" numaid=\"0\"");
    xml = changed(xml, "<nvlink target=\"0000:21:00.0\" count=\"4\" tclass=\"0x030200\"/>", "");
    xml = changed(xml, "<nvlink target=\"0000:11:00.0\" count=\"4\" tclass=\"0x030200\"/>", "");
    const Map map = read_or_fail(xml);
    EXPECT_EQ(map[outermost].kind, "cluster");
    EXPECT_THAT(places_of(map), HasSubstr("/server1/numa0/0000:21:00.0 device 1\n"));
}

TEST(NcclXml, KeepsNvlinksToDevicesOfOthersAsFacts) {
    const Map map = read_or_fail(changed(two_gpus, "target=\"0000:21:00.0\"", "target=\"0000:99:00.0\""));
    EXPECT_EQ(map[map.ranks()[0]].fact("nvlink to 0000:99:00.0"), "4");
}

TEST(NcclXml, IsRefusedByLineElementAndReason) {
    EXPECT_THAT(refusal_of(changed(two_gpus, "rank=\"1\"", "rank=\"0\"")),
                HasSubstr("f:18: <gpu>: rank 0 is given twice"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "rank=\"1\"", "rank=\"x\"")),
                HasSubstr("f:18: <gpu>: rank is \"x\", not a whole number"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "busid=\"0000:12:00.0\"", "busid=\"0000:11:00.0\"")),
                HasSubstr("f:10: <pci>: busid 0000:11:00.0 is given twice"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "busid=\"0000:12:00.0\"", "busid=\"the second\"")),
                HasSubstr("f:10: <pci>: busid is not a PCI address"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "busid=\"0000:12:00.0\" ", "")),
                HasSubstr("f:10: <pci>: the attribute busid is missing"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "numaid=\"1\"", "numaid=\"0\"")),
                HasSubstr("f:16: <cpu>: numaid 0 is given twice"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "count=\"4\"", "count=\"-4\"")),
                HasSubstr("f:7: <nvlink>: count is \"-4\", not a whole number from 0 to 1024"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "target=\"0000:21:00.0\"", "target=\"0000:11:00.0\"")),
                HasSubstr("f:7: <nvlink>: target is the GPU itself"));
    EXPECT_THAT(refusal_of(changed(two_gpus, "version=\"1\"", "version=\"7\"")),
                HasSubstr("f:2: <system>: version is \"7\""));
    EXPECT_THAT(refusal_of(changed(two_gpus, "latency=\"1.5\"", "latency=\"nan\"")),
                HasSubstr("f:11: <net>: latency is \"nan\""));
    EXPECT_THAT(refusal_of(changed(two_gpus, "</cpu>", "")), HasSubstr("not well-formed XML"));
    EXPECT_THAT(refusal_of("<system version=\"1\"/>"), HasSubstr("f:1: <system>: holds no <cpu>"));
    EXPECT_THAT(refusal_of("<graphs version=\"1\"/>"), HasSubstr("graph search results"));
}

TEST(NcclXml, IsRefusedWhereRanksAreMissing) {
    std::string xml{two_gpus};
    xml = changed(xml, "    <something/>\n", R"(    <pci busid="0000:31:00.0" class="0x030200" link_width="16">
      <gpu dev="2" sm="90" rank="5" gdr="1"/></pci>)");
    EXPECT_THAT(refusal_of(xml), HasSubstr("rank 1 is followed by rank 5: ranks are missing"));
}

}  // namespace
}  // namespace tenon
