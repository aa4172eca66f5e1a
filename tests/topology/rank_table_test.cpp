// HCCL's rank tables of all versions become servers, supernodes and ranks, or are refused by JSON pointer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/topology/reading.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view version_1_0 =
    R"({"status": "completed", "version": "1.0", "server_count": "2", "server_list": [
  {"server_id": "a", "host_nic_ip": "reserve", "device": [
    {"device_id": "0", "device_ip": "192.168.1.8", "rank_id": "0"}, {"device_id": "1", "device_ip":
        "192.168.1.9", "rank_id": "1"}]},
  {"server_id": "b", "device": [ // a comment
    {"device_id": "0", "device_ip": "fd00::8", "rank_id": "2"}, {"device_id": 1, "rank_id": 3, "unheard_of":
        [1]}]}]})";

TEST(RankTable, OfVersion10HasServersAndDevices) {
    const Map map = read_or_fail(version_1_0);
    EXPECT_EQ(places_of(map),
              "/ cluster\n/a server\n/a/device0 device 0\n/a/device1 device 1\n/roce network\n"
              "/b server\n/b/device0 device 2\n/b/device1 device 3\n");
    EXPECT_EQ(links_of(map), "/a/device0 /roce roce 1 0\n/a/device1 /roce roce 1 0\n/roce /b/device0 roce 1 0\n");
    EXPECT_EQ(map[map.ranks()[1]].fact("device_ip"), "192.168.1.9");
    const auto topology = topology_of(map);
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_EQ(topology->hosts, 2);
    EXPECT_THAT(topology->levels[0].group_of, ElementsAre(0, 0, 1, 1));
}

TEST(RankTable, OfVersion10IsRefusedByPointerAndReason) {
    EXPECT_EQ(
        refusal_of(changed(version_1_0, "\"rank_id\": \"2\"", "\"rank_id\": \"1\"")),
        "f:6: /server_list/1/device/0: rank 1 is given twice, to the device \"device1\" and to the device \"device0\"");
    EXPECT_EQ(refusal_of(changed(version_1_0, "\"rank_id\": 3", "\"rank_id\": 4")),
              "f:1: /: there are 4 ranks, but none is rank 3");
    EXPECT_EQ(refusal_of(changed(version_1_0, "\"rank_id\": \"2\"", "\"rank_id\": \"two\"")),
              "f:6: /server_list/1/device/0/rank_id: is the text \"two\", not a whole number from 0 to 262143");
    EXPECT_EQ(refusal_of(changed(version_1_0, ", \"rank_id\": \"2\"", "")),
              "f:6: /server_list/1/device/0/rank_id: is missing");
    EXPECT_EQ(refusal_of(changed(version_1_0, "\"server_count\": \"2\"", "\"server_count\": \"3\"")),
              "f:1: /server_count: is 3, but the list has 2");
    EXPECT_EQ(refusal_of(changed(version_1_0, "\"server_id\": \"b\"", "\"server_id\": \"a\"")),
              "f:5: /server_list/1/server_id: is the id of an earlier server, too");
    EXPECT_EQ(refusal_of(changed(version_1_0, "\"device_id\": \"1\"", "\"device_id\": \"0\"")),
              "f:3: /server_list/0/device/1/device_id: is 0, as that of another device of this server");
    EXPECT_EQ(refusal_of(changed(version_1_0, "192.168.1.9", "here")),
              "f:4: /server_list/0/device/1/device_ip: is the text \"here\", not an address");
    EXPECT_THAT(refusal_of(changed(version_1_0, "completed", "initializing")),
                HasSubstr("the table is not complete yet"));
    EXPECT_THAT(refusal_of(changed(version_1_0, "\"1.0\"", "\"3.0\"")),
                HasSubstr("/version: is the text \"3.0\"; 1.0, 1.2 and 2.0"));
    EXPECT_THAT(refusal_of(R"({"version": "1.0", "server_list": []})"), HasSubstr("has no ranks"));
}

