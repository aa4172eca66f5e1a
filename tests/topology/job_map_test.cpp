// What the hosts and ranks of a job say becomes one map: servers with the ranks in their places, how pairs are reached.
#include "topology/job_map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/topology/reading.hpp"
#include "topology/core_words.hpp"
#include "topology/printer.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Two NUMA nodes of two cores each, and a card with a wire.
Map machine(std::uint64_t wire_bytes_per_s = 0) {
    MapBuilder builder{kinds::server, "machine"};
    builder.set_fact(outermost, "OSName", "Linux");
    for (const auto& [name, processors] : {std::pair{"numa0", "0-1"}, std::pair{"numa1", "2-3"}}) {
        const PlaceIndex numa = builder.add_place(outermost, kinds::numa, name);
        builder.set_fact(numa, processors_fact, processors);
        builder.add_link({.from = numa, .to = outermost, .kind = "processor"});
        for (const char core : {processors[0], processors[2]})
            builder.set_fact(builder.add_place(numa, kinds::core, std::string("core") + core), processors_fact,
                             std::string(1, core));
    }
    const PlaceIndex card = builder.add_place(PlaceIndex{1}, kinds::nic, "mlx5_0");
    builder.set_fact(card, "interface", "eth0");
    builder.set_fact(card, "rdma device", "mlx5_0");
    builder.add_link({.from = card, .to = {1}, .kind = "pcie"});
    if (wire_bytes_per_s != 0)
        builder.add_link({.from = card, .to = builder.add_place(outermost, kinds::network, "roce network"),
                          .kind = "roce", .bytes_per_s = wire_bytes_per_s});
    return *std::move(builder).finish();
}

os::CoreSet cores(std::string_view words) { return *cores_in_words(words); }

// Ranks that may run anywhere, so many on each host, one host after the other.
std::vector<JobRank> ranks_on(const std::vector<Rank>& hosts, const std::string& transport,
                              const std::vector<std::string>& devices) {
    Rank all = 0;
    for (const Rank count : hosts) all += count;
    std::vector<JobRank> ranks;
    Rank first = 0;
    for (std::size_t host = 0; host < hosts.size(); host++) {
        const Rank end = first + hosts[host];
        for (Rank rank = first; rank < end; rank++) {
            JobRank& added = ranks.emplace_back();
            added.host = static_cast<std::int32_t>(host);
            added.cores = cores("0-3");
            const ReachedRanks runs[] = {{0, first, transport, devices},
                                         {first, rank - first, "shm"},
                                         {rank + 1, end - rank - 1, "shm"},
                                         {end, all - end, transport, devices}};
            for (const ReachedRanks& run : runs)
                if (run.count > 0) added.reached.push_back(run);
        }
        first = end;
    }
    return ranks;
}

Map made(const std::vector<JobHost>& hosts, const std::vector<JobRank>& ranks) {
    auto map = map_of_job(hosts, ranks);
    if (map) return std::move(*map);
    ADD_FAILURE() << map.error().message;
    return *MapBuilder{"nothing", "nothing"}.finish();
}

std::string refusal(const std::vector<JobHost>& hosts, const std::vector<JobRank>& ranks) {
    const auto map = map_of_job(hosts, ranks);
    return map ? "" : map.error().message;
}

TEST(JobMap, OfTwoHostsHasTheirMachinesAndRanksInOneCluster) {
    const Map map = made({{"one", machine(), "eth0", 125'000'000}, {"two", machine(), "eth0", 125'000'000}},
                         ranks_on({2, 2}, "tcp", {"eth0"}));
    const std::string of_one =
        "/one server\n/one/numa0 numa\n/one/numa0/core0 core\n/one/numa0/core1 core\n/one/numa0/mlx5_0 nic\n"
        "/one/numa1 numa\n/one/numa1/core2 core\n/one/numa1/core3 core\n/one/rank0 process 0\n/one/rank1 process 1\n";
    EXPECT_THAT(places_of(map), testing::StartsWith("/ cluster\n" + of_one + "/two server\n"));
    EXPECT_THAT(places_of(map), testing::EndsWith("/two/rank2 process 2\n/two/rank3 process 3\n"
                                                  "/ethernet network network\n"));
    EXPECT_EQ(map[PlaceIndex{1}].fact("OSName"), "Linux");
    EXPECT_THAT(links_of(map), HasSubstr("/one/numa0/mlx5_0 /ethernet network ethernet 1 125\n"));
    EXPECT_THAT(links_of(map), HasSubstr("/two/numa0/mlx5_0 /ethernet network ethernet 1 125\n"));
    EXPECT_THAT(text_of(map),
                HasSubstr("  pairs   within a server: shm (2 pairs, such as ranks 0 and 1)\n"
                          "          between servers: tcp over eth0, at most 125 MB/s (4 pairs, such as ranks 0 and "
                          "2)\n"));
}

