// Files that are wrong: each is refused for the right reason, at the right place.
#include <gmock/gmock.h>

#include "interchange/msccl.hpp"
#include "tests/interchange/msccl_files.hpp"

namespace tenon::interchange_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string refusal(std::string_view xml) {
    const auto algorithm = read_msccl(xml, "bad.xml");
    if (algorithm) return "";
    EXPECT_EQ(algorithm.error().status, Status::invalid_argument);
    return algorithm.error().message;
}

// One tb on each of two gpus, which exchange `count` chunks of an all-gather.
std::string exchange(std::string_view steps_of_0, std::string_view steps_of_1, int chunks = 2) {
    const std::string gpu =
        "  <gpu id=\"{}\" i_chunks=\"0\" o_chunks=\"" + std::to_string(chunks) + "\" s_chunks=\"4\">\n";
    return "<algo name=\"exchange\" proto=\"Simple\" nchannels=\"40\" nchunksperloop=\"" + std::to_string(chunks) +
           "\" ngpus=\"2\" coll=\"allgather\" inplace=\"1\">\n" + replaced(gpu, "{}", "0") +
           "    <tb id=\"0\" send=\"1\" recv=\"1\" chan=\"0\">\n" + std::string(steps_of_0) + "    </tb>\n  </gpu>\n" +
           replaced(gpu, "{}", "1") + "    <tb id=\"0\" send=\"0\" recv=\"0\" chan=\"0\">\n" + std::string(steps_of_1) +
           "    </tb>\n  </gpu>\n</algo>\n";
}

std::string step(int number, std::string_view type, int chunk, int count = 1,
                 std::string_view wait = "depid=\"-1\" deps=\"-1\"") {
    const std::string at = std::to_string(chunk);
    return "      <step s=\"" + std::to_string(number) + "\" type=\"" + std::string(type) +
           "\" srcbuf=\"o\" srcoff=\"" + at + "\" dstbuf=\"o\" dstoff=\"" + at + "\" cnt=\"" + std::to_string(count) +
           "\" " + std::string(wait) + " hasdep=\"0\"/>\n";
}

const std::string right_exchange = exchange(step(0, "s", 0) + step(1, "r", 1), step(0, "s", 1) + step(1, "r", 0));

TEST(MscclRefusal, TheFixtureItselfIsRight) { EXPECT_EQ(refusal(right_exchange), ""); }

TEST(MscclRefusal, EveryThreadBlockReceivesFirst) {
    EXPECT_THAT(
        refusal(exchange(step(0, "r", 1) + step(1, "s", 0), step(0, "r", 0) + step(1, "s", 1))),
        AllOf(StartsWith("bad.xml: deadlock: gpu 0 tb 0 step 0 (r, line 4) waits for gpu 1 tb 0 step 1 (s, line 11)"),
              HasSubstr("2 thread block(s) wait in a circle")));
}

TEST(MscclRefusal, AReceiveThatShouldHaveAdded) {
    // Gpu 2 forwards the sum of gpus 0 and 1 without its own part of chunk 0.
    const std::string wrong = replaced(ring_all_reduce(4), "type=\"rrcs\" srcbuf=\"i\" srcoff=\"1\"",
                                       "type=\"rcs\" srcbuf=\"i\" srcoff=\"1\"");
    EXPECT_THAT(
        refusal(wrong),
        AllOf(
            StartsWith(
                "bad.xml: this is no all_reduce: gpu 0's output chunk 1 ends as input chunk 1 of gpu 1, 2, 3, but must "
                "be input chunk 1 of gpu 0, 1, 2, 3; last written by gpu 0 tb 0 step 3 (rcs, line 7)"),
            HasSubstr("gpu 0 tb 0 step 3 (rcs, line 7) writes over input chunk 1 of gpu 0 instead of adding to it")));
    EXPECT_THAT(refusal(replaced(chain_reduce(3, 0), "type=\"rrc\"", "type=\"r\"")),
                AllOf(HasSubstr("this is no reduce: gpu 0's output chunk 0 ends as input chunk 0 of gpu 1, 2"),
                      HasSubstr("gpu 0 tb 0 step 0 (r, line 4)")));
}