TEST(RankTable, IsRefusedWhereRanksOfServersInterleave) {
    std::string table = changed(version_1_0, "\"rank_id\": \"1\"", "\"rank_id\": \"2\"");
    table = changed(table, "\"device_ip\": \"fd00::8\", \"rank_id\": \"2\"",
                    "\"device_ip\": \"fd00::8\", \"rank_id\": \"1\"");
    EXPECT_THAT(refusal_of(table), HasSubstr("rank 2 is in the server \"a\" again"));
}

constexpr std::string_view version_1_2 =
    R"({"status": "completed", "version": "1.2", "server_count": "3", "server_list": [
  {"server_id": "a", "device": [{"device_id": "0", "super_device_id": "0", "rank_id": "0"}, {"device_id": "1",
      "super_device_id": "1", "rank_id": "1"}]},
  {"server_id": "b", "device": [{"device_id": "0", "super_device_id": "2", "rank_id": "2"}, {"device_id": "1",
      "super_device_id": "3", "rank_id": "3"}]},
  {"server_id": "c", "device": [{"device_id": "0", "super_device_id": "0", "rank_id": "4"}, {"device_id": "2",
      "super_device_id": "2", "rank_id": "5"}]}],
  "super_pod_list": [{"super_pod_id": "0", "server_list": [{"server_id": "a"}, {"server_id": "b"}]},
                     {"super_pod_id": "1", "server_list": [{"server_id": "c"}]}]})";

TEST(RankTable, MayHaveSeveralProcessesOnADeviceAtDifferentPorts) {
    constexpr std::string_view table = R"({"version": "1.0", "server_list": [{"server_id": "a", "device": [
      {"device_id": "0", "device_port": "16666", "rank_id": "0"},
      {"device_id": "0", "device_port": "16667", "rank_id": "1"}]}]})";
    EXPECT_EQ(places_of(read_or_fail(table)), "/ cluster\n/a server\n/a/device0 device 0\n/a/device0 (2) device 1\n");
    EXPECT_EQ(refusal_of(changed(table, "16667", "16666")),
              "f:3: /server_list/0/device/1/device_id: is 0, as that of another device of this server at the same "
              "device_port");
}

TEST(RankTable, OfVersion12HasDiesNpusAndSupernodes) {
    const Map map = read_or_fail(version_1_2);
    EXPECT_THAT(places_of(map), HasSubstr("/supernode0/b/npu0/device1 die 3\n"));
    EXPECT_THAT(places_of(map), HasSubstr("/supernode1/c/npu1/device2 die 5\n"));
    const auto topology = topology_of(map);
    ASSERT_TRUE(topology) << topology.error().message;
    std::vector<std::string> names;
    for (const Level& level : topology->levels) names.push_back(level.name);
    EXPECT_THAT(names, ElementsAre("npu", "server", "supernode", "cluster"));
    EXPECT_THAT(topology->levels[0].group_of, ElementsAre(0, 0, 1, 1, 2, 3));
}

TEST(RankTable, OfVersion12IsRefusedByPointerAndReason) {
    EXPECT_EQ(refusal_of(changed(version_1_2, "[{\"server_id\": \"c\"}]", "[{\"server_id\": \"d\"}]")),
              "f:6: /server_list/2/server_id: is in no super_pod_list, though others are");
    EXPECT_EQ(refusal_of(
                  changed(version_1_2, "[{\"server_id\": \"c\"}]", "[{\"server_id\": \"c\"}, {\"server_id\": \"d\"}]")),
              "f:9: /super_pod_list/1/server_list/1/server_id: is no server of server_list");
    EXPECT_EQ(refusal_of(
                  changed(version_1_2, "[{\"server_id\": \"c\"}]", "[{\"server_id\": \"c\"}, {\"server_id\": \"a\"}]")),
              "f:9: /super_pod_list/1/server_list/1/server_id: is in a super pod already");
    EXPECT_EQ(
        refusal_of(changed(version_1_2, "\"super_device_id\": \"3\"", "\"super_device_id\": \"0\"")),
        "f:5: /server_list/1/device/1/super_device_id: is the text \"0\", as that of another device of this super pod");
    EXPECT_EQ(refusal_of(changed(version_1_2, "\"super_pod_id\": \"1\"", "\"super_pod_id\": \"0\"")),
              "f:9: /super_pod_list/1/super_pod_id: is the id of an earlier super pod, too");
}

