// The covering arrays cover, obey what is not allowed, and stay small.
#include "tests/support/covering.hpp"

#include <gtest/gtest.h>

#include <array>

namespace tenon::support {
namespace {

const auto everything = [](const CoveringRow&) { return true; };

bool covered(const std::vector<CoveringRow>& rows, std::size_t a, int i, std::size_t b, int j) {
    for (const CoveringRow& row : rows)
        if (row[a] == i && row[b] == j) return true;
    return false;
}

TEST(Covering, EveryTwoValuesMeet) {
    const std::array sizes = {5, 2, 7, 3, 4, 2, 2};
    const auto rows = cover_pairs(sizes, everything);
    for (std::size_t a = 0; a < sizes.size(); a++)
        for (std::size_t b = a + 1; b < sizes.size(); b++)
            for (int i = 0; i < sizes[a]; i++)
                for (int j = 0; j < sizes[b]; j++)
                    EXPECT_TRUE(covered(rows, a, i, b, j)) << a << "=" << i << ", " << b << "=" << j;
}

TEST(Covering, NeedsLittleMoreRowsThanTheTwoLargestDimensions) {
    const std::array sizes = {30, 14, 7, 5, 5, 3, 2, 2, 2, 2};
    EXPECT_LT(cover_pairs(sizes, everything).size(), 30U * 14U * 5 / 4);
}

TEST(Covering, LeavesOutOnlyWhatIsNotAllowed) {
    const std::array sizes = {4, 4, 3};
    // The first two dimensions must differ; and with 0 in the first, the last is 0.
    const auto allowed = [](const CoveringRow& row) {
        if (row[0] != unset && row[0] == row[1]) return false;
        return row[0] != 0 || row[2] == unset || row[2] == 0;
    };
    const auto rows = cover_pairs(sizes, allowed);
    for (const CoveringRow& row : rows) EXPECT_TRUE(allowed(row));
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) EXPECT_EQ(covered(rows, 0, i, 1, j), i != j);
    for (int j = 0; j < 3; j++) EXPECT_EQ(covered(rows, 0, 0, 2, j), j == 0);
}

TEST(Covering, GivesTheSameRowsEachTime) {
    const std::array sizes = {6, 5, 4};
    EXPECT_EQ(cover_pairs(sizes, everything), cover_pairs(sizes, everything));
}

}  // namespace
}  // namespace tenon::support
