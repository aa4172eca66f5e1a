// Right files with a few things changed at random: the reader must not crash, and what it still accepts must be right.
#include <gtest/gtest.h>

#include <random>

#include "interchange/msccl.hpp"
#include "tests/interchange/msccl_files.hpp"
#include "tests/interchange/plan_runner.hpp"
#include "tests/support/seed.hpp"

namespace tenon::interchange_test {
namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
}

void change_a_byte(std::string& xml, Random& random) {
    xml[below(random, xml.size())] = static_cast<char>(below(random, 256));
}

void cut_a_piece(std::string& xml, Random& random) { xml.erase(below(random, xml.size()), 1 + below(random, 40)); }

// The mutation that gets furthest: the file stays well-formed, but says something else.
void change_a_number(std::string& xml, Random& random) {
    const std::size_t at = xml.find_first_of("0123456789", below(random, xml.size()));
    if (at != std::string::npos) xml[at] = static_cast<char>('0' + below(random, 4));
}

void change_a_type(std::string& xml, Random& random) {
    static constexpr const char* types[] = {"s", "r", "rcs", "rrc", "rrs", "rrcs", "cpy", "re", "nop"};
    const std::size_t at = xml.find("type=\"", below(random, xml.size()));
    if (at != std::string::npos) xml.replace(at + 6, xml.find('"', at + 6) - at - 6, types[below(random, 9)]);
}

void repeat_or_drop_a_line(std::string& xml, Random& random) {
    const std::size_t begin = xml.find('\n', below(random, xml.size())) + 1;
    const std::size_t end = xml.find('\n', begin) + 1;
    if (begin == 0 || end == 0) return;
    if (below(random, 2) == 0)
        xml.insert(begin, xml.substr(begin, end - begin));
    else
        xml.erase(begin, end - begin);
}

std::string mutated(std::string xml, Random& random) {
    using Mutation = void (*)(std::string&, Random&);
    static constexpr Mutation mutations[] = {change_a_byte, cut_a_piece,   change_a_number,      change_a_number,
                                             change_a_type, change_a_type, repeat_or_drop_a_line};
    for (std::size_t changes = 1 + below(random, 3); changes > 0 && !xml.empty(); changes--)
        mutations[below(random, std::size(mutations))](xml, random);
    return xml;
}

TEST(MscclMutation, NothingCrashesAndWhatIsAcceptedIsRight) {
    const std::uint64_t seed = support::test_seed();
    Random random = support::random_generator();
    const auto files = right_files();
    int accepted = 0, refused = 0;
    for (int i = 0; i < 800; i++) {
        const MscclFile& file = files[below(random, files.size())];
        const std::string xml = mutated(file.xml, random);
        const auto algorithm = read_msccl(xml, "mutated.xml");
        if (!algorithm) {
            EXPECT_TRUE(algorithm.error().message.starts_with("mutated.xml")) << algorithm.error().message;
            refused++;
            continue;
        }
        accepted++;
        for (const bool in_place : {false, true}) {
            if (in_place && !algorithm->in_place) continue;
            EXPECT_EQ(run_and_compare(algorithm->plans, {.count = 50, .in_place = in_place, .seed = seed}), "")
                << file.name << ", mutation " << i << ":\n"
                << xml;
        }
    }
    EXPECT_GT(accepted, 0);
    EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace tenon::interchange_test
