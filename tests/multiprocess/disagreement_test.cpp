// Processes that do not make the same call: an error on every rank that waits, with both sides in words.
#include <gtest/gtest.h>

#include "tests/multiprocess/job.hpp"
#include "tests/support/disagreements.hpp"

namespace tenon::multiprocess {
namespace {

using support::Disagreement;

class ProcessDisagreements : public ::testing::TestWithParam<Disagreement> {};

TEST_P(ProcessDisagreements, AreToldToEveryRankInWords) {
    const Disagreement& d = GetParam();
    for (const int rank_count : {2, 4}) {
        const int odd_one = rank_count - 1;
        RankProcesses ranks(rank_count, [&](RankProcess& self) {
            tenonComm_t comm = join(self);
            return support::outcome(support::make_calls(self.rank() == odd_one ? d.odd : d.usual, comm), comm);
        });
        for (const std::string& line : ranks.results()) {
            EXPECT_TRUE(contains(line, "mismatch")) << line;
            EXPECT_TRUE(contains(line, d.usual_words) && contains(line, d.odd_words)) << line;
            EXPECT_TRUE(contains(line, "rank " + std::to_string(odd_one))) << line;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Calls, ProcessDisagreements, ::testing::ValuesIn(support::disagreements()),
                         [](const auto& d) { return d.param.name; });

TEST(ProcessDisagreement, OfBlocksThatOnePairExchanges) {
    RankProcesses ranks(3, [](RankProcess& self) {
        tenonComm_t comm = join(self);
        std::vector<std::size_t> sent(3, 10), received(3, 10);
        const std::size_t offsets[3] = {0, 10, 20};
        if (self.rank() == 2) received[1] = 9;
        std::vector<int> in(30), out(30);
        tenonResult_t result = tenonAlltoAllv(in.data(), sent.data(), offsets, out.data(), received.data(), offsets,
                                              tenonInt, comm, nullptr);
        if (result == tenonSuccess) result = tenonBarrier(comm, nullptr);
        return support::outcome(result, comm);
    });
    for (const std::string& line : ranks.results())
        EXPECT_TRUE(contains(line, "mismatch") && contains(line, "all_to_all_v") && contains(line, "rank 2") &&
                    contains(line, "rank 1"))
            << line;
}

}  // namespace
}  // namespace tenon::multiprocess
