// Ranks that do not make the same call get an error, not a hang and not wrong data; it names both sides in words.
#include <gtest/gtest.h>

#include "tests/conformance/c_job.hpp"
#include "tests/support/disagreements.hpp"

namespace tenon::conformance {
namespace {

using support::Disagreement;

class Disagreements : public ::testing::TestWithParam<Disagreement> {};

TEST_P(Disagreements, AreToldToEveryRankInWords) {
    for (const int rank_count : {2, 3, 4}) {
        const CJob job(rank_count);
        std::vector<tenonResult_t> results(static_cast<std::size_t>(rank_count));
        std::vector<std::string> messages(results.size());
        // Not always the first rank, and not in the first call.
        const int odd_one = rank_count - 1;
        job.run([&](tenonComm_t comm, int rank) {
            const auto at = static_cast<std::size_t>(rank);
            results[at] = support::make_calls(rank == odd_one ? GetParam().odd : GetParam().usual, comm);
            messages[at] = tenonGetLastError(comm);
        });
        for (std::size_t r = 0; r < results.size(); r++) {
            EXPECT_EQ(results[r], tenonMismatch) << "rank " << r << " of " << rank_count << ": " << messages[r];
            for (const std::string& words : {GetParam().usual_words, GetParam().odd_words})
                EXPECT_NE(messages[r].find(words), std::string::npos)
                    << "rank " << r << " of " << rank_count << ": " << messages[r];
            EXPECT_NE(messages[r].find("rank " + std::to_string(odd_one)), std::string::npos) << messages[r];
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Calls, Disagreements, ::testing::ValuesIn(support::disagreements()),
                         [](const auto& d) { return d.param.name; });

}  // namespace
}  // namespace tenon::conformance
