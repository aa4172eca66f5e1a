// What a rank of a job says of itself is read as it was written, and refused where it is no report.
#include "topology/files/job_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tenon {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

Map machine() {
    MapBuilder builder{kinds::server, "machine \"one\""};
    const PlaceIndex numa = builder.add_place(outermost, kinds::numa, "numa0");
    builder.add_link({.from = numa, .to = outermost, .kind = "processor"});
    return *std::move(builder).finish();
}

TEST(JobReport, IsReadAsItWasWritten) {
    const JobReport of_lowest{.reached = {{1, 3, "shm"}, {4, 4, "rdma", {"mlx5_0", "mlx5_1"}}}, .machine = machine()};
    const JobReport of_other{.reached = {{0, 1, "tcp", {"eth0"}}}};
    const JobReport without{.reached = {{0, 1, "tcp", {"eth0"}}}, .problem = "line\nbreaks and \"quotes\""};
    for (const JobReport& said : {of_lowest, of_other, without}) {
        const auto heard = read_job_report(text_of(said), "rank 1");
        ASSERT_TRUE(heard) << heard.error().message;
        EXPECT_EQ(*heard, said);
    }
}

TEST(JobReport, ThatIsTooLongSaysOnlyThat) {
    JobReport said{.reached = {{0, 1, std::string(most_report_bytes, 't')}}};
    const std::string text = text_of(said);
    EXPECT_THAT(text, SizeIs(testing::Lt(std::size_t{1000})));
    const auto heard = read_job_report(text, "rank 1");
    ASSERT_TRUE(heard) << heard.error().message;
    EXPECT_THAT(heard->problem, HasSubstr("67108864 are allowed"));
}

TEST(JobReport, IsRefusedWithPlaceAndReason) {
    const std::pair<const char*, const char*> broken[] = {
        {"", "rank 1"},
        {"{}", "reached"},
        {R"({"reached": [[1, 2, "shm"]]})", "/reached/0"},
        {R"({"reached": [[-1, 2, "shm", []]]})", "/reached/0/0"},
        {R"({"reached": [[1, 99999999999, "shm", []]]})", "/reached/0/1"},
        {R"({"reached": [[1, 2, "shm", "eth0"]]})", "/reached/0/3"},
        {R"({"reached": [], "problem": 5})", "/problem"},
        {R"({"reached": [], "machine": "{\"tenon_topology\": 1}"})", "its machine"},
    };
    for (const auto& [text, words] : broken) {
        const auto heard = read_job_report(text, "rank 1");
        ASSERT_FALSE(heard) << text;
        EXPECT_THAT(heard.error().message, AllOf(StartsWith("rank 1"), HasSubstr(words))) << text;
    }
}

}  // namespace
}  // namespace tenon
