// Public topology files, which are not part of the project: from the folder in TENON_CORPORA, or from ../shared/corpora
// beside the source tree; skipped where there are none. What each must become was found by studying the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <ostream>

#include "topology/files/files.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

struct PublicFile {
    const char* name;
    const char* refusal;  // what the error says; empty: it can be read
    std::size_t ranks = 0, devices = 0, nics = 0;
    const char* levels = "";  // of the projection, from the innermost
};

constexpr PublicFile public_files[] = {
    {"hwloc/24em64t-2n6c2t-pci.xml", "", 0, 3, 3, "pci server"},
    {"hwloc/g4dnmetal.xml", "", 0, 8, 2, "server"},
    {"hwloc/nvidiaDGX2.xml", "", 0, 16, 0, "numa server"},
    {"nccl_topo/modal-8xB200-vm.xml", "", 8, 8, 13, "server"},
    {"nccl_topo/ndv4-topo.xml", "", 0, 8, 8, "pci server"},
    {"nccl_topo/p4d-24xl-topo.xml", "", 0, 8, 4, "pci numa server"},
    {"nccl_topo/p5.48xl-topo.xml", "", 8, 8, 32, "server"},
    {"nccl_topo/topo_16p1h.xml", "", 16, 16, 8, "pci 2 server"},
    {"nccl_topo/topo_3p_pcie_1.xml", "", 3, 3, 1, "numa server"},
    {"nccl_topo/topo_4p3l_2h.xml", "", 8, 8, 1, "island server"},
    {"nccl_topo/topo_8p1h_5.xml", "", 8, 8, 8, "pci numa server"},
    {"nccl_topo/topo_8p6l_4nic.xml", "", 8, 8, 4, "server"},
    {"nccl_topo/topo_8p_942vm.xml", "", 8, 8, 8, "server"},
    {"nccl_topo/topo_8p_950.xml", "", 8, 8, 8, "server"},
    {"nccl_topo/topo_8p_pcie_2nic.xml", "", 8, 8, 2, "pci server"},
    {"nccl_topo/topo_8p_ts1_n4_2.xml", "", 8, 8, 3, "island server"},
    {"nccl_topo/topo_collnet_n4.xml", "", 8, 8, 4, "island server"},
    {"nccl_topo/yccl-topo_h800.xml", "", 8, 8, 8, "server"},
    {"ranktables/1d_16p_mesh_topo__ranktable.json", "", 16, 16, 0, "server"},
    {"ranktables/rank_graph__ranktable_2p_error.json",
     ":3: /rank_count: is the text \"2\", not a whole number from 1 to 65536"},
    {"ranktables/rank_table_910_0.json", "", 4, 4, 0, "server cluster"},
    {"ranktables/rank_table_a2_0.json", "", 4, 4, 0, "server cluster"},
    {"ranktables/rank_table_a3_0.json", "", 16, 16, 0, "npu server supernode cluster"},
    {"ranktables/rank_table_a3_1.json", "", 4, 4, 0, "server cluster"},
    {"ranktables/rank_table_a5_0.json", "", 0, 2, 0, "server"},
};

std::filesystem::path folder() {
    const char* given = std::getenv("TENON_CORPORA");
    return given != nullptr ? given : TENON_SOURCE_DIR "/../shared/corpora";
}

std::size_t count_of(const Map& map, std::string_view kind) {
    std::size_t count = 0;
    for (const MapPlace& place : map.places()) count += place.kind == kind;
    return count;
}

void PrintTo(const PublicFile& file, std::ostream* out) { *out << file.name; }

class PublicTopology : public testing::TestWithParam<PublicFile> {};

TEST_P(PublicTopology, BecomesAMapOrIsRefusedForTheRightReason) {
    const PublicFile& expected = GetParam();
    const std::filesystem::path path = folder() / expected.name;
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
    const auto read = read_map_file(path);
    if (!read) {
        ASSERT_STRNE(expected.refusal, "") << read.error().message;
        EXPECT_THAT(read.error().message, testing::EndsWith(expected.refusal));
        return;
    }
    ASSERT_STREQ(expected.refusal, "") << "it was read, but is wrong";
    const Map& map = read->map;
    EXPECT_EQ(map.ranks().size(), expected.ranks);
    EXPECT_EQ(count_of(map, kinds::device) + count_of(map, kinds::die), expected.devices);
    EXPECT_EQ(count_of(map, kinds::nic), expected.nics);
    const auto topology = topology_of(map);
    ASSERT_TRUE(topology) << topology.error().message;
    std::string levels;
    for (const Level& level : topology->levels) levels += (levels.empty() ? "" : " ") + level.name;
    EXPECT_EQ(levels, expected.levels);
    const auto again = read_map(json_of(map), "json");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->map, map);
}

std::string name_of_file(const testing::TestParamInfo<PublicFile>& file) {
    std::string name = std::filesystem::path(file.param.name).stem().string();
    for (char& letter : name)
        if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
    return name;
}
INSTANTIATE_TEST_SUITE_P(Corpora, PublicTopology, testing::ValuesIn(public_files), name_of_file);

}  // namespace
}  // namespace tenon