TEST(JobMap, IsSeenByAlgorithmsAsServersInACluster) {
    const Map map = made({{"one", machine(), "eth0", 125'000'000}, {"two", machine(), "eth0", 250'000'000}},
                         ranks_on({2, 2}, "tcp", {"eth0"}));
    const auto topology = topology_of(map);
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_EQ(topology->hosts, 2);
    ASSERT_EQ(topology->levels.size(), 2u);
    EXPECT_EQ(topology->levels[0].group_of, (std::vector<std::int32_t>{0, 0, 1, 1}));
    EXPECT_EQ(topology->levels[1].link.part_bytes_per_s, 125'000'000u);
}

TEST(JobMap, HasARankWhereAllProcessorsAreThatItMayRunOn) {
    auto ranks = ranks_on({4}, "tcp", {});
    ranks[0].cores = cores("2-3");
    ranks[1].cores = cores("1");
    ranks[2].cores = cores("1-2");
    ranks[3].cores = {};
    const Map map = made({{"one", machine()}}, ranks);
    EXPECT_EQ(map.path_of(map.ranks()[0]), "/one/numa1/rank0");
    EXPECT_EQ(map.path_of(map.ranks()[1]), "/one/numa0/core1/rank1");
    EXPECT_EQ(map.path_of(map.ranks()[2]), "/one/rank2");
    EXPECT_EQ(map.path_of(map.ranks()[3]), "/one/rank3");
    EXPECT_THAT(links_of(map), HasSubstr("/one/numa1 /one/numa1/rank0 processor 1 0\n"));
}

