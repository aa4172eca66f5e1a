// What is printed of a plan says what it does; the JSON comes back as the same plan, and no bytes crash its reader.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pugixml.hpp>
#include <random>

#include "plan/printer.hpp"
#include "plan/verifier.hpp"
#include "tests/plan/worlds.hpp"

namespace tenon {
namespace {

using namespace testing;
using ::testing::HasSubstr;

// Every kind of step, of chunk and of mark.
Plan full_plan() {
    PlanBuilder builder{{.collective = Collective::all_reduce, .rank = 1, .rank_count = 3}, 3};
    auto first = builder.lane();
    auto second = builder.lane();
    const Chunk scratch = builder.scratch(builder.input(1, 2));
    const auto copied = first.copy(scratch, builder.input(1, 2));
    first.publish(builder.input(0)).source_stable();
    first.receive_send(builder.output(2), 0, 2, 4).destination_free();
    first.receive_reduce_send(builder.input(2), 0, 2);
    first.receive_reduce_copy_send(builder.output(0), builder.input(0), 0, 2, 1, 2).completes();
    second.receive_published(builder.output(1), 2).after(copied);
    second.receive_reduce(builder.output(1, 2), scratch, 2, 1);
    second.reduce(scratch, std::initializer_list<Chunk>{builder.input(1, 2), scratch});
    second.reduce_send(builder.output(1, 2), std::initializer_list<Chunk>{scratch, scratch, builder.input(1, 2)}, 0, 7);
    second.nothing();
    builder.tile_bytes(one_tile);
    Plan plan = builder.finish().value();
    plan.algorithm = "all of it";
    return plan;
}

void expect_refused(const std::string& json, const char* words) {
    const auto plan = plan_from_json(json);
    ASSERT_FALSE(plan.has_value()) << json;
    EXPECT_EQ(plan.error().status, Status::invalid_argument);
    EXPECT_THAT(plan.error().message, HasSubstr(words));
}

std::string with(std::string json, const std::string& from, const std::string& to) {
    const auto at = json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? json : json.replace(at, from.size(), to);
}

TEST(PlanText, SaysWhatEachStepStoresFromWhatAndForWhom) {
    const std::string text = text_of(full_plan());
    EXPECT_THAT(
        text, HasSubstr("all of it all_reduce, rank 1 of 3: 1 input and 1 output blocks of 3 pieces, 2 scratch cells"));
    EXPECT_THAT(text, HasSubstr("input 0 -> everyone on the board  [source stable]"));
    EXPECT_THAT(text, HasSubstr("output 2 = rank 0's message on channel 4 -> rank 2 on channel 4  [destination free]"));
    EXPECT_THAT(text,
                HasSubstr("output 0 = input 0 + rank 0's message on channel 1 -> rank 2 on channel 2  [completes]"));
    EXPECT_THAT(text, HasSubstr("output 1 = rank 2's message on the board  [after lane 0 step 0]"));
    EXPECT_THAT(text, HasSubstr("output 1..2 = scratch 0..1 + scratch 0..1 + input 1..2 -> rank 0 on channel 7"));
    EXPECT_THAT(text_of(dissemination_barrier(2)[0]), HasSubstr("a token -> rank 1"));
}

TEST(PlanJson, ComesBackAsTheSamePlan) {
    std::vector<Plan> plans{full_plan()};
    for (const auto& world :
         {ring_all_reduce(5), one_shot_all_reduce(3), direct_all_to_all(4), dissemination_barrier(6)})
        plans.insert(plans.end(), world.begin(), world.end());
    for (const Plan& plan : plans) {
        const auto back = plan_from_json(json_of(plan));
        ASSERT_TRUE(back.has_value()) << back.error().message;
        EXPECT_EQ(text_of(*back), text_of(plan));
        EXPECT_EQ(json_of(*back), json_of(plan));
    }
}

TEST(PlanJson, BringsAWorldThatIsRight) {
    const auto world = plans_from_json(json_of(ring_all_reduce(6)));
    ASSERT_TRUE(world.has_value()) << world.error().message;
    EXPECT_TRUE(verify(*world).has_value());
}

TEST(PlanJson, ReadsAPlanWrittenByHand) {
    const auto plan = plan_from_json(R"({"tenon_plan": 1, "collective": "broadcast", "algorithm": "mine", "rank": 1,
        "rank_count": 2, "pieces": 1,
        "lanes": [[{"kind": "receive", "destination": {"buffer": "output", "index": 0}, "from": 0}]]})");
    ASSERT_TRUE(plan.has_value()) << plan.error().message;
    EXPECT_EQ(plan->tile_bytes, 0u);
    EXPECT_EQ(plan->output_blocks, 1u);
    EXPECT_EQ(plan->lanes[0].steps[0].destination, (Chunk{BufferId::output, 0, 1, 0}));
}

TEST(PlanJson, RefusesWhatIsNotAPlanAndSaysWhere) {
    const std::string good = json_of(ring_all_reduce(4)[2]);
    expect_refused("", "not well-formed JSON");
    expect_refused("{", "not well-formed JSON");
    expect_refused("[]", "is not an object");
    expect_refused("{}", "tenon_plan is missing");
    expect_refused(with(good, "\"tenon_plan\":1", "\"tenon_plan\":2"), "tenon_plan is not 1");
    expect_refused(with(good, "all_reduce", "all_deduce"), "collective is unknown: \"all_deduce\"");
    expect_refused(with(good, "\"rank\":2", "\"rank\":-2"), "rank is not a whole number");
    expect_refused(with(good, "\"rank\":2", "\"rank\":2.5"), "rank is not a whole number");
    expect_refused(with(good, "\"rank\":2", "\"rank\":99999999999"), "rank is not a whole number from 0 to 2147483647");
    expect_refused(with(good, "\"rank\":2", "\"rank\":4"), "the plan is for rank 4 of 4");
    expect_refused(with(good, "\"pieces\":4", "\"pieces\":0"), "pieces is 0");
    expect_refused(with(good, "\"rank\":2,", ""), "rank is missing");
    expect_refused(with(good, "\"root\"", "\"rute\""), "rute is no key of a plan");
    expect_refused(with(good, "\"kind\":\"send\"", "\"kind\":\"throw\""), "lanes[0][0].kind is unknown: \"throw\"");
    expect_refused(with(good, "\"buffer\":\"input\"", "\"buffer\":\"inlet\""), "lanes[0][0].source.buffer is unknown");
    expect_refused(with(good, "\"index\":2", "\"index\":4"),
                   "rank 2, lane 0, step 0 (send) has a source out of bounds");
    expect_refused(with(good, "\"to\":3", "\"to\":true"), "lanes[0][0].to is not a whole number");
    expect_refused(with(good, "\"to\":3", "\"to\":2"), "sends to rank 2");
    expect_refused(with(good, "\"to\":3", "\"to\":3,\"from\":1"), "lanes[0][0].from means nothing to a send");
    expect_refused(with(good, "\"to\":3", "\"to\":3,\"after\":[[0]]"), "lanes[0][0].after[0] is not a pair");
    expect_refused(with(good, "\"to\":3", "\"to\":3,\"after\":[[5,0]]"), "waits for lane 5, step 0");
    expect_refused(with(good, "\"completes\":true", "\"completes\":1"), "completes is neither true nor false");
    expect_refused(with(good, "\"lanes\":[", "\"lanes\":[7,"), "lanes[0] is not an array");
    expect_refused(with(good, "example", "ex\xffmple"), "not well-formed JSON");
}

TEST(PlanJson, NeverCrashesOnDamagedBytes) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random{seed};
    const std::string good = json_of(full_plan());
    const std::string alphabet = "{}[]\",:0123456789-.einputrsc\xff";
    for (int round = 0; round < 5000; round++) {
        std::string bytes = good;
        for (unsigned edits = 1 + random() % 3; edits > 0 && !bytes.empty(); edits--) {
            const auto at = random() % bytes.size();
            if (random() % 3 == 0)
                bytes.erase(at, 1 + random() % 9);
            else
                bytes[at] = alphabet[random() % alphabet.size()];
        }
        const auto plan = plan_from_json(bytes);
        EXPECT_TRUE(plan ? !text_of(*plan).empty() : !plan.error().message.empty());
    }
    EXPECT_FALSE(plan_from_json(std::string(100'000, '[')).has_value());
}

int count(const std::string& text, const std::string& part) {
    int found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) found++;
    return found;
}

TEST(PlanPicture, ShowsEveryStepAndMessageOnce) {
    for (const auto& world : {ring_all_reduce(8), direct_all_to_all(16), one_shot_all_reduce(4),
                              dissemination_barrier(5), dissemination_barrier(1)}) {
        const auto svg = svg_of(world);
        ASSERT_TRUE(svg.has_value()) << svg.error().message;
        pugi::xml_document document;
        EXPECT_TRUE(document.load_string(svg->c_str())) << "the picture is well-formed XML";
        int steps = 0, receives_of_all = 0;
        for (const Plan& plan : world)
            for (const Lane& lane : plan.lanes)
                for (const Step& step : lane.steps) steps++, receives_of_all += receives(step.kind);
        EXPECT_EQ(count(*svg, "<title>"), steps);
        EXPECT_EQ(count(*svg, "marker-end="), receives_of_all);
    }
}

TEST(PlanPicture, SurvivesNamesFromOutside) {
    auto world = ring_all_reduce(3);
    for (Plan& plan : world) plan.algorithm = "<script>&\"\xff\n";
    const auto svg = svg_of(world);
    ASSERT_TRUE(svg.has_value());
    EXPECT_THAT(*svg, HasSubstr("&lt;script>&amp;\"?? all-reduce"));
}

TEST(PlanPicture, RefusesWhatCannotBeDrawn) {
    auto broken = ring_all_reduce(3);
    broken[1].lanes[0].steps.pop_back();
    EXPECT_FALSE(svg_of(broken).has_value());
    const auto large = svg_of(ring_all_reduce(64));
    ASSERT_FALSE(large.has_value());
    EXPECT_THAT(large.error().message, HasSubstr("too many to draw"));
}

}  // namespace
}  // namespace tenon