TEST(MscclRefusal, ChunksThatTheGpusCannotShare) {
    EXPECT_EQ(refusal(replaced(right_exchange, "nchunksperloop=\"2\"", "nchunksperloop=\"3\"")),
              "bad.xml:1: <algo>: nchunksperloop is 3, which 2 gpus cannot share equally");
    EXPECT_EQ(refusal(replaced(right_exchange, "o_chunks=\"2\"", "o_chunks=\"4\"")),
              "bad.xml: gpu 0 (line 2): o_chunks is 4, but 2 chunks of all_gather over 2 gpus leave 2");
}

TEST(MscclRefusal, DataThatDoesNotBelong) {
    EXPECT_THAT(refusal(exchange(step(0, "s", 0) + step(1, "r", 0), step(0, "s", 1) + step(1, "r", 0))),
                HasSubstr("this is no all_gather: gpu 0's output chunk 0 ends as input chunk 0 of gpu 1, but must be "
                          "input chunk 0 of gpu 0"));
    EXPECT_THAT(refusal(exchange(step(0, "s", 1) + step(1, "r", 1), step(0, "s", 1) + step(1, "r", 0))),
                HasSubstr("gpu 0 tb 0 step 0 (s, line 4) reads o[1], which nothing has written yet"));
    EXPECT_THAT(refusal(exchange(step(0, "s", 0) + step(1, "rrc", 0), step(0, "s", 1) + step(1, "r", 0))),
                HasSubstr("gpu 0 tb 0 step 1 (rrc, line 5) adds two chunks, but all_gather only moves data"));
    EXPECT_THAT(refusal(replaced(ring_all_reduce(3), "type=\"rrs\" srcbuf=\"i\" srcoff=\"2\"",
                                 "type=\"rrs\" srcbuf=\"i\" srcoff=\"1\"")),
                HasSubstr("adds input chunk 1 of gpu 0 to input chunk 2 of gpu 2"));
    EXPECT_THAT(refusal(replaced(ring_all_reduce(2), "type=\"r\" srcbuf", "type=\"rrc\" srcbuf")),
                HasSubstr("a contribution would count twice"));
    EXPECT_THAT(refusal(replaced(ring_all_reduce(2), "type=\"r\" srcbuf=\"i\" srcoff=\"0\" dstbuf=\"i\" dstoff=\"0\"",
                                 "type=\"r\" srcbuf=\"i\" srcoff=\"0\" dstbuf=\"i\" dstoff=\"1\"")),
                HasSubstr("puts input chunk 0 of gpu 0, 1 in i[1], whose length may be another"));
}

TEST(MscclRefusal, MessagesThatDoNotMatch) {
    EXPECT_THAT(
        refusal(exchange(step(0, "s", 0) + step(1, "r", 1), step(0, "s", 1))),
        HasSubstr("gpu 0 tb 0 step 0 (s, line 4) sends to gpu 1 on channel 0, where no tb receives from gpu 0"));
    EXPECT_THAT(
        refusal(exchange(step(0, "s", 0), step(0, "s", 1) + step(1, "r", 0))),
        HasSubstr("gpu 1 tb 0 step 0 (s, line 9) sends to gpu 0 on channel 0, where no tb receives from gpu 1"));
    EXPECT_THAT(
        refusal(exchange(step(0, "r", 1), step(0, "r", 0))),
        HasSubstr("gpu 1 tb 0 step 0 (r, line 9) receives from gpu 0 on channel 0, where no tb sends to gpu 1"));
    EXPECT_THAT(
        refusal(exchange(step(0, "s", 0) + step(1, "s", 0) + step(2, "r", 1), step(0, "s", 1) + step(1, "r", 0))),
        HasSubstr("gpu 0 tb 0 step 1 (s, line 5) sends message 2 to gpu 1 on channel 0, which receives only 1"));
    EXPECT_THAT(
        refusal(exchange(step(0, "s", 0) + step(1, "r", 1) + step(2, "r", 1), step(0, "s", 1) + step(1, "r", 0))),
        HasSubstr("gpu 0 tb 0 step 2 (r, line 6) receives message 2 from gpu 1 on channel 0, which sends only 1"));
    EXPECT_THAT(refusal(exchange(step(0, "s", 0, 2) + step(1, "r", 1), step(0, "s", 1) + step(1, "r", 0))),
                HasSubstr("gpu 0 tb 0 step 0 (s, line 4) sends 2 chunks, but gpu 1 tb 0 step 1 (r, line 11), which "
                          "receives them, expects 1"));
}