TEST(JobMap, OfUnlikeHostsCountsPairsOfEachKind) {
    auto ranks = ranks_on({3, 1, 1}, "tcp", {"eth0"});
    const Map map = made({{"one", machine(), "eth0", 1'000'000'000},
                          {"two", machine(), "eth0", 1'000'000'000},
                          {"three", machine(), "eth0", 125'000'000}},
                         ranks);
    const LikePairs inside{.transport = "shm", .count = 3, .first = 0, .second = 1};
    const LikePairs slow{.is_between_servers = true, .transport = "tcp", .over = "eth0", .bytes_per_s = 125'000'000,
                         .count = 4, .first = 0, .second = 4};
    const LikePairs quick{.is_between_servers = true, .transport = "tcp", .over = "eth0", .bytes_per_s = 1'000'000'000,
                          .count = 3, .first = 0, .second = 3};
    EXPECT_THAT(map.pairs(), ElementsAre(inside, slow, quick));
    const auto again = read_map(json_of(map), "f");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->map, map);
}

TEST(JobMap, TakesTheRateOfACardsWireAndJoinsItToOneNetwork) {
    const Map map = made({{"one", machine(25'000'000'000)}, {"two", machine(50'000'000'000)}},
                         ranks_on({1, 1}, "rdma", {"mlx5_0"}));
    const LikePairs pairs{.is_between_servers = true, .transport = "rdma", .over = "mlx5_0",
                          .bytes_per_s = 25'000'000'000, .first = 0, .second = 1};
    EXPECT_THAT(map.pairs(), ElementsAre(pairs));
    EXPECT_THAT(links_of(map), HasSubstr("/one/numa0/mlx5_0 /roce network roce 1 25000\n"));
    EXPECT_THAT(links_of(map), HasSubstr("/two/numa0/mlx5_0 /roce network roce 1 50000\n"));
    EXPECT_THAT(places_of(map), testing::Not(HasSubstr("/one/roce network"))) << "it is the cluster's now";
}

TEST(JobMap, KeepsTheWireOfACardThatLeadsToNoRank) {
    const Map map = made({{"one", machine(25'000'000'000)}}, ranks_on({2}, "tcp", {}));
    EXPECT_THAT(links_of(map), HasSubstr("/one/numa0/mlx5_0 /one/roce network roce 1 25000\n"));
}

TEST(JobMap, HasACardForAnInterfaceThatNoneStandsFor) {
    const JobHost host{"one", machine(), "veth7"};
    const Map map = made({host, host}, ranks_on({1, 1}, "tcp", {"veth7"}));
    EXPECT_THAT(links_of(map), HasSubstr("/one /one/veth7 virtual 1 0\n"));
    EXPECT_THAT(links_of(map), HasSubstr("/one (2)/veth7 /ethernet network ethernet 1 0\n")) << "two hosts of one name";
    EXPECT_EQ(map.pairs()[0].bytes_per_s, 0u) << "not known";
}

TEST(JobMap, NamesHostsThatAreSplit) {
    const Map map = made({{"vm", machine()}, {"vm/b", machine()}}, ranks_on({1, 1}, "tcp", {}));
    EXPECT_THAT(places_of(map), HasSubstr("/vm:b server\n"));
}

TEST(JobMap, TellsWhereTheTwoOfAPairDoNotSayTheSame) {
    auto ranks = ranks_on({1, 1}, "rdma", {});
    ranks[1].reached[0].transport = "tcp";
    EXPECT_EQ(made({{"one", machine()}, {"two", machine()}}, ranks).pairs()[0].transport, "rdma, back tcp");
}

TEST(JobMap, IsRefusedWhereARankDoesNotTellOfAllOthers) {
    const std::vector<JobHost> host{{"one", machine()}};
    auto ranks = ranks_on({3}, "tcp", {});
    EXPECT_EQ(refusal(host, ranks), "");
    const auto with = [&](std::vector<ReachedRanks> reached) {
        auto changed_ranks = ranks;
        changed_ranks[1].reached = std::move(reached);
        return refusal(host, changed_ranks);
    };
    const std::string words = "rank 1 does not say, in order, how it reaches each other rank";
    EXPECT_EQ(with({{0, 1, "shm"}, {2, 1, "tcp"}}), "");
    EXPECT_EQ(with({{0, 1, "shm"}}), words);
    EXPECT_EQ(with({{0, 2, "shm"}}), words) << "itself";
    EXPECT_EQ(with({{2, 1, "shm"}, {0, 1, "shm"}}), words);
    EXPECT_EQ(with({{0, 1, "shm"}, {2, max_places, "shm"}}), words);
    ranks[2].host = 1;
    EXPECT_EQ(refusal(host, ranks), "rank 2 is on host 1, but there are 1 hosts");
}

TEST(Devices, AreThoseThatANetworkNames) {
    const auto devices = [](std::string_view words) { return devices_in_words(words, "rdma"); };
    EXPECT_THAT(devices("rdma (mlx5_0, port 1; mlx5_1, port 2), tcp"), ElementsAre("mlx5_0", "mlx5_1"));
    EXPECT_THAT(devices("ucx, rdma (rxe0; rxe1, port 1)"), ElementsAre("rxe0", "rxe1"));
    EXPECT_THAT(devices("tcp"), ElementsAre());
    EXPECT_THAT(devices("rdma"), ElementsAre());
    EXPECT_THAT(devices("rdma ("), ElementsAre());
}

TEST(Processors, AreReadAsTheyAreWritten) {
    for (const char* words : {"", "0", "0-3", "1,3,5-7,1023"}) EXPECT_EQ(core_words(cores(words)), words);
    for (const char* words : {",", "1,", "3-1", "1024", "0-1024", "-1", "1-", "a", "1 2", "0x1"})
        EXPECT_FALSE(cores_in_words(words)) << words;
}

}  // namespace
}  // namespace tenon
