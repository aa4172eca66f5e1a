// What ranks that have met are told of their job: what is odd about it, in words, and over what its hosts talk.
#include "bootstrap/checks.hpp"

#include <gmock/gmock.h>

#include "bootstrap/wire.hpp"
#include "config/config.hpp"

namespace tenon::bootstrap {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

HostNetwork network(const std::string& address, std::uint32_t mtu = 9000, std::uint32_t speed_mbps = 25'000,
                    const std::string& name = "eth0") {
    return {name, os::resolve(address, 0).value().front(), mtu, speed_mbps};
}

// Two ranks on each host.
Meeting job_on(const std::vector<std::pair<std::string, HostNetwork>>& hosts) {
    Meeting meeting;
    for (std::size_t host = 0; host < hosts.size(); host++) {
        meeting.hosts.push_back(hosts[host].first);
        meeting.networks.push_back(hosts[host].second);
        for (int i = 0; i < 2; i++)
            meeting.ranks.push_back({.rank = static_cast<Rank>(meeting.ranks.size()),
                                     .host = static_cast<std::int32_t>(host)});
    }
    meeting.preferences[0] = "";
    return meeting;
}

Meeting usual_job() { return job_on({{"a", network("10.0.0.1")}, {"b", network("10.0.0.2")}}); }

void prefer(Meeting& meeting, Rank rank, const std::string& lines) {
    const std::uint64_t digest = std::hash<std::string>{}(lines) | 1;
    meeting.preferences[digest] = lines;
    meeting.ranks[static_cast<std::size_t>(rank)].preferences = digest;
}

TEST(Findings, ThereAreNoneInAUsualJob) {
    EXPECT_THAT(findings(usual_job()), IsEmpty());
    EXPECT_THAT(networks_in_words(usual_job()),
                ElementsAre("hosts a (10.0.0.1), b (10.0.0.2) talk over eth0, MTU 9000, 25000 Mbit/s"));
}

TEST(Findings, WhoIsSetDifferentlyIsNamed) {
    Meeting meeting = usual_job();
    prefer(meeting, 3, "TENON_SPIN=7\n");
    EXPECT_THAT(findings(meeting),
                ElementsAre(StartsWith("TENON_SPIN differs between ranks: it is 7 on rank 3 (b), but not set on the "
                                       "other 3; set it alike")));
    for (const Rank rank : {0, 1}) prefer(meeting, rank, "TENON_SPIN=7\n");
    EXPECT_THAT(findings(meeting), ElementsAre(HasSubstr("it is not set on rank 2 (b), but 7 on the other 3;")))
        << "what most have is taken to be meant";
}

TEST(Findings, EachVariableIsToldApart) {
    Meeting meeting = usual_job();
    prefer(meeting, 0, "TENON_PLUGINS=/a.so\nTENON_SPIN=7\n");
    prefer(meeting, 1, "TENON_SPIN=8\n");
    EXPECT_THAT(findings(meeting),
                ElementsAre(HasSubstr("TENON_PLUGINS differs between ranks: it is /a.so on rank 0 (a), but not set"),
                            AllOf(HasSubstr("7 on rank 0 (a)"), HasSubstr("8 on rank 1 (a)"))));
    for (const Rank rank : {0, 1, 2, 3}) prefer(meeting, rank, "TENON_SPIN=7\n");
    EXPECT_THAT(findings(meeting), IsEmpty()) << "all have it";
}

TEST(Findings, ANetworkThatIsNotTakenThoughItsHardwareIsThereIsToldWithTheCause) {
    Meeting meeting = usual_job();
    const std::string why = "rdma: mlx5_0 cannot pin memory:\nraise ulimit -l";
    for (const Rank rank : {2, 3}) prefer(meeting, rank, line_of_refused_network(why));
    EXPECT_THAT(findings(meeting), ElementsAre("there is hardware for a quicker network on ranks 2 and 3 (b), which is "
                                               "not used: rdma: mlx5_0 cannot pin memory: raise ulimit -l"));
    for (const Rank rank : {0, 1}) prefer(meeting, rank, line_of_refused_network(why) + "TENON_SPIN=7\n");
    EXPECT_THAT(findings(meeting), testing::UnorderedElementsAre(HasSubstr("TENON_SPIN differs"),
                                                                 HasSubstr("on ranks 0, 1, 2 and 3 (a ...), which")));
    EXPECT_EQ(line_of_refused_network(""), "");
    EXPECT_LT(line_of_refused_network(std::string(2000, 'x')).size(), note_bytes_limit);
    meeting.hosts.pop_back();
    EXPECT_THAT(findings(meeting), ElementsAre(HasSubstr("TENON_SPIN"))) << "on one host nobody needs a network";
}

TEST(Findings, WhatTheWireHasCutSaysNothingWrong) {
    Meeting meeting = usual_job();
    prefer(meeting, 0, "TENON_PLUGINS=/a/path/that/was/cu");
    EXPECT_THAT(findings(meeting), IsEmpty());
    for (const Rank rank : {1, 2, 3}) prefer(meeting, rank, "TENON_SPIN=7\n");
    EXPECT_THAT(findings(meeting), IsEmpty()) << "rank 0 may have set it as well, behind the cut";
    std::string lines = "TENON_PLUGINS=";
    lines.resize(note_bytes_limit - 1, 'a');
    for (const Rank rank : {1, 2, 3}) prefer(meeting, rank, lines.substr(0, 100) + "\nTENON_SPIN=7\n");
    prefer(meeting, 0, lines + '\n');
    EXPECT_THAT(findings(meeting), ElementsAre(HasSubstr("TENON_PLUGINS differs"))) << "the cut may be between lines";
}

TEST(Findings, HostsThatDifferInMtuAndSpeedAreNamed) {
    const Meeting meeting = job_on({{"a", network("10.0.0.1", 9000, 25'000)},
                                    {"b", network("10.0.0.2", 1500, 1'000, "eno1")},
                                    {"c", network("10.0.0.3", 9000, 25'000)}});
    EXPECT_THAT(findings(meeting),
                ElementsAre(HasSubstr("the MTU differs between hosts: it is 1500 on host b (eno1), but 9000 on hosts "
                                      "a, c (eth0);"),
                            HasSubstr("it is 1000 on host b (eno1), but 25000 on hosts a, c (eth0);")));
    EXPECT_THAT(findings(job_on({{"a", network("10.0.0.1", 9000, 0)}, {"b", network("10.0.0.2", 9000, 1'000)}})),
                IsEmpty())
        << "what is not known is not compared";
}

TEST(Findings, AnAddressThatTwoHostsHaveLeadsNowhere) {
    const Meeting meeting = job_on({{"a", network("172.17.0.1", 1500, 0, "docker0")},
                                    {"b", network("172.17.0.1", 1500, 0, "docker0")}});
    EXPECT_THAT(findings(meeting), ElementsAre(HasSubstr("hosts a and b both say that they are reached at 172.17.0.1 "
                                                         "(docker0)")));
    EXPECT_THAT(findings(job_on({{"a/1", network("10.0.0.1")}, {"a/2", network("10.0.0.1")}})), IsEmpty())
        << "hosts that are made out of one have one address";
}

TEST(Preferences, AreWhatIsNotAtItsDefault) {
    Config config;
    EXPECT_EQ(preferred_settings(config), "");
    config.spins = 7;
    config.timeout_ms = 5;
    config.log_level = LogLevel::debug;
    config.deterministic = true;
    EXPECT_EQ(preferred_settings(config), "TENON_TIMEOUT_MS=5\nTENON_SPIN=7\n")
        << "nothing of what must agree anyway, nor of what may differ";
}

}  // namespace
}  // namespace tenon::bootstrap