TEST(RankTable, OfTemplate2NumbersRanksByPosition) {
    constexpr std::string_view table =
        R"({"status": "completed", "group_count": "1", "group_list": [{"group_name": "hccl_world_group",
      "instance_count": "2", "device_count": "3", "instance_list": [
        {"pod_name": "x", "server_id": "10.0.0.1", "devices": [{"device_id": "0", "device_ip": "1.2.3.4"},
            {"device_id": "4", "device_ip": "1.2.3.5"}]},
        {"pod_name": "y", "server_id": "10.0.0.2", "devices": [{"device_id": "0", "device_ip":
            "1.2.3.6"}]}]}]})";
    const Map map = read_or_fail(table);
    EXPECT_EQ(map.path_of(map.ranks()[1]), "/10.0.0.1/device4");
    EXPECT_EQ(map.path_of(map.ranks()[2]), "/10.0.0.2/device0");
    EXPECT_EQ(refusal_of(changed(table, "\"device_count\": \"3\"", "\"device_count\": \"4\"")),
              "f:2: /group_list/0/device_count: is 4, but the list has 3");
}

TEST(RankTable, OfTheOldestKindSaysTheRankOfEachInstance) {
    const Map map = read_or_fail(R"({"status": "completed", "group_count": "1", "group_list": [{"device_num": "2",
      "instance_count": "2", "instance_list": [
        {"devices": [{"device_id": "0", "device_ip": "1.2.3.4"}], "rank_id": "1", "server_id": "10.0.0.1"},
        {"devices": [{"device_id": "1", "device_ip": "1.2.3.5"}], "rank_id": "0", "server_id": "10.0.0.1"}]}]})");
    EXPECT_EQ(map.path_of(map.ranks()[0]), "/10.0.0.1/device1");
}

TEST(RankTable, OfAGlobalTableNumbersTheRanksOfGroupsOneAfterTheOther) {
    const Map map = read_or_fail(R"({"version": "1.0", "status": "completed", "server_group_list": [
      {"group_id": "0", "server_count": "1", "server_list": [{"server_ip": "10.0.0.9"}]},
      {"group_id": "1", "server_count": "1", "server_list": [
        {"server_id": "a", "device": [{"device_id": "0", "rank_id": "0"}]}]},
      {"group_id": "2", "server_count": "1", "server_list": [
        {"server_id": "b", "device": [{"device_id": "0", "rank_id": "0"}]}]}]})");
    ASSERT_EQ(map.ranks().size(), 2u);
    EXPECT_EQ(map.path_of(map.ranks()[1]), "/b/device0");
}

TEST(RankTable, OfAGlobalTableHasTheServersOfAllGroups) {
    const Map map = read_or_fail(R"({"version": "1.0", "status": "completed", "server_group_list": [
      {"group_id": "0", "server_count": "0", "server_list": []},
      {"group_id": "1", "server_count": "1", "server_list": [{"server_id": "a", "device": [{"device_id": "0",
          "rank_id": "0"}]}]},
      {"group_id": "2", "server_count": "1", "server_list": [{"server_id": "b", "device": [{"device_id": "0",
          "rank_id": "1"}]}]}]})");
    EXPECT_EQ(map.path_of(map.ranks()[1]), "/b/device0");
}

