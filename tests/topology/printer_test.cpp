// Maps for people: figures in words, like siblings once, and pictures in which nothing lies over anything else.
#include "topology/printer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <pugixml.hpp>

#include "tests/topology/reading.hpp"
#include "topology/generators.hpp"
#include "topology/picture.hpp"
#include "topology/projection.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;
using testing::Not;

Map generated(std::string_view name) {
    const Generator& generator = *generator_named(name);
    return *generate(generator, GeneratorValues{generator.parameters});
}

TEST(Words, HaveThreeDigitsAndAUnit) {
    EXPECT_EQ(rate_words(0), "?");
    EXPECT_EQ(rate_words(24'285'714'285), "24.3 GB/s");
    EXPECT_EQ(rate_words(12'500'000), "12.5 MB/s");
    EXPECT_EQ(rate_words(999'900'000), "1 GB/s");
    EXPECT_EQ(rate_words(2'400'000'000'000), "2.4 TB/s");
    EXPECT_EQ(latency_words(0), "?");
    EXPECT_EQ(latency_words(350), "350 ns");
    EXPECT_EQ(latency_words(2100), "2.1 us");
    EXPECT_EQ(latency_words(1'500'000), "1.5 ms");
}

TEST(Text, ShowsLikeSiblingsOnce) {
    const std::string text = text_of(generated("atlas-a2"));
    EXPECT_THAT(text, HasSubstr("device npu0 .. npu7 (8 alike), ranks 0 .. 7; 7 hccs 28 GB/s, 1 on_chip\n"));
    EXPECT_THAT(text, HasSubstr("28 hccs, 28 GB/s each way, 700 ns\n"));
}

TEST(Text, NamesLikePlacesThatAreNotNeighbours) {
    MapBuilder builder{"server", "s"};
    for (int i = 0; i < 5; i++) {
        const PlaceIndex place = builder.add_place(outermost, i < 3 ? "device" : "die", "d" + std::to_string(i));
        builder.set_rank(place, std::array{0, 2, 3, 1, 4}[static_cast<std::size_t>(i)]);
    }
    const std::string text = text_of(*std::move(builder).finish());
    EXPECT_THAT(text, HasSubstr("device d0 .. d2 (3 alike), ranks 0, 2, 3\n"));
    EXPECT_THAT(text, HasSubstr("die d3, d4 (2 alike), ranks 1, 4\n"));
}

TEST(Text, ShowsTheLevelsWithTheirFigures) {
    const auto topology = topology_of(generated("atlas-a2"));
    ASSERT_TRUE(topology) << topology.error().message;
    EXPECT_THAT(text_of(*topology), testing::ContainsRegex("server +1 +8 +700 ns +28 GB/s +196 GB/s +196 GB/s"));
}

bool overlap(const picture::Box& one, const picture::Box& other) {
    return one.x < other.x + other.width && other.x < one.x + one.width && one.y < other.y + other.height &&
           other.y < one.y + one.height;
}

TEST(Picture, HasEveryBoxInsideItsParentAndApartFromItsSiblings) {
    for (const Generator& generator : generators()) {
        const picture::Picture drawn = picture::picture_of(generated(generator.name));
        for (const picture::Box& box : drawn.boxes) {
            for (const picture::BoxIndex inner : box.inside) {
                const picture::Box& held = drawn.boxes[inner];
                EXPECT_GE(held.x, box.x) << generator.name << " " << held.title;
                EXPECT_GE(held.y, box.y + picture::title_height) << generator.name << " " << held.title;
                EXPECT_LE(held.x + held.width, box.x + box.width) << generator.name << " " << held.title;
                EXPECT_LE(held.y + held.height, box.y + box.height) << generator.name << " " << held.title;
                for (const picture::BoxIndex sibling : box.inside)
                    if (sibling < inner) {
                        EXPECT_FALSE(overlap(held, drawn.boxes[sibling])) << generator.name << " " << held.title;
                    }
            }
        }
    }
}

// Chips are drawn over lines, so a line that runs behind one looks as if it ended there.
bool runs_behind(const picture::Picture& drawn, const picture::Line& line) {
    const picture::Box &one = drawn.boxes[line.from], &other = drawn.boxes[line.to];
    const picture::Box &upper = one.y < other.y ? one : other, &lower = one.y < other.y ? other : one;
    const double top = upper.y + upper.height, height = lower.y - top;
    for (const picture::Box& box : drawn.boxes)
        for (int step = 0; step <= 100 && box.is_chip() && &box != &upper && &box != &lower; step++) {
            const double part = step / 100.0, y = top + height * part;
            const double x = upper.middle() + (lower.middle() - upper.middle()) * part;
            if (x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height) return true;
        }
    return false;
}

TEST(Picture, HasNoLineThatRunsBehindAChipOfANamedMachine) {
    for (const Generator& generator : generators()) {
        const picture::Picture drawn = picture::picture_of(generated(generator.name));
        std::size_t lines = 0;
        for (const picture::Line& line : drawn.lines) {
            const picture::Box &one = drawn.boxes[line.from], &other = drawn.boxes[line.to];
            if (!one.is_chip() || !other.is_chip() || std::abs(one.y - other.y) < one.height) continue;
            lines++;
            EXPECT_FALSE(runs_behind(drawn, line)) << generator.name << ": " << one.title << " - " << other.title;
        }
        EXPECT_GT(lines, 4u) << generator.name;
    }
}

TEST(Picture, DrawsAHubWhereEachDeviceIsJoinedWithEachOther) {
    const picture::Picture drawn = picture::picture_of(generated("atlas-a2"));
    const auto hub = std::ranges::find(drawn.boxes, "mesh", &picture::Box::kind);
    ASSERT_NE(hub, drawn.boxes.end());
    std::size_t spokes = 0;
    for (const picture::Line& line : drawn.lines)
        if (line.kind == "hccs") {
            spokes++;
            EXPECT_EQ(line.count, 7u);
        }
    EXPECT_EQ(spokes, 8u);
}

TEST(Picture, AddsUpWhatAPlaceHasOfLikeLinks) {
    const picture::Picture drawn = picture::picture_of(generated("cloudmatrix384"));
    for (const picture::Line& line : drawn.lines)
        if (line.kind == "ub" && drawn.boxes[line.from].kind == "die") {
            EXPECT_EQ(line.count, 7u);
        }
    EXPECT_LT(drawn.boxes.size(), 60u) << "forty-eight servers are one box";
}

TEST(Picture, IsWellFormedWhateverPlacesAreCalled) {
    MapBuilder builder{"<kind>", "\"quoted\" & <b>"};
    builder.add_place(outermost, kinds::device, "a&b");
    const std::string svg = svg_of(*std::move(builder).finish());
    pugi::xml_document document;
    EXPECT_TRUE(document.load_string(svg.c_str()));
    EXPECT_THAT(svg, Not(HasSubstr("<b>")));
}

TEST(Difference, IsEmptyOnlyForEqualMaps) {
    const Map one = generated("atlas-a2");
    EXPECT_EQ(difference_of(one, one), "");
    MapBuilder builder{"server", "s"};
    builder.set_rank(builder.add_place(outermost, kinds::device, "d"), 0);
    const Map small = *std::move(builder).finish();
    MapBuilder more{"server", "s"};
    more.set_rank(more.add_place(outermost, kinds::die, "d"), 0);
    more.add_place(outermost, kinds::nic, "n");
    const Map large = *std::move(more).finish();
    EXPECT_EQ(difference_of(small, large), "~ place /d: device rank=0 -> die rank=0\n+ place /n: nic\n");
    EXPECT_EQ(difference_of(large, small), "~ place /d: die rank=0 -> device rank=0\n- place /n: nic\n");
}

}  // namespace
}  // namespace tenon
