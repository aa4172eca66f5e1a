// The ranks as processes: lines go both ways, every ending is seen, and a rank that hangs is killed when time is over.
#include "tests/support/rank_processes.hpp"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace tenon::support {
namespace {

TEST(RankProcesses, ShareBytesAndExchangeLines) {
    RankProcesses ranks(3, [](RankProcess& self) {
        std::byte shared{static_cast<unsigned char>(self.rank() == 0 ? 42 : 0)};
        self.share({&shared, 1});
        self.tell("ready");
        return self.hear() + std::to_string(static_cast<int>(shared));
    });
    for (int r = 0; r < 3; r++) EXPECT_EQ(ranks.hear(r), "ready");
    for (int r = 0; r < 3; r++) ranks.tell(r, std::to_string(r) + ":");
    EXPECT_EQ(ranks.results(), (std::vector<std::string>{"0:42", "1:42", "2:42"}));
}

TEST(RankProcesses, ReportHowEachEnded) {
    RankProcesses ranks(3, [](RankProcess& self) -> std::string {
        if (self.rank() == 0) raise(SIGKILL);
        if (self.rank() == 1) throw std::runtime_error("no");
        return "fine";
    });
    const auto endings = ranks.wait_for_all();
    EXPECT_EQ(endings[0].signal, SIGKILL);
    EXPECT_EQ(endings[1].exit_code, 1);
    EXPECT_EQ(endings[1].last_line, "exception: no");
    EXPECT_EQ(endings[2].exit_code, 0);
    EXPECT_EQ(endings[2].last_line, "fine");
}

TEST(RankProcesses, AreKilledWhenTheTimeIsOver) {
    const auto body = [](RankProcess&) -> std::string {
        for (;;) pause();
    };
    const auto start = [&] {
        RankProcesses ranks(2, body, std::chrono::milliseconds(50));
        EXPECT_EQ(ranks.wait(1).signal, SIGKILL);
        EXPECT_EQ(kill(ranks.id(0), 0), -1);
    };
    EXPECT_NONFATAL_FAILURE(start(), "the time was over");
}

}  // namespace
}  // namespace tenon::support
