#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

#include "os/memory.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"

namespace tenon::os {
namespace {

std::string fresh_name() {
    std::uint64_t random = 0;
    EXPECT_TRUE(fill_random(std::as_writable_bytes(std::span{&random, 1})));
    return "tenon-test-" + std::to_string(random);
}

std::vector<std::byte> bytes_of(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; i++) bytes[i] = static_cast<std::byte>(i * 7);
    return bytes;
}

TEST(LocalSocketTest, CarriesManyBytesBothWays) {
    auto ends = LocalSocket::pair();
    ASSERT_TRUE(ends);
    auto& [one, other] = *ends;
    const auto sent = bytes_of(4 << 20);  // more than the system keeps for a socket
    std::thread sender{[&] { EXPECT_TRUE(one.send(sent, Deadline::after_ms(60'000))); }};
    std::vector<std::byte> received(sent.size());
    EXPECT_TRUE(other.receive(received, Deadline::after_ms(60'000)));
    sender.join();
    EXPECT_EQ(received, sent);
}

TEST(LocalSocketTest, PassesADescriptor) {
    auto ends = LocalSocket::pair();
    const auto memory = create_shared_memory("test", {4096});
    ASSERT_TRUE(ends && memory);
    const auto deadline = Deadline::after_ms(60'000);
    ASSERT_TRUE(ends->first.send(bytes_of(10), deadline, &*memory));
    std::array<std::byte, 10> received;
    FileDescriptor passed;
    ASSERT_TRUE(ends->second.receive(received, deadline, &passed));
    ASSERT_TRUE(passed.valid());
    EXPECT_NE(passed.number(), memory->number());
    EXPECT_EQ(shared_memory_bytes(passed)->value, 4096U);
}

TEST(LocalSocketTest, EveryWaitEnds) {
    auto ends = LocalSocket::pair();
    ASSERT_TRUE(ends);
    std::array<std::byte, 1> received;
    const auto late = ends->first.receive(received, Deadline::after_ms(1));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().status, Status::timeout);
    const std::atomic<bool> abort{true};
    const auto aborted = ends->first.receive(received, Deadline::never().or_abort(abort));
    ASSERT_FALSE(aborted);
    EXPECT_EQ(aborted.error().status, Status::aborted);
    const auto full = ends->first.send(bytes_of(8 << 20), Deadline::after_ms(1));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().status, Status::timeout);
}

TEST(LocalSocketTest, SaysThatTheOtherSideIsGone) {
    auto ends = LocalSocket::pair();
    ASSERT_TRUE(ends);
    ends->second.close();
    std::array<std::byte, 1> received;
    EXPECT_EQ(ends->first.receive(received, Deadline::after_ms(60'000)).error().status, Status::remote_error);
    EXPECT_EQ(ends->first.send(bytes_of(1), Deadline::after_ms(60'000)).error().status, Status::remote_error);
}

TEST(LocalListenerTest, AcceptsByNameAndKnowsWhoCame) {
    const std::string name = fresh_name();
    EXPECT_FALSE(LocalSocket::connect(name, Deadline::after_ms(60'000))->has_value());
    auto listener = LocalListener::listen(name);
    ASSERT_TRUE(listener && *listener);
    EXPECT_FALSE(LocalListener::listen(name)->has_value()) << "the name was taken";
    EXPECT_FALSE((*listener)->accept()->has_value());
    auto client = LocalSocket::connect(name, Deadline::after_ms(60'000));
    ASSERT_TRUE(client && *client);
    auto server = (*listener)->accept(Deadline::after_ms(60'000));
    ASSERT_TRUE(server);
    for (const auto& peer : {server->peer(), (*client)->peer()}) {
        EXPECT_EQ(peer->process, process_id());
        EXPECT_EQ(peer->user, user_id());
    }
    (*listener)->close();
    EXPECT_FALSE(LocalSocket::connect(name, Deadline::after_ms(60'000))->has_value());
}

TEST(LocalListenerTest, RefusesImpossibleNames) {
    EXPECT_EQ(LocalListener::listen("").error().status, Status::invalid_argument);
    EXPECT_EQ(LocalListener::listen(std::string(108, 'x')).error().status, Status::invalid_argument);
}

TEST(WakeSignalTest, WakesUntilCleared) {
    const auto wake = WakeSignal::create();
    ASSERT_TRUE(wake);
    pollfd watched{wake->descriptor().number(), POLLIN, 0};
    EXPECT_FALSE(*wait_ready(std::span{&watched, 1}, Deadline::never(), 0));
    wake->raise();
    wake->raise();
    EXPECT_TRUE(*wait_ready(std::span{&watched, 1}, Deadline::never(), 0));
    wake->clear();
    EXPECT_FALSE(*wait_ready(std::span{&watched, 1}, Deadline::never(), 0));
}

}  // namespace
}  // namespace tenon::os