constexpr std::string_view version_2_0 = R"({"version": "2.0", "rank_count": 2, "rank_list": [
  {"rank_id": 0, "local_id": 0, "device_id": 0, "level_list": [
    {"net_layer": 0, "net_instance_id": "r0", "net_type": "TOPO_FILE_DESC", "rank_addr_list": [{"addr_type":
        "EID", "addr": "01", "ports": ["0/1"]}]},
    {"net_layer": 1, "net_instance_id": "p0", "net_type": "CLOS", "rank_addr_list": [{"addr_type": "EID",
        "addr": "02", "ports": ["0/4", "0/5"]}]}]},
  {"rank_id": 1, "local_id": 1, "device_id": 1, "level_list": [
    {"net_layer": 0, "net_instance_id": "r0", "net_type": "TOPO_FILE_DESC", "rank_addr_list": []},
    {"net_layer": 1, "net_instance_id": "p0", "net_type": "CLOS", "rank_addr_list": []}]}]})";

constexpr std::string_view topology_2_0 = R"({"version": "2.0", "peer_count": 3, "edge_count": 3,
  "peer_list": [{"local_id": 0}, {"local_id": 1}, {"local_id": 2}], "edge_list": [
  {"net_layer": 0, "link_type": "PEER2PEER", "protocols": ["UB_CTP"], "local_a": 0, "local_a_ports": ["1/0",
      "1/1"], "local_b": 1, "local_b_ports": ["1/0", "1/1"]},
  {"net_layer": 0, "link_type": "PEER2PEER", "protocols": ["UB_CTP"], "local_a": 0, "local_a_ports": ["1/2"],
      "local_b": 2, "local_b_ports": ["1/0"]},
  {"net_layer": 1, "link_type": "PEER2NET", "protocols": ["ROCE"], "local_a": 1, "local_a_ports": ["0/4"],
      "topo_instance_id": 7}]})";

TEST(RankTable, OfVersion20HasAPlaceForEachInstanceOfALayer) {
    const Map map = read_or_fail(version_2_0);
    EXPECT_EQ(places_of(map),
              "/ cluster\n/p0 supernode\n/p0/r0 server\n/p0/r0/device0 device 0\n/p0/r0/device1 device 1\n/p0/net1 "
              "network\n");
    EXPECT_EQ(links_of(map), "/p0/r0/device0 /p0/net1 ub 2 0\n/p0/r0/device1 /p0/net1 ub 1 0\n");
}

TEST(RankTable, OfVersion20HasTheLinksOfItsTopologyFile) {
    const topology_files::Companion companion{topology_2_0, "t"};
    EXPECT_EQ(links_of(read_or_fail(version_2_0, &companion)),
              "/p0/r0/device0 /p0/r0/device1 ub 2 0\n/p0/r0/device1 /p0/net1.7 roce 1 0\n");
    const std::string wrong = changed(topology_2_0, "\"local_b\": 2", "\"local_b\": 9");
    const topology_files::Companion missing{wrong, "t"};
    EXPECT_EQ(refusal_of(version_2_0, &missing), "t:6: /edge_list/1/local_b: is 9, which is not in peer_list");
    EXPECT_THAT(refusal_of(version_1_0, &companion), HasSubstr("goes with a rank table of version 2.0"));
}

