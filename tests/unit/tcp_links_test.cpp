// How the sockets between two ranks are made: what is told of those that cannot be.
#include "transports/tcp/links.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/log.hpp"
#include "tests/unit/network_cases.hpp"

namespace tenon::tcp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Of a pair that goes on; where the job has ended meanwhile, it is no news.
TEST(TcpLinks, FurtherSocketsThatCouldNotBeMadeAreToldWhileThePeerIsThere) {
    set_log_level(LogLevel::info);
    auto own = os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front());
    auto gone = os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front());
    ASSERT_TRUE(own && *own && gone && *gone);
    const std::vector<Peer> peers{{(*own)->address(), "host0"}, {(*gone)->address(), "host1"}};
    (*gone)->close();
    const os::Secret secret = fresh_secret();
    const auto port = std::make_shared<DataPort>(**own, secret);
    for (const bool is_there : {true, false}) {
        Links links(0, peers, Purpose::messages, secret, port, NetworkHosts::patience_ms);
        links.want_further(1, 3);
        testing::internal::CaptureStderr();
        while (links.pending()) ASSERT_TRUE(links.next()) << "the pair does without them";
        for (const os::Deadline late = os::Deadline::after_ms(1500); !late.passed(); std::this_thread::yield())
            links.tell_of_failed([&](Rank) { return is_there; });
        const std::string told = testing::internal::GetCapturedStderr();
        if (!is_there) EXPECT_EQ(told, "");
        else
            EXPECT_THAT(told, AllOf(HasSubstr("could not make socket 1 to rank 1 on host1"), HasSubstr("socket 2"),
                                    HasSubstr("it uses those that there are")));
    }
    set_log_level(LogLevel::warning);
}

}  // namespace
}  // namespace tenon::tcp
