// On which line of a JSON file an element stands, whatever else the text holds.
#include "topology/files/json_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tenon::topology_files {
namespace {

constexpr std::string_view text =
    "\xef\xbb\xbf"
    R"(// "a": {[
{
  "a": [1, /* "b": [
  */ -2.5e3, "]},\"
  ", {"deep": true}
  ],
  "b/c": {"~": null},
  "\u0061\"":
    [],
  "a": 1
})";

TEST(JsonText, KnowsTheLineOfEachElement) {
    EXPECT_EQ(line_of_element(text, ""), 2u);
    EXPECT_EQ(line_of_element(text, "/a"), 3u);
    EXPECT_EQ(line_of_element(text, "/a/0"), 3u);
    EXPECT_EQ(line_of_element(text, "/a/1"), 4u);
    EXPECT_EQ(line_of_element(text, "/a/2"), 4u);
    EXPECT_EQ(line_of_element(text, "/a/3/deep"), 5u);
    EXPECT_EQ(line_of_element(text, "/b~1c/~0"), 7u);
    EXPECT_EQ(line_of_element(text, "/a\""), 9u);
}

TEST(JsonText, TellsTheInnermostOfAnElementThatIsMissing) {
    EXPECT_EQ(line_of_element(text, "/missing"), 2u);
    EXPECT_EQ(line_of_element(text, "/a/3/missing"), 5u);
    EXPECT_EQ(line_of_element(text, "/a/7"), 3u);
    EXPECT_EQ(line_of_element(text, "/b~1c/~0/further"), 7u);
}

TEST(JsonText, KnowsTheLineOfAKey) {
    EXPECT_EQ(line_of_key(text, 0), 3u);
    EXPECT_EQ(line_of_key(text, 1), 5u);
    EXPECT_EQ(line_of_key(text, 5), 10u);
}

TEST(JsonText, CountsBracketsThatAreNeitherInTextsNorInComments) {
    EXPECT_EQ(line_deeper_than(text, 3), std::nullopt);
    EXPECT_EQ(line_deeper_than(text, 2), 5u);
    EXPECT_EQ(line_deeper_than("]}[\n\n[", 1), 3u);
}

TEST(JsonText, EndsAtTheEndOfWhateverItIsGiven) {
    for (const char* unfinished :
         {"", "/", "/*", "//", "\"", "\"\\", "{\"a", "{\"a\"", "{\"a\":", "[1,", "tru", "\xef"}) {
        EXPECT_EQ(line_of_element(unfinished, "/a/0"), 1u) << unfinished;
        EXPECT_EQ(line_of_key(unfinished, 7), 1u) << unfinished;
        EXPECT_EQ(line_deeper_than(unfinished, 1), std::nullopt) << unfinished;
    }
}

}  // namespace
}  // namespace tenon::topology_files