TEST(RankTable, OfVersion20IsRefusedByPointerAndReason) {
    EXPECT_EQ(refusal_of(changed(version_2_0, "\"rank_count\": 2", "\"rank_count\": \"2\"")),
              "f:1: /rank_count: is the text \"2\", not a whole number from 1 to 65536");
    EXPECT_EQ(refusal_of(changed(version_2_0, "\"rank_count\": 2", "\"rank_count\": 3")),
              "f:1: /rank_count: is 3, but rank_list has 2");
    EXPECT_EQ(refusal_of(changed(version_2_0, "\"rank_id\": 1", "\"rank_id\": 0")),
              "f:7: /rank_list/1/rank_id: is 0, as that of an earlier rank");
    EXPECT_EQ(refusal_of(changed(version_2_0, "\"rank_id\": 1", "\"rank_id\": -1")),
              "f:7: /rank_list/1/rank_id: is -1, not a whole number from 0 to 1");
    EXPECT_EQ(refusal_of(changed(version_2_0, "\"local_id\": 1", "\"local_id\": 0")),
              "f:7: /rank_list/1/local_id: is 0, as that of another rank of the same instance");
    EXPECT_EQ(refusal_of(changed(version_2_0, "\"local_id\": 1", "\"local_id\": 65")),
              "f:7: /rank_list/1/local_id: is 65, not a whole number from 0 to 64");
    EXPECT_THAT(refusal_of(changed(version_2_0, "\"CLOS\"", "\"RING\"")),
                HasSubstr("/net_type: is the text \"RING\", not TOPO_FILE_DESC"));
    EXPECT_THAT(refusal_of(changed(version_2_0, "\"net_layer\": 1", "\"net_layer\": 0")),
                HasSubstr("is not higher than"));
    EXPECT_THAT(refusal_of(changed(version_2_0, "\"2.0\"", "\"2.1\"")), HasSubstr("/version: is the text \"2.1\""));
}

TEST(RankTopology, ByItselfIsAServerOfDevices) {
    const Map map = read_or_fail(topology_2_0);
    EXPECT_EQ(links_of(map), "/device0 /device1 ub 2 0\n/device0 /device2 ub 1 0\n/device1 /net1.7 roce 1 0\n");
    EXPECT_EQ(topology_of(map)->rank_count, 3);
}

TEST(RankTopology, IsRefusedByPointerAndReason) {
    EXPECT_EQ(refusal_of(changed(topology_2_0, "\"local_id\": 2", "\"local_id\": 1")),
              "f:2: /peer_list/2/local_id: is 1, as that of an earlier peer");
    EXPECT_EQ(refusal_of(changed(topology_2_0, "\"edge_count\": 3", "\"edge_count\": 2")),
              "f:1: /edge_count: is 2, but the list has 3");
    EXPECT_EQ(refusal_of(changed(topology_2_0, "\"local_b\": 1", "\"local_b\": 0")),
              "f:4: /edge_list/0/local_b: is local_a, too");
    EXPECT_THAT(refusal_of(changed(topology_2_0, "\"ROCE\"", "\"CARRIER PIGEON\"")), HasSubstr("not a protocol"));
    EXPECT_THAT(refusal_of(changed(topology_2_0, "PEER2NET", "PEER2ALL")), HasSubstr("not PEER2PEER or PEER2NET"));
}

TEST(MapFormat, ShowsInTheContent) {
    EXPECT_EQ(map_format_of(version_1_0, "f"), MapFormat::rank_table_v1);
    EXPECT_EQ(map_format_of(version_2_0, "f"), MapFormat::rank_table_v2);
    EXPECT_EQ(map_format_of(topology_2_0, "f"), MapFormat::rank_topology);
    EXPECT_EQ(map_format_of("<?xml version='1.0'?><!-- <system> --><topology/>", "f"), MapFormat::hwloc_xml);
    EXPECT_EQ(map_format_of("\xef\xbb\xbf <system/>", "f"), MapFormat::nccl_xml);
    EXPECT_THAT(refusal_of(""), HasSubstr("f: the file is empty; what can be read is a Tenon topology, hwloc XML"));
    EXPECT_THAT(refusal_of("hello"), HasSubstr("f: neither XML nor JSON"));
    EXPECT_THAT(refusal_of("{}"), HasSubstr("JSON without tenon_topology"));
    EXPECT_THAT(refusal_of("<html/>"), HasSubstr("XML whose outermost element is <html>"));
    EXPECT_THAT(refusal_of("{\"server_list\": [}"), HasSubstr("f:1: not well-formed JSON"));
}

}  // namespace
}  // namespace tenon