TEST(MscclRefusal, PeersThatCannotBe) {
    EXPECT_THAT(refusal(replaced(right_exchange, "send=\"1\"", "send=\"2\"")),
                HasSubstr("gpu 0 tb 0 (line 3) has the peer 2, but ngpus is 2"));
    EXPECT_THAT(refusal(replaced(right_exchange, "send=\"1\"", "send=\"0\"")),
                HasSubstr("gpu 0 tb 0 (line 3) has its own gpu as a peer"));
    EXPECT_THAT(refusal(replaced(right_exchange, "send=\"1\"", "send=\"-1\"")),
                HasSubstr("gpu 0 tb 0 step 0 (s, line 4) needs a peer, but its tb has send=\"-1\""));
    const std::string second = "    <tb id=\"1\" send=\"1\" recv=\"-1\" chan=\"0\">\n" + step(0, "s", 0) +
                               "    </tb>\n  </gpu>\n  <gpu id=\"1\"";
    EXPECT_THAT(refusal(replaced(right_exchange, "  </gpu>\n  <gpu id=\"1\"", second)),
                HasSubstr("gpu 0 tb 1 step 0 (s, line 8) and tb 0 of its gpu both have send=\"1\" on channel 0"));
}

TEST(MscclRefusal, WaitsThatCannotBe) {
    const auto with = [](std::string_view wait) {
        return refusal(exchange(step(0, "s", 0) + step(1, "r", 1, 1, wait), step(0, "s", 1) + step(1, "r", 0)));
    };
    EXPECT_EQ(with("depid=\"0\" deps=\"0\""), "") << "an earlier step of its own tb";
    EXPECT_THAT(with("depid=\"0\" deps=\"1\""),
                HasSubstr("gpu 0 tb 0 step 1 (r, line 5) waits for step 1 of its own tb"));
    EXPECT_THAT(with("depid=\"1\" deps=\"0\""), HasSubstr("waits for tb 1, but its gpu has 1"));
    EXPECT_THAT(with("depid=\"0\" deps=\"2\""), HasSubstr("waits for step 2 of tb 0, which has 2"));
    EXPECT_THAT(with("depid=\"0\" deps=\"-1\""), HasSubstr("bad.xml:5: <step>: depid and deps are given together"));
}

TEST(MscclRefusal, ChannelsBeyondAPlans) {
    EXPECT_THAT(refusal(replaced(right_exchange, "chan=\"0\"", "chan=\"40\"")),
                HasSubstr("bad.xml:3: <tb>: chan is \"40\", not a whole number from 0 to 39"));
    EXPECT_THAT(refusal(replaced(right_exchange, "chan=\"0\"", "chan=\"32\"")),
                HasSubstr("bad.xml:3: <tb>: chan is 32, but a plan has 32 channels, from 0"));
    EXPECT_THAT(refusal(all_pairs_all_reduce(2, 33)), HasSubstr("takes 33 channels; a plan has 32"));
}

