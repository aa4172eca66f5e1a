// Files that are right: what they say of themselves, what plans they become, and that these compute the right numbers.
#include "interchange/msccl.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/interchange/msccl_files.hpp"
#include "tests/interchange/plan_runner.hpp"

namespace tenon::interchange_test {
namespace {

MscclAlgorithm read(const std::string& xml) {
    auto algorithm = read_msccl(xml, "test.xml");
    EXPECT_TRUE(algorithm.has_value()) << algorithm.error().message;
    return algorithm ? std::move(*algorithm) : MscclAlgorithm{};
}

class RightFile : public testing::TestWithParam<MscclFile> {};

TEST_P(RightFile, ComputesTheCollective) {
    const MscclAlgorithm algorithm = read(GetParam().xml);
    for (const bool in_place : {false, true}) {
        if (in_place && !algorithm.in_place) continue;
        for (const std::uint64_t count : {0, 1, 7, 64, 257, 1000})
            for (const std::uint64_t seed : {1, 2, 3})
                EXPECT_EQ(run_and_compare(algorithm.plans, {.count = count, .in_place = in_place, .seed = seed}), "")
                    << count << " elements, in place: " << in_place << ", seed " << seed;
    }
}

TEST_P(RightFile, WorksInPlaceIfItSaysSo) {
    const MscclAlgorithm algorithm = read(GetParam().xml);
    if (algorithm.facts.in_place) {
        EXPECT_TRUE(algorithm.in_place);
    }
}

std::string name_of_file(const testing::TestParamInfo<MscclFile>& file) { return file.param.name; }
INSTANTIATE_TEST_SUITE_P(Msccl, RightFile, testing::ValuesIn(right_files()), name_of_file);

TEST(Msccl, DividesAnAverageOnce) {
    for (const MscclFile& file : right_files()) {
        const MscclAlgorithm algorithm = read(file.xml);
        if (!reduces(algorithm.facts.collective)) continue;
        EXPECT_EQ(run_and_compare(algorithm.plans, {.count = 100, .average = true}), "") << file.name;
    }
}

TEST(Msccl, TheTestsOwnRunnerNoticesAWrongPlan) {
    MscclAlgorithm algorithm = read(ring_all_reduce(3));
    algorithm.plans[1].lanes[0].steps[1].source = {BufferId::input, 1, 1, 1};
    EXPECT_NE(run_and_compare(algorithm.plans, {.count = 30}), "");
}

TEST(Msccl, TellsTheFileFacts) {
    const MscclFacts facts = read(ring_all_reduce(3)).facts;
    EXPECT_EQ(facts.name, "ring");
    EXPECT_EQ(facts.protocol, "Simple");
    EXPECT_EQ(facts.collective, Collective::all_reduce);
    EXPECT_TRUE(facts.in_place);
    EXPECT_FALSE(facts.out_of_place);
    EXPECT_EQ(facts.min_bytes.value, 1024u);
    EXPECT_EQ(facts.max_bytes.value, UINT64_MAX) << "maxBytes=\"0\" is no limit";
    EXPECT_EQ(facts.channels, 2u);
}

TEST(Msccl, AssumesWhatOldFilesLeaveOut) {
    const MscclFacts in_place = read(hierarchical_all_gather(2)).facts;
    EXPECT_FALSE(in_place.out_of_place);
    EXPECT_EQ(in_place.min_bytes.value, 0u);
    EXPECT_EQ(in_place.max_bytes.value, 128u << 20);
    const std::string apart = replaced(staged_all_gather(2, 1), " outofplace=\"1\"", "");
    EXPECT_TRUE(read(apart).facts.out_of_place);
}

TEST(Msccl, ReadsBothSpellingsOfACollective) {
    const std::string underscore = ring_reduce_scatter(2);
    const std::string plain = replaced(underscore, "coll=\"reduce_scatter\"", "coll=\"reducescatter\"");
    EXPECT_EQ(read(underscore).facts.collective, Collective::reduce_scatter);
    EXPECT_EQ(read(plain).facts.collective, Collective::reduce_scatter);
}

TEST(Msccl, IgnoresCopiesCommentsAndUnknownAttributes) {
    std::string xml = "<?xml version=\"1.0\"?>\n<!-- a comment -->\n" + ring_all_reduce(2);
    xml = replaced(xml, "<algo ", "<algo redop=\"sum\" maxcount=\"1\" ");
    xml = replaced(xml, "    <tb ", "    <copy i_off=\"0\" o_off=\"0\"/>\n    <tb ");
    EXPECT_EQ(read(xml).plans.size(), 2u);
}

TEST(Msccl, TakesThreadBlocksAndStepsByNumberInAnyOrder) {
    std::string xml = replaced(ring_all_reduce(2), "s=\"0\" type=\"s\"", "s=\"X\" type=\"s\"");
    xml = replaced(xml, "s=\"1\" type=\"rrcs\"", "s=\"0\" type=\"s\" was=\"rrcs\"");
    xml = replaced(xml, "s=\"X\" type=\"s\"", "s=\"1\" type=\"rrcs\"");
    xml = replaced(xml, "srcoff=\"0\" dstbuf=\"i\" dstoff=\"0\"", "srcoff=\"X\" dstbuf=\"i\" dstoff=\"X\"");
    xml = replaced(xml, "srcoff=\"1\" dstbuf=\"i\" dstoff=\"1\"", "srcoff=\"0\" dstbuf=\"i\" dstoff=\"0\"");
    xml = replaced(xml, "srcoff=\"X\" dstbuf=\"i\" dstoff=\"X\"", "srcoff=\"1\" dstbuf=\"i\" dstoff=\"1\"");
    EXPECT_EQ(read(xml).plans[0].lanes[0].steps[0].kind, StepKind::send);
}

TEST(Msccl, KeepsLanesAndStepsWhereTheFileHasThem) {
    const MscclAlgorithm algorithm = read(ring_all_reduce(4));
    const Plan& plan = algorithm.plans[1];
    EXPECT_EQ(plan.algorithm, "ring");
    EXPECT_EQ(plan.pieces, 4u);
    EXPECT_EQ(plan.scratch_cells, 0u);
    ASSERT_EQ(plan.lanes.size(), 1u);
    std::vector<StepKind> kinds;
    for (const Step& step : plan.lanes[0].steps) kinds.push_back(step.kind);
    using enum StepKind;
    EXPECT_THAT(kinds, testing::ElementsAre(send, receive_reduce_send, receive_reduce_send, receive_reduce_copy_send,
                                            receive_send, receive_send, receive));
}

TEST(Msccl, MarksExactlyTheStepsThatCompleteSums) {
    for (const Plan& plan : read(ring_all_reduce(4)).plans)
        for (std::size_t step = 0; step < plan.lanes[0].steps.size(); step++)
            EXPECT_EQ(plan.lanes[0].steps[step].completes, step == 3) << "step " << step;
}

TEST(Msccl, ReadsTheInputUntilAStepHasWritten) {
    const Plan plan = read(ring_all_reduce(3)).plans[0];
    for (const Step& step : plan.lanes[0].steps) {
        if (reads_source(step.kind)) {
            EXPECT_EQ(step.source.buffer, BufferId::input);
        }
    }
}

TEST(Msccl, CopiesWhatIsRightInPlaceFromTheStart) {
    const Plan plan = read(hierarchical_all_gather(2)).plans[3];
    const Step& copy = plan.lanes.back().steps.front();
    EXPECT_EQ(copy.kind, StepKind::copy);
    EXPECT_EQ(copy.destination, (Chunk{BufferId::output, 3, 1, 0}));
    EXPECT_EQ(copy.source, (Chunk{BufferId::input, 0, 1, 0}));
}

TEST(Msccl, NeverWritesTheInput) {
    const Plan plan = read(ring_reduce_scatter(4)).plans[0];
    EXPECT_GT(plan.scratch_cells, 0u) << "partial sums that the file puts into its input";
}

TEST(Msccl, KeepsARunWhoseUsersAgreeAsOneMessage) {
    const Plan plan = read(direct_all_to_all(3, 4)).plans[0];
    EXPECT_EQ(plan.lanes.size(), 5u);
    EXPECT_EQ(plan.lanes[1].steps[0].source, (Chunk{BufferId::input, 4, 4, 0}));
}

TEST(Msccl, SplitsARunWhoseChunksAreUsedOneByOne) {
    const int run = 3;
    const Plan plan = read(all_pairs_all_reduce(4, run)).plans[0];
    EXPECT_EQ(plan.lanes.size(), 3u + 3u * run) << "a lane per sum, and one per peer and chunk";
    for (const Lane& lane : plan.lanes)
        for (const Step& step : lane.steps) EXPECT_LE(std::max(step.source.count, step.destination.count), 1u);
}

TEST(Msccl, FindsTheRootFromTheData) {
    for (const Plan& plan : read(chain_broadcast(4, 2)).plans) EXPECT_EQ(plan.root, 2);
    for (const Plan& plan : read(chain_reduce(4, 3)).plans) EXPECT_EQ(plan.root, 3);
}

TEST(Msccl, KeepsPartialSumsOfOthersOutOfTheOutputTheyDoNotHave) {
    const MscclAlgorithm algorithm = read(chain_reduce(4, 3));
    EXPECT_EQ(algorithm.plans[1].output_blocks, 0u);
    EXPECT_EQ(algorithm.plans[1].scratch_cells, 2u);
    EXPECT_EQ(algorithm.plans[3].scratch_cells, 0u);
}

TEST(Msccl, OneGpuNeedsNoSteps) {
    const MscclAlgorithm algorithm = read(
        "<algo name=\"alone\" proto=\"LL\" nchannels=\"1\" nchunksperloop=\"2\" ngpus=\"1\" coll=\"allreduce\" "
        "inplace=\"1\">\n"
        "  <gpu id=\"0\" i_chunks=\"2\" o_chunks=\"2\" s_chunks=\"0\"/>\n</algo>\n");
    EXPECT_EQ(run_and_compare(algorithm.plans, {.count = 9}), "");
}

}  // namespace
}  // namespace tenon::interchange_test
