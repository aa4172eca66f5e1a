// Public MSCCL files, which are not part of the project: from the folder in TENON_CORPORA, or from ../shared/corpora
// beside the source tree; skipped where there are none. What each must become was found by studying the file.
#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "interchange/msccl.hpp"
#include "tests/interchange/plan_runner.hpp"

namespace tenon::interchange_test {
namespace {

struct PublicFile {
    const char* name;
    const char* refusal;  // empty: it becomes plans
    Collective collective;
    bool in_place;      // its plans are right in place
    std::size_t lanes;  // of rank 0
};

constexpr PublicFile public_files[] = {
    {"ag_hier_4_Simple.xml", "", Collective::all_gather, true, 12},
    {"all-reduce-ring-simple.xml", "", Collective::all_reduce, true, 24},
    // Of 14 chunks no gpu can have an equal share of 8.
    {"all2all.xml", "all2all.xml:1: <algo>: nchunksperloop is 14, which 8 gpus cannot share equally", {}, false, 0},
    {"allgather_16n_direct_0_3m_ll128.xml", "", Collective::all_gather, true,
     31},                                                                 // 30, and one that copies its own block
    {"allgather_hierarchical.xml", "", Collective::all_gather, true, 4},  // 2, one for split pairs, one that copies
    {"allgather_ring_4_4.xml", "", Collective::all_gather, true, 5},
    {"allreduce-allpairs-8n-ll-32tb.xml", "", Collective::all_reduce, true,
     228},  // 32, and 7 for each of 28 split exchanges
    {"allreduce_hierarchical_8_1.xml", "", Collective::all_reduce, true, 1},
    {"allreduce_ring_4_1.xml", "", Collective::all_reduce, true, 2},
    {"alltoall-8n-0-9kb.xml", "", Collective::all_to_all, true, 15},
};

std::filesystem::path folder() {
    const char* given = std::getenv("TENON_CORPORA");
    return std::filesystem::path(given != nullptr ? given : TENON_SOURCE_DIR "/../shared/corpora") / "msccl";
}

class PublicMsccl : public testing::TestWithParam<PublicFile> {};

TEST_P(PublicMsccl, BecomesPlansOrIsRefusedForTheRightReason) {
    const PublicFile& expected = GetParam();
    std::ifstream file{folder() / expected.name, std::ios::binary};
    if (!file) GTEST_SKIP() << "no " << folder() / expected.name;
    const std::string xml{std::istreambuf_iterator<char>{file}, {}};
    const auto algorithm = read_msccl(xml, expected.name);
    if (!algorithm) {
        EXPECT_EQ(algorithm.error().message, expected.refusal);
        return;
    }
    ASSERT_STREQ(expected.refusal, "") << "it was read, but is wrong";
    EXPECT_EQ(algorithm->facts.collective, expected.collective);
    EXPECT_EQ(algorithm->in_place, expected.in_place);
    EXPECT_EQ(algorithm->plans[0].lanes.size(), expected.lanes);
    for (const std::uint64_t count : {5, 1000}) {
        EXPECT_EQ(run_and_compare(algorithm->plans, {.count = count}), "") << count << " elements";
        if (algorithm->in_place) {
            EXPECT_EQ(run_and_compare(algorithm->plans, {.count = count, .in_place = true}), "")
                << count << " in place";
        }
    }
}

std::string name_of_file(const testing::TestParamInfo<PublicFile>& file) {
    std::string name = std::filesystem::path(file.param.name).stem().string();
    for (char& letter : name)
        if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
    return name;
}
INSTANTIATE_TEST_SUITE_P(Corpora, PublicMsccl, testing::ValuesIn(public_files), name_of_file);

}  // namespace
}  // namespace tenon::interchange_test
