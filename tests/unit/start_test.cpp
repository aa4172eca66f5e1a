// What is told of a job when its ranks have met, and that it is told once.
#include "communicator/start.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.hpp"
#include "bootstrap/meeting.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;

// One rank on each of two hosts.
Meeting job_with(std::uint32_t mtu, std::uint32_t other_mtu) {
    Meeting meeting;
    meeting.hosts = {"a", "b"};
    meeting.networks = {{"eth0", os::resolve("10.0.0.1", 0)->front(), mtu, 25'000},
                        {"eth0", os::resolve("10.0.0.2", 0)->front(), other_mtu, 25'000}};
    meeting.ranks = {{.rank = 0, .host = 0}, {.rank = 1, .host = 1}};
    meeting.preferences[0] = "";
    return meeting;
}

std::string told_of(const Meeting& meeting, const std::string& network) {
    testing::internal::CaptureStderr();
    tell_of_start(meeting, 0, network);
    return testing::internal::GetCapturedStderr();
}

TEST(TellOfStart, SaysTheSameOnceOnly) {
    set_log_level(LogLevel::info);
    EXPECT_THAT(told_of(job_with(1500, 1500), "tcp"), HasSubstr("host a joins others by tcp"));
    EXPECT_EQ(told_of(job_with(1500, 1500), "tcp"), "");
}

// A process makes communicators for ever, and each has something of its own to say that nobody listens to.
TEST(TellOfStart, WhatIsToldAtInfoTakesNoRoomFromAWarning) {
    set_log_level(LogLevel::warning);
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(told_of(job_with(9000, 9000), "device " + std::to_string(i)), "");
    EXPECT_THAT(told_of(job_with(9000, 1500), "tcp"), HasSubstr("MTU"));
}

}  // namespace
}  // namespace tenon