TEST(MscclRefusal, MoreMessagesInFlightThanAPlanMayCountOn) {
    std::string both[2];
    for (int gpu = 0; gpu < 2; gpu++)
        for (int i = 0; i < 6; i++) both[gpu] += step(i, i < 3 ? "s" : "r", 3 * (i < 3 ? gpu : 1 - gpu) + i % 3);
    EXPECT_THAT(refusal(exchange(both[0], both[1], 6)),
                AllOf(StartsWith("bad.xml: "), HasSubstr("deadlock with 2 message(s) per channel"),
                      HasSubstr("rank 0, lane 0, step 2 (send)"),
                      HasSubstr("rank, lane and step are the file's gpu, tb and step")));
}

TEST(MscclRefusal, AMissingWait) {
    const std::string none = "depid=\"-1\" deps=\"-1\"";
    const std::string all_pairs = all_pairs_all_reduce(3, 1);
    EXPECT_THAT(refusal(replaced(all_pairs, "depid=\"1\" deps=\"1\"", none)),
                AllOf(StartsWith("bad.xml: "),
                      HasSubstr("rank 0, lane 0, step 1 (reduce) races with rank 0, lane 1, step 1 (receive)")));
    EXPECT_THAT(refusal(replaced(all_pairs, "depid=\"0\" deps=\"2\"", none)),
                HasSubstr("gpu 1's output chunk 0 ends as input chunk 0 of gpu 0, but must be input chunk 0 of gpu 0, "
                          "1, 2; last written "
                          "by gpu 1 tb 1 step 3 (r, line 31), sent by gpu 0 tb 1 step 2 (s, line 11)"));
    EXPECT_THAT(refusal(replaced(hierarchical_all_gather(2), "depid=\"0\" deps=\"1\"", none)),
                HasSubstr("gpu 0 tb 1 step 0 (s, line 8) reads o[1], which nothing has written yet"));
}

TEST(MscclRefusal, OverlappingChunksOfOneStep) {
    const std::string moves = replaced(right_exchange, "    <tb id=\"0\" send=\"1\" recv=\"1\" chan=\"0\">\n",
                                       "    <tb id=\"1\" send=\"-1\" recv=\"-1\" chan=\"0\">\n"
                                       "      <step s=\"0\" type=\"cpy\" srcbuf=\"o\" srcoff=\"0\" dstbuf=\"s\" "
                                       "dstoff=\"0\" cnt=\"1\" depid=\"-1\" deps=\"-1\"/>\n"
                                       "      <step s=\"1\" type=\"cpy\" srcbuf=\"o\" srcoff=\"0\" dstbuf=\"s\" "
                                       "dstoff=\"1\" cnt=\"1\" depid=\"-1\" deps=\"-1\"/>\n"
                                       "      <step s=\"2\" type=\"cpy\" srcbuf=\"s\" srcoff=\"0\" dstbuf=\"s\" "
                                       "dstoff=\"1\" cnt=\"2\" depid=\"-1\" deps=\"-1\"/>\n"
                                       "    </tb>\n    <tb id=\"0\" send=\"1\" recv=\"1\" chan=\"0\">\n");
    EXPECT_THAT(refusal(moves),
                HasSubstr("gpu 0 tb 1 step 2 (cpy, line 6) reads what it writes: its source and destination overlap"));
}

struct BadForm {
    std::string from, to, reason;
};

