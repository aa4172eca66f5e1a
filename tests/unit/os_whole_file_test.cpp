// Files that a user names: read and written as a whole, or refused with what the system says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "os/process.hpp"
#include "os/whole_file.hpp"

namespace tenon::os {
namespace {

using testing::HasSubstr;

class WholeFile : public testing::Test {
protected:
    void SetUp() override { std::filesystem::create_directory(folder); }
    void TearDown() override { std::filesystem::remove_all(folder); }
    std::string folder = testing::TempDir() + "tenon_whole_file_" + std::to_string(process_token().low);
    std::string path = folder + "/file";
};

TEST_F(WholeFile, IsReadAsItWasWritten) {
    const std::string bytes(200'000, '\0');
    ASSERT_TRUE(write_whole_file(path, bytes));
    EXPECT_EQ(read_whole_file(path, bytes.size()).value(), bytes);
    ASSERT_TRUE(write_whole_file(path, "short")) << "in place of what was there";
    EXPECT_EQ(read_whole_file(path, 5).value(), "short");
}

TEST_F(WholeFile, IsRefusedWhereItIsLargerOrHasNoEnd) {
    ASSERT_TRUE(write_whole_file(path, "short"));
    EXPECT_THAT(read_whole_file(path, 4).error().message, HasSubstr("/file: it has more than 4 bytes"));
    EXPECT_THAT(read_whole_file("/dev/zero", 100'000).error().message, HasSubstr("/dev/zero: it has more than"));
}

TEST_F(WholeFile, IsRefusedWithWhatTheSystemSays) {
    EXPECT_THAT(read_whole_file(path, 4).error().message, HasSubstr("/file: No such file or directory"));
    EXPECT_THAT(read_whole_file(folder, 4).error().message, HasSubstr("Is a directory"));
    EXPECT_THAT(write_whole_file(path + "/in it", "x").error().message, HasSubstr("No such file or directory"));
    EXPECT_THAT(write_whole_file(folder, "x").error().message, HasSubstr("Is a directory"));
}

}  // namespace
}  // namespace tenon::os
