// What the system tells of network devices is added to the right cards of a machine's map, with rates of their wires.
#include "topology/machine/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/topology/reading.hpp"

namespace tenon {
namespace {

namespace fs = std::filesystem;

// A folder like /sys, with one RDMA card that is also eth0, one plain card, and software interfaces.
class SystemFolder : public testing::Test {
protected:
    SystemFolder() {
        for (const char* address : {"0000:01:00.0", "0000:02:00.0"}) fs::create_directories(root / "devices" / address);
        interface("eth0", "0000:01:00.0", "100000");
        interface("eth1", "0000:02:00.0", "-1");
        interface("lo", nullptr, "");
        rdma("mlx5_0", "0000:01:00.0", "200 Gb/sec (4X HDR)", "Ethernet");
    }
    ~SystemFolder() override { fs::remove_all(root); }

    void write(const fs::path& path, std::string_view text) {
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text << "\n";
    }
    void interface(const std::string& name, const char* device, std::string_view speed) {
        const fs::path entry = root / "class/net" / name;
        write(entry / "type", "1");
        write(entry / "speed", speed);
        write(entry / "address", "02:00:00:00:00:01");
        if (device != nullptr) fs::create_directory_symlink(root / "devices" / device, entry / "device");
    }
    void rdma(const std::string& name, const char* device, std::string_view rate, std::string_view layer) {
        const fs::path entry = root / "class/infiniband" / name;
        write(entry / "ports/1/rate", rate);
        write(entry / "ports/1/link_layer", layer);
        write(entry / "ports/1/state", "4: ACTIVE");
        fs::create_directory_symlink(root / "devices" / device, entry / "device");
    }

    fs::path root = fs::path(testing::TempDir()) /
                    ("tenon_system_" + std::to_string(testing::UnitTest::GetInstance()->random_seed()) + "_" +
                     std::to_string(reinterpret_cast<std::uintptr_t>(this)));
};

Map machine() {
    MapBuilder builder{kinds::server, "machine"};
    const PlaceIndex numa = builder.add_place(outermost, kinds::numa, "numa0");
    builder.set_fact(builder.add_place(numa, kinds::nic, "eth0"), "busid", "0000:01:00.0");
    return *std::move(builder).finish();
}

TEST_F(SystemFolder, TellsTheRatesOfCards) {
    const auto map = topology_machine::with_network_facts(machine(), root);
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_EQ(places_of(*map), "/ server\n/numa0 numa\n/numa0/eth0 nic\n/roce network network\n/eth1 nic\n");
    EXPECT_EQ(links_of(*map), "/numa0/eth0 /roce network roce 1 25000\n") << "the RDMA device knows better";
    EXPECT_EQ((*map)[PlaceIndex{2}].fact("rdma device"), "mlx5_0");
    EXPECT_EQ((*map)[PlaceIndex{2}].fact("interface"), "eth0");
    EXPECT_EQ((*map)[PlaceIndex{2}].fact("mlx5_0 port 1"), "4: ACTIVE");
}

TEST(Machine, WithoutSuchAFolderStaysAsItIs) {
    const auto map = topology_machine::with_network_facts(machine(), "/nowhere");
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_EQ(*map, machine());
}

TEST(Machine, ThatRunsThisHasCores) {
    const auto map = map_of_this_machine();
    ASSERT_TRUE(map) << map.error().message;
    EXPECT_THAT(places_of(*map), testing::HasSubstr(" core\n"));
}

}  // namespace
}  // namespace tenon
