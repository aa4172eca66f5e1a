// The tuning file: what it may say, and how it is refused.
#include "selection/tuning.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tenon {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string refusal(std::string_view text) {
    const auto tuning = parse_tuning(text, "tuned.txt");
    return tuning ? "" : tuning.error().message;
}

TEST(TuningFile, ReadsBackAsItWasWritten) {
    Tuning tuning = *parse_tuning(
        "tenon tuning 1  # a comment\n"
        "\n"
        "link cluster latency_ns=21000 part_bytes_per_s=125000000\r\n"
        "link pci_2 rank_bytes_per_s=1e9\n"
        "link not\x01text latency_ns=1\n"
        "cost network.message_ns 2500.5\n"
        "\tcost cores 2\n"
        "choose ranks=8 hosts=4 all_reduce:0-4k=one_shot,all_reduce=ring # and more\n",
        "tuned.txt");
    EXPECT_EQ(tuning.links.size(), 3U);
    EXPECT_DOUBLE_EQ(tuning.costs.network.message_ns, 2500.5);
    ASSERT_EQ(tuning.choices.size(), 2U);
    EXPECT_EQ(tuning.choices[0].max_bytes.value, 4096U);
    Tuning again = *parse_tuning(show(tuning), "again");
    EXPECT_NE(again.fingerprint, tuning.fingerprint);  // of other bytes
    again.fingerprint = tuning.fingerprint;
    EXPECT_EQ(again, tuning);
}

TEST(TuningFile, IsRefusedWithTheLineAndTheReason) {
    EXPECT_THAT(refusal(""), AllOf(StartsWith("tuned.txt, line 1: "), HasSubstr("tenon tuning 1")));
    EXPECT_THAT(refusal("{\"a\": 1}"), StartsWith("tuned.txt, line 1: "));
    const std::string head = "tenon tuning 1\n\n";
    for (const auto& [line, reason] :
         {std::pair{"prefer ring", "none of cost, link and choose"}, std::pair{"cost", "a name and a figure"},
          std::pair{"cost steps 3", "there is no cost 'steps'"}, std::pair{"cost step_ns -1", "no figure"},
          std::pair{"cost step_ns nan", "no figure"}, std::pair{"cost step_ns 1e16", "no figure"},
          std::pair{"cost step_ns 1 2", "a name and a figure"}, std::pair{"link server", "a level and figures"},
          std::pair{"link server speed=3", "none of latency_ns="}, std::pair{"link server latency_ns=", "no figure"},
          std::pair{"choose all_reduce=ring", "a choice is: "},
          std::pair{"choose ranks=4 hosts=5 all_reduce=ring", "no numbers of ranks and of hosts"},
          std::pair{"choose ranks=0 hosts=0 all_reduce=ring", "no numbers of ranks and of hosts"},
          std::pair{"choose ranks=4 hosts=1 all_reduce:9-1=ring", "size range"},
          std::pair{"choose ranks=4 hosts=1 some_reduce=ring", "unknown collective"}})
        EXPECT_THAT(refusal(head + line), AllOf(StartsWith("tuned.txt, line 3: "), HasSubstr(reason))) << line;
    EXPECT_THAT(refusal(head + "link a latency_ns=1\nlink a latency_ns=2"), HasSubstr("line 4: the level 'a' has"));
}

TEST(TuningFile, ThatIsNotThereIsAnError) {
    const auto read = read_tuning_file("/no/such/file");
    ASSERT_FALSE(read);
    EXPECT_THAT(read.error().message, AllOf(HasSubstr("TENON_TUNING_FILE"), HasSubstr("/no/such/file")));
}

}  // namespace
}  // namespace tenon
