// What a user may set, and what they are told when it is wrong.
#include "config/config.hpp"

#include <gmock/gmock.h>

#include <set>

#include "config/values.hpp"

namespace tenon {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Config read(const Environment& environment) {
    auto config = read_config(environment);
    EXPECT_TRUE(config) << config.error().message;
    return config.value_or(Config{});
}

std::string refusal(const Environment& environment) {
    const auto config = read_config(environment);
    EXPECT_FALSE(config);
    if (config) return "";
    EXPECT_EQ(config.error().status, Status::invalid_argument);
    return config.error().message;
}

TEST(ReadConfig, HasDefaults) {
    const Config config = read({{"PATH", "/bin"}, {"TENON", "x"}, {"TENONIC", "x"}});
    EXPECT_EQ(config.timeout_ms, 600'000U);
    EXPECT_EQ(config.slot_memory.value, 64U << 20);
    EXPECT_FALSE(config.deterministic);
    EXPECT_FALSE(config.spins.has_value());
}

TEST(ReadConfig, ReadsEveryVariable) {
    const Config config = read({{"TENON_LOG", "debug"},
                                {"TENON_TIMEOUT_MS", "250"},
                                {"TENON_INIT_TIMEOUT_MS", "1"},
                                {"TENON_LATE_WARNING_MS", "604800000"},
                                {"TENON_DETERMINISTIC", "1"},
                                {"TENON_ALGORITHM", "all_reduce:0-4k=one_shot,all_reduce=ring,alltoall=pairwise"},
                                {"TENON_TUNING_FILE", "/a/tuned.txt"},
                                {"TENON_TRANSPORT", "inproc"},
                                {"TENON_SLOT_MEMORY_BYTES", "2m"},
                                {"TENON_REGISTERED_MEMORY_BYTES", "3g"},
                                {"TENON_RDMA_DEVICES", "mlx5_0:1,mlx5_1"},
                                {"TENON_RDMA_GID_INDEX", "3"},
                                {"TENON_RDMA_TRAFFIC_CLASS", "106"},
                                {"TENON_RDMA_PACKET_BYTES", "1024"},
                                {"TENON_UCX_PUTS", "always"},
                                {"TENON_SPIN", "20"},
                                {"TENON_SOCKETS_PER_PEER", "4"},
                                {"TENON_DIRECT_ACCESS", "mapped"},
                                {"TENON_STREAMING_STORES", "off"},
                                {"TENON_PLUGINS", "/a/b.so:c.so"},
                                {"TENON_JOB", "mine"},
                                {"TENON_GROUPS", "4x2"},
                                {"TENON_PEERS_HOME", "/elsewhere"}});
    EXPECT_EQ(config.log_level, LogLevel::debug);
    EXPECT_EQ(config.timeout_ms, 250U);
    EXPECT_EQ(config.init_timeout_ms, 1U);
    EXPECT_EQ(config.late_warning_ms, 604'800'000U);
    EXPECT_TRUE(config.deterministic);
    EXPECT_EQ(config.tuning_file, "/a/tuned.txt");
    EXPECT_EQ(config.transport, TransportChoice::inproc);
    EXPECT_EQ(config.slot_memory.value, 2U << 20);
    EXPECT_EQ(config.registered_memory.value, 3ULL << 30);
    EXPECT_EQ(config.rdma.devices, "mlx5_0:1,mlx5_1");
    EXPECT_EQ(config.rdma.gid_index, 3U);
    EXPECT_EQ(config.rdma.traffic_class, 106U);
    EXPECT_EQ(config.rdma.packet_bytes, 1024U);
    EXPECT_EQ(config.ucx_puts, UcxPuts::always);
    EXPECT_EQ(config.spins, 20U);
    EXPECT_EQ(config.sockets_per_peer, 4U);
    EXPECT_EQ(config.direct_access, DirectAccess::mapped);
    EXPECT_EQ(config.streaming_stores, StreamingStores::off);
    EXPECT_EQ(config.plugins, (std::vector<std::string>{"/a/b.so", "c.so"}));
    EXPECT_EQ(config.job, "mine");
    EXPECT_EQ(config.groups, "4x2");
    ASSERT_EQ(config.algorithms.size(), 3U);
    EXPECT_EQ(config.algorithms[0], (AlgorithmChoice{Collective::all_reduce, {0}, {4096}, "one_shot"}));
    EXPECT_EQ(find_choice(config.algorithms, Collective::all_reduce, {4096})->name, "one_shot");
    EXPECT_EQ(find_choice(config.algorithms, Collective::all_reduce, {4097})->name, "ring");
    EXPECT_EQ(find_choice(config.algorithms, Collective::all_to_all, {1 << 30})->name, "pairwise");
    EXPECT_EQ(find_choice(config.algorithms, Collective::broadcast, {1}), nullptr);
}

TEST(ReadConfig, NamesTheVariableItsValueAndWhatIsAllowed) {
    EXPECT_THAT(refusal({{"TENON_TRANSPORT", "udp"}}),
                AllOf(HasSubstr("TENON_TRANSPORT=udp"), HasSubstr("auto, shm, inproc or network")));
    EXPECT_THAT(refusal({{"TENON_DETERMINISTIC", "yes"}}), HasSubstr("0 or 1"));
    EXPECT_THAT(refusal({{"TENON_UCX_PUTS", "1"}}), HasSubstr("auto, always or never"));
    EXPECT_THAT(refusal({{"TENON_SOCKETS_PER_PEER", "17"}}), HasSubstr("auto or a whole number from 1 to 16"));
    EXPECT_THAT(refusal({{"TENON_SOCKETS_PER_PEER", "0"}}), HasSubstr("TENON_SOCKETS_PER_PEER=0"));
    EXPECT_THAT(refusal({{"TENON_LOG", ""}}), HasSubstr("TENON_LOG is set but empty"));
    EXPECT_THAT(refusal({{"TENON_PLUGINS", "a.so::b.so"}}), HasSubstr("one of its paths is empty"));
    for (const char* wrong : {"0", "-1", "+5", " 5", "5 ", "5ms", "1e3", "604800001", "18446744073709551616"})
        EXPECT_THAT(refusal({{"TENON_TIMEOUT_MS", wrong}}),
                    AllOf(HasSubstr("TENON_TIMEOUT_MS=" + std::string{wrong}), HasSubstr("from 1 to")));
    for (const char* wrong : {"65535", "63k", "k", "64kb", "64 k", "17179869184g"})
        EXPECT_THAT(refusal({{"TENON_SLOT_MEMORY_BYTES", wrong}}), HasSubstr("at least 64k bytes"));
    EXPECT_THAT(refusal({{"TENON_RDMA_SERVICE_LEVEL", "16"}}), HasSubstr("a whole number from 0 to 15"));
    EXPECT_THAT(refusal({{"TENON_RDMA_GID_INDEX", "-1"}}), HasSubstr("auto or a whole number from 0 to 255"));
    for (const auto* wrong : {"128", "3000", "8192", "large"})
        EXPECT_THAT(refusal({{"TENON_RDMA_PACKET_BYTES", wrong}}), HasSubstr("2048 or 4096"));
    EXPECT_THAT(refusal({{"TENON_REGISTERED_MEMORY_BYTES", "much"}}), HasSubstr("at least 0 bytes"));
    for (const char* wrong : {"4294967296", "-1", "Auto"})
        EXPECT_THAT(refusal({{"TENON_SPIN", wrong}}), HasSubstr("auto or"));
}

TEST(ReadConfig, NamesThePieceOfAnAlgorithmListThatIsWrong) {
    EXPECT_THAT(refusal({{"TENON_ALGORITHM", "all_reduce=ring,all_redcue=ring"}}),
                HasSubstr("unknown collective 'all_redcue'"));
    EXPECT_THAT(refusal({{"TENON_ALGORITHM", "ring"}}), HasSubstr("'ring' has no '='"));
    EXPECT_THAT(refusal({{"TENON_ALGORITHM", "all_reduce=ring,"}}), HasSubstr("'' has no '='"));
    EXPECT_THAT(refusal({{"TENON_ALGORITHM", "all_reduce="}}), HasSubstr("does not name an algorithm"));
    EXPECT_THAT(refusal({{"TENON_ALGORITHM", "all_reduce=ring=x"}}), HasSubstr("does not name an algorithm"));
    for (const char* range : {"4k", "", "-4k", "8k-4k", "a-b", "1-2-3"})
        EXPECT_THAT(refusal({{"TENON_ALGORITHM", "all_reduce:" + std::string{range} + "=ring"}}),
                    HasSubstr("malformed size range"));
}

TEST(ReadConfig, RefusesUnknownNamesAndSuggests) {
    EXPECT_THAT(refusal({{"TENON_TIMEOUT", "5"}}),
                AllOf(HasSubstr("TENON_TIMEOUT is not"), HasSubstr("TENON_TIMEOUT_MS")));
    EXPECT_THAT(refusal({{"TENON_ALGORITM", "x"}}), HasSubstr("closest is TENON_ALGORITHM"));
}

TEST(ConfigVariables, ShowWhatTheyRead) {
    std::set<std::string> names;
    for (const VariableRow& row : config_variables()) {
        EXPECT_TRUE(names.insert(row.name).second) << row.name << " is there twice";
        EXPECT_FALSE(row.help.empty() || row.allowed.empty() || row.type.empty()) << row.name;
        const std::string text = row.default_text();
        if (text.empty()) continue;  // nothing is set
        Config config;
        EXPECT_TRUE(set_variable(config, row.name, text)) << row.name << "=" << text;
        EXPECT_EQ(row.show(config), text) << row.name;
    }
    EXPECT_TRUE(names.contains("TENON_TIMEOUT_MS"));
}

TEST(ConfigVariables, ShowChoicesAsTheyAreWritten) {
    Config config;
    const std::string text = "all_reduce:0-4k=one_shot,broadcast:3-=chain,all_gather=ring";
    ASSERT_TRUE(set_variable(config, "TENON_ALGORITHM", text));
    EXPECT_EQ(show(config.algorithms), text);
}

TEST(AgreedSettings, HoldWhatRanksMustShareAndNothingElse) {
    Config one, other;
    other.timeout_ms = 1;
    other.log_level = LogLevel::debug;
    EXPECT_EQ(agreed_settings(one), agreed_settings(other));
    other.deterministic = true;
    EXPECT_THAT(agreed_settings(one), HasSubstr("TENON_DETERMINISTIC=0\n"));
    EXPECT_THAT(agreed_settings(other), HasSubstr("TENON_DETERMINISTIC=1\n"));
}

TEST(Values, SizesShowAsTheyAreRead) {
    for (const std::uint64_t bytes : {0ULL, 1ULL, 1023ULL, 1024ULL, 1536ULL, 64ULL << 20, 3ULL << 30, ~0ULL})
        EXPECT_EQ(parse_size(show_size(bytes)), bytes);
    EXPECT_EQ(parse_size("1K"), 1024U);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(ProcessEnvironment, HasWhatTheProcessHas) {
    ASSERT_EQ(setenv("TENON_TEST_OF_ENVIRONMENT", "a=b", 1), 0);
    EXPECT_EQ(process_environment()["TENON_TEST_OF_ENVIRONMENT"], "a=b");
    unsetenv("TENON_TEST_OF_ENVIRONMENT");
    EXPECT_FALSE(process_environment().contains("TENON_TEST_OF_ENVIRONMENT"));
}

}  // namespace
}  // namespace tenon
