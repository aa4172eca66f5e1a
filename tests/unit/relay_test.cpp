// What hosts tell each other of their ranks while a job runs: two hosts of one rank each, their relays joined by a
// socket.
#include "communicator/relay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "os/clock.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;

constexpr Rank rank_count = 2;

// One host's memory and what it knows; rank r is on host r, both in this process.
struct Host {
    explicit Host(Rank own) : rank(own) {
        auto memory = os::Mapping::anonymous({JobControl::bytes(rank_count)});
        job.segment = std::make_shared<os::Mapping>(std::move(*memory));
        job.places = {{.host = 0}, {.host = 1}};
        job.processes = {os::process_id(), os::process_id()};
        job.hosts = {"left", "right"};
        control = std::make_unique<JobControl>(job.segment->data(), own, rank_count);
        control->join();
    }
    void start(os::TcpSocket socket) {
        std::vector<HostLink> links;
        links.push_back({std::move(socket), 1 - rank});
        auto started = Relay::start(job, rank, std::move(links));
        ASSERT_TRUE(started) << started.error().message;
        relay = *started;
    }
    Rank rank;
    Job job;
    std::unique_ptr<JobControl> control;
    std::shared_ptr<Relay> relay;
};

class TwoHosts : public ::testing::Test {
protected:
    void SetUp() override {
        auto listener = os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front());
        ASSERT_TRUE(listener && *listener);
        auto one = os::TcpSocket::connect((*listener)->address(), os::Deadline::after_ms(60'000));
        ASSERT_TRUE(one);
        ASSERT_TRUE(os::wait_for((*listener)->descriptor(), POLLIN, os::Deadline::after_ms(60'000), "a connection"));
        auto other = (*listener)->accept();
        ASSERT_TRUE(other && *other);
        left.start(std::move(*one));
        right_socket = std::move(**other);
    }
    // What is true sooner or later.
    template <class What>
    static bool comes(const What& what) {
        const os::Deadline deadline = os::Deadline::after_ms(60'000);
        while (!what() && !deadline.passed()) std::this_thread::yield();
        return what();
    }
    void record(Host& host, std::uint64_t number) {
        host.control->record({.number = number, .count = 10, .signature = 5, .collective = Collective::broadcast});
    }
    void TearDown() override {
        for (Host* host : {&left, &right}) host->control->leave();
        for (Host* host : {&left, &right})
            EXPECT_TRUE(comes([&] { return host->relay == nullptr || host->relay->finished(); }));
    }

    Host left{0}, right{1};
    os::TcpSocket right_socket;
};

TEST_F(TwoHosts, HearOfEachOthersFailure) {
    right.start(std::move(right_socket));
    left.control->raise({Status::mismatch, "rank 0 broke it"});
    ASSERT_TRUE(comes([&] { return right.control->failed(); }));
    EXPECT_EQ(right.control->failure().message, "rank 0 broke it");
    EXPECT_EQ(right.control->failure().status, Status::mismatch);
}

TEST_F(TwoHosts, HearOfCallsThatStandStill) {
    right.start(std::move(right_socket));
    record(left, 3);
    ASSERT_TRUE(comes([&] { return right.control->call_of(0, 3).has_value(); }));
    EXPECT_EQ(in_words(*right.control->call_of(0, 3)), "broadcast of 10 int8, root 0");
    EXPECT_TRUE(right.control->is_behind(0, 4));
}

// One who has made its last call and left is not behind.
TEST_F(TwoHosts, HearOfLastCallsBeforeAFarewell) {
    right.start(std::move(right_socket));
    record(left, 7);
    left.control->leave();
    left.relay->tell_now();
    ASSERT_TRUE(comes([&] { return right.control->has_left(0); }));
    EXPECT_FALSE(right.control->is_behind(0, 7));
}

// Who leaves because its job has failed must not seem to have left the others in the middle of a call.
TEST_F(TwoHosts, HearOfAFailureBeforeTheFarewellThatFollowsIt) {
    left.control->raise({Status::remote_error, "a link was cut"});
    left.control->leave();
    left.relay->tell_now();
    std::uint32_t kind = 0;
    ASSERT_TRUE(right_socket.receive(std::as_writable_bytes(std::span{&kind, 1}), os::Deadline::after_ms(60'000)));
    EXPECT_EQ(kind, 1U) << "the failure";
}

TEST_F(TwoHosts, MissAHostThatEndsWithoutAWord) {
    right_socket.close();
    ASSERT_TRUE(comes([&] { return left.control->failed(); }));
    EXPECT_EQ(left.control->failure().status, Status::remote_error);
    EXPECT_THAT(left.control->failure().message, HasSubstr("rank 0 (process " + std::to_string(os::process_id()) +
                                                           " on left) has lost rank 1"));
}

TEST_F(TwoHosts, DoNotMissOneWhoseRanksHaveLeft) {
    right.start(std::move(right_socket));
    right.control->leave();
    right.relay->tell_now();
    ASSERT_TRUE(comes([&] { return left.control->has_left(1); }));
    left.control->leave();
    EXPECT_TRUE(comes([&] { return left.relay->finished() && right.relay->finished(); }));
    EXPECT_FALSE(left.control->failed());
}

// Whatever comes, it ends in an error that names the host and never in memory that is not ours.
TEST_F(TwoHosts, BelieveNothingThatBreaksTheRules) {
    struct Head {
        std::uint32_t kind, payload_bytes;
        std::int32_t rank;
        std::uint32_t status;
    };
    struct {
        Head head;
        JobControl::Calls calls;
    } frame{{3, sizeof(JobControl::Calls), 1, 0}, {}};
    frame.calls[0] = {.number = 1, .count = 1, .what = 0xffff'ffff'ffff'ffff};  // no such collective, type, operation
    ASSERT_TRUE(right_socket.send(std::as_bytes(std::span{&frame, 1}), os::Deadline::after_ms(60'000)));
    ASSERT_TRUE(comes([&] { return left.control->failed(); }));
    EXPECT_THAT(left.control->failure().message, HasSubstr("breaks the protocol"));
    EXPECT_FALSE(left.control->call_of(1, 1));
}

}  // namespace
}  // namespace tenon
