// The packets of full size that two hosts send each other when they meet, between two sockets of one host, where
// nothing is lost; tests/cluster/checks_test.py has networks that lose them.
#include "bootstrap/packet_check.hpp"

#include <gtest/gtest.h>

#include "bootstrap/wire.hpp"

namespace tenon::bootstrap {
namespace {

os::Deadline ample() { return os::Deadline::after_ms(60'000); }

// An edge, and a door at which the parent takes further connections.
struct Hosts {
    os::TcpListener door = std::move(**os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front()));
    os::TcpSocket child_edge = connect();
    os::TcpSocket parent_edge = accept();
    Secret secret = random_invitation()->secret;

    os::TcpSocket connect() const { return std::move(*os::TcpSocket::connect(door.address(), ample())); }
    os::TcpSocket accept() const {
        EXPECT_TRUE(os::wait_for(door.descriptor(), POLLIN, ample(), "a connection"));
        return std::move(**door.accept());
    }
    PacketCheck child() const {
        return {door.address(), secret, write_claim({door.address(), Errand::packet_check}), "child"};
    }
};

void wait(const PacketCheck& check) {
    std::vector<pollfd> watched;
    check.watch(watched);
    EXPECT_TRUE(os::wait_ready(watched, ample()));
}

TEST(PacketCheck, IsOverWhenBothPacketsHaveCome) {
    Hosts hosts;
    PacketCheck child = hosts.child();
    os::TcpSocket socket = hosts.accept();
    auto handshake = os::Handshake::accepting(hosts.secret, wire_version);
    std::optional<PacketCheck> parent;
    for (const os::Deadline until = ample(); !until.passed();) {
        if (!parent) {
            const auto shaken = handshake.advance(socket);
            ASSERT_TRUE(shaken) << shaken.error().message;
            if (*shaken) parent.emplace(std::move(socket), "parent");
        } else {
            const auto done = parent->advance(hosts.parent_edge);
            ASSERT_TRUE(done) << done.error().message;
        }
        const auto done = child.advance(hosts.child_edge);
        ASSERT_TRUE(done) << done.error().message;
        if (!*done) continue;
        EXPECT_EQ(read_claim(handshake.claim())->errand, Errand::packet_check);
        return;
    }
    FAIL() << "it is not over";
}

TEST(PacketCheck, SaysNothingOfAParentThatIsGoneOrAStranger) {
    for (const bool is_gone : {true, false}) {
        Hosts hosts;
        PacketCheck child = hosts.child();
        if (is_gone) {
            hosts.door.close();
        } else {
            os::TcpSocket socket = hosts.accept();
            ASSERT_TRUE(socket.send(std::array<std::byte, 64>{}, ample()));
        }
        Result<bool> done = false;
        for (const os::Deadline until = ample(); done && !*done && !until.passed();) {
            wait(child);
            done = child.advance(hosts.child_edge);
        }
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_TRUE(*done);
    }
}

TEST(PacketCheck, IsForDifferentHostsOnly) {
    const Hosts hosts;
    EXPECT_FALSE(PacketCheck::is_needed(hosts.child_edge));
}

}  // namespace
}  // namespace tenon::bootstrap
