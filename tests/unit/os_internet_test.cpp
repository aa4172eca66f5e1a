#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

#include "os/handshake.hpp"
#include "os/internet.hpp"
#include "os/process.hpp"

namespace tenon::os {
namespace {

using testing::HasSubstr;

InternetAddress loopback(const std::string& host = "127.0.0.1") { return resolve(host, 0)->front(); }

struct Joined {
    TcpSocket one, other;
};

Joined join(const InternetAddress& at = loopback()) {
    auto listener = TcpListener::listen(at);
    EXPECT_TRUE(listener && *listener);
    auto one = TcpSocket::connect((*listener)->address(), Deadline::after_ms(60'000));
    EXPECT_TRUE(one) << one.error().message;
    EXPECT_TRUE(wait_for((*listener)->descriptor(), POLLIN, Deadline::after_ms(60'000), "a connection"));
    auto other = (*listener)->accept();
    EXPECT_TRUE(other && *other);
    return {std::move(*one), std::move(**other)};
}

TEST(InternetTest, AddressesAreShownAndFound) {
    EXPECT_EQ(resolve("127.0.0.1", 80)->front().text(), "127.0.0.1:80");
    EXPECT_EQ(resolve("::1", 80)->front().text(), "[::1]:80");
    EXPECT_EQ(InternetAddress{}.text(), "no address");
    const auto wrong = resolve("no.such.host.invalid", 80);
    ASSERT_FALSE(wrong);
    EXPECT_THAT(wrong.error().message, HasSubstr("cannot look up host no.such.host.invalid"));
}

TEST(InternetTest, InterfacesHaveTheLoopback) {
    const auto all = network_interfaces();
    ASSERT_TRUE(all);
    bool found = false;
    for (const NetworkInterface& i : *all) found |= i.is_loopback && i.address.same_host(loopback()) && i.mtu > 0;
    EXPECT_TRUE(found);
}

TEST(InternetTest, CarriesManyBytes) {
    Joined ends = join();
    ASSERT_TRUE(ends.one.set_patience(2500));
    std::vector<std::byte> sent(4 << 20), received(sent.size());
    for (std::size_t i = 0; i < sent.size(); i++) sent[i] = static_cast<std::byte>(i * 7);
    std::thread sender{[&] { EXPECT_TRUE(ends.one.send(sent, Deadline::after_ms(60'000))); }};
    EXPECT_TRUE(ends.other.receive(received, Deadline::after_ms(60'000)));
    sender.join();
    EXPECT_EQ(received, sent);
    EXPECT_EQ(*ends.one.local_address(), *ends.other.peer_address());
}

TEST(InternetTest, NobodyListensThere) {
    auto listener = TcpListener::listen(loopback());
    ASSERT_TRUE(listener && *listener);
    const InternetAddress gone = (*listener)->address();
    const auto taken = TcpListener::listen(gone);
    ASSERT_TRUE(taken);
    EXPECT_FALSE(*taken) << "a port that somebody listens on";
    (*listener)->close();
    const auto socket = TcpSocket::connect(gone, Deadline::after_ms(60'000));
    ASSERT_FALSE(socket);
    EXPECT_EQ(socket.error().status, Status::remote_error);
    EXPECT_THAT(socket.error().message, HasSubstr(gone.text()));
}

TEST(InternetTest, APeerThatClosedIsSaidSo) {
    Joined ends = join();
    ends.one.close();
    std::array<std::byte, 1> byte;
    const auto received = ends.other.receive(byte, Deadline::after_ms(60'000));
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().status, Status::remote_error);
}

// A child that a process has forked must not hide that it has died.
TEST(InternetTest, AForkedChildHoldsNoSocketOpen) {
    Joined ends = join();
    int alive[2];
    ASSERT_EQ(::pipe(alive), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        char end = 0;
        ::close(alive[1]);
        static_cast<void>(!::read(alive[0], &end, 1));
        ::_exit(0);
    }
    ::close(ends.one.descriptor().number());  // as when the process dies: without a word
    std::array<std::byte, 1> byte;
    EXPECT_FALSE(ends.other.receive(byte, Deadline::after_ms(10'000)).has_value());
    ::close(alive[1]);
    ::close(alive[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    static_cast<void>(ends.one.release().number());
}

Secret secret_of(char c) {
    Secret secret;
    secret.bytes.fill(static_cast<std::byte>(c));
    return secret;
}

// Both sides by turns, until each has come to something.
std::pair<Result<bool>, Result<bool>> shake(Handshake& one, StreamSocket& one_socket, Handshake& other,
                                            StreamSocket& other_socket) {
    Result<bool> first = false, second = false;
    while ((first && !*first) || (second && !*second)) {
        if (first && !*first) first = one.advance(one_socket);
        if (second && !*second) second = other.advance(other_socket);
        if (!first) one_socket.close();
        if (!second) other_socket.close();
    }
    return {first, second};
}

Handshake::Claim claim_of(char c) {
    Handshake::Claim claim;
    claim.fill(static_cast<std::byte>(c));
    return claim;
}

TEST(HandshakeTest, WhoKnowsTheSecretIsBelieved) {
    Joined ends = join();
    Handshake accepting = Handshake::accepting(secret_of('s'), 7);
    Handshake connecting = Handshake::connecting(secret_of('s'), 7, claim_of('c'));
    const auto [one, other] = shake(accepting, ends.one, connecting, ends.other);
    EXPECT_TRUE(one && *one);
    EXPECT_TRUE(other && *other);
    EXPECT_EQ(accepting.claim(), claim_of('c'));
}

// All users of a host see what is derived of a job's name for another use; a hash for tables would give the name away.
TEST(SecretTest, OfATextIsItsBlake2b) {
    const Secret derived = Secret::derived_from("tenon");
    std::string text;
    for (const std::byte byte : derived.bytes) text += fmt::format("{:02x}", std::to_integer<int>(byte));
    EXPECT_EQ(text, "3ed487c6b16b04abe471dfb1421c3f4e");
}

TEST(HandshakeTest, AnotherSecretIsAStranger) {
    Joined ends = join();
    Handshake accepting = Handshake::accepting(secret_of('s'), 7);
    Handshake connecting = Handshake::connecting(secret_of('t'), 7, claim_of('c'));
    const auto [one, other] = shake(accepting, ends.one, connecting, ends.other);
    EXPECT_FALSE(one);
    EXPECT_TRUE(accepting.is_stranger());
    EXPECT_FALSE(other) << "nobody may pass for the accepting side either";
    EXPECT_TRUE(connecting.awaits_acceptance()) << "what it showed was not believed";
    EXPECT_FALSE(accepting.awaits_acceptance());
}

TEST(HandshakeTest, VersionsAreToldToBoth) {
    Joined ends = join();
    Handshake accepting = Handshake::accepting(secret_of('s'), 7);
    Handshake connecting = Handshake::connecting(secret_of('s'), 8, claim_of('c'));
    const auto [one, other] = shake(accepting, ends.one, connecting, ends.other);
    ASSERT_FALSE(one || other);
    EXPECT_EQ(one.error().status, Status::mismatch);
    EXPECT_EQ(other.error().status, Status::mismatch);
    EXPECT_THAT(other.error().message, HasSubstr("version 7"));
}

// What was recorded of one handshake does not open another.
TEST(HandshakeTest, ARecordedAnswerIsWorthNothing) {
    Joined first = join();
    Handshake accepting = Handshake::accepting(secret_of('s'), 7);
    ASSERT_FALSE(*accepting.advance(first.one));
    Handshake connecting = Handshake::connecting(secret_of('s'), 7, claim_of('c'));
    ASSERT_FALSE(*connecting.advance(first.other));
    std::array<std::byte, 96> answer;
    ASSERT_TRUE(first.one.receive(answer, Deadline::after_ms(60'000)));

    Joined second = join();
    Handshake again = Handshake::accepting(secret_of('s'), 7);
    ASSERT_FALSE(*again.advance(second.one));
    ASSERT_TRUE(second.other.send(answer, Deadline::after_ms(60'000)));
    ASSERT_TRUE(wait_for(second.one.descriptor(), POLLIN, Deadline::after_ms(60'000), "the answer"));
    EXPECT_FALSE(again.advance(second.one));
    EXPECT_TRUE(again.is_stranger());
}

TEST(HandshakeTest, GarbageIsAStranger) {
    std::array<std::byte, 96> garbage;
    for (int round = 0; round < 100; round++) {
        Joined ends = join();
        ASSERT_TRUE(fill_random(garbage));
        ASSERT_TRUE(ends.other.send(garbage, Deadline::after_ms(60'000)));
        ASSERT_TRUE(wait_for(ends.one.descriptor(), POLLIN, Deadline::after_ms(60'000), "garbage"));
        Handshake accepting = Handshake::accepting(secret_of('s'), 7);
        EXPECT_FALSE(accepting.advance(ends.one));
        EXPECT_TRUE(accepting.is_stranger());
    }
}

}  // namespace
}  // namespace tenon::os