TEST(MscclRefusal, FormsThatAreNotTheFormat) {
    const BadForm forms[] = {
        {"proto=\"Simple\"", "proto=\"simple\"", "bad.xml:1: <algo>: proto is \"simple\", not Simple, LL or LL128"},
        {"coll=\"allgather\"", "coll=\"custom\"", "bad.xml:1: <algo>: coll is \"custom\"; what can be read is"},
        {"coll=\"allgather\"", "coll=\"gather\"", "coll is \"gather\""},
        {"inplace=\"1\"", "inplace=\"2\"", "bad.xml:1: <algo>: inplace is \"2\", not a whole number from 0 to 1"},
        {"inplace=\"1\"", "inplace=\"0\" outofplace=\"0\"", "inplace and outofplace are both 0"},
        {"inplace=\"1\"", "inplace=\"1\" minBytes=\"9\" maxBytes=\"8\"", "minBytes is larger than maxBytes"},
        {" ngpus=\"2\"", "", "bad.xml:1: <algo>: the attribute ngpus is missing"},
        {"ngpus=\"2\"", "ngpus=\"1\"", "ngpus is 1, but there are 2 <gpu>"},
        {"ngpus=\"2\"", "ngpus=\"0\"", "ngpus is \"0\", not a whole number from 1 to 1024"},
        {"ngpus=\"2\"", "ngpus=\"2x\"", "ngpus is \"2x\", not a whole number"},
        {"nchunksperloop=\"2\"", "nchunksperloop=\"99999999999999999999\"",
         "nchunksperloop is \"99999999999999999999\", not a whole number"},
        {"s=\"1\"", "s=\"2\"", "bad.xml:5: <step>: s is \"2\", not a whole number from 0 to 1"},
        {"s=\"1\"", "s=\"0\"", "bad.xml:5: <step>: s=\"0\" is given twice"},
        {"gpu id=\"1\"", "gpu id=\"0\"", "bad.xml:8: <gpu>: id=\"0\" is given twice"},
        {"type=\"r\"", "type=\"ra\"",
         "bad.xml:5: <step>: type is \"ra\", not s, r, rcs, rrc, rrs, rrcs, cpy, re or nop"},
        {"srcbuf=\"o\"", "srcbuf=\"x\"", "bad.xml:4: <step>: srcbuf is \"x\", not i, o or s"},
        {"srcoff=\"0\"", "srcoff=\"\"", "bad.xml:4: <step>: srcoff is \"\", not a whole number"},
        {"srcoff=\"0\"", "srcoff=\"-1\"",
         "gpu 0 tb 0 step 0 (s, line 4) has as its source 1 chunk(s) from o[-1], but o_chunks is 2"},
        {"srcoff=\"0\"", "srcoff=\"2\"", "has as its source 1 chunk(s) from o[2], but o_chunks is 2"},
        {"srcbuf=\"o\"", "srcbuf=\"i\"", "has as its source 1 chunk(s) from i[0], but i_chunks is 0"},
        {"cnt=\"1\"", "cnt=\"0\"", "bad.xml:4: <step>: cnt is \"0\", not a whole number from 1"},
        {"<step s=\"0\" type=\"s\"", "<op step=\"0\" type=\"s\"", "bad.xml:4: <op>: this is ncclize's newer form"},
        {"    <tb ", "    <block/>\n    <tb ", "bad.xml:3: <block>: unknown element in <gpu>, where <tb> is expected"},
        {"</algo>", "", "not well-formed XML"},
        {"</algo>", "</algo>\n<algo/>", "bad.xml:15: <algo>: a file is one <algo> element"},
    };
    for (const BadForm& form : forms)
        EXPECT_THAT(refusal(replaced(right_exchange, form.from, form.to)), HasSubstr(form.reason));
    EXPECT_THAT(refusal(""), HasSubstr("bad.xml:1: not well-formed XML"));
    EXPECT_THAT(refusal("<topology/>"), HasSubstr("bad.xml:1: <topology>: a file is one <algo> element"));
}

TEST(MscclRefusal, FilesBeyondTheLimits) {
    std::string many = right_exchange;
    for (int i = 0; i < 1030; i++) many = replaced(many, "</algo>", "<gpu/></algo>");
    EXPECT_THAT(refusal(many), HasSubstr("more than 1024 of them in <algo>"));
}

}  // namespace
}  // namespace tenon::interchange_test
