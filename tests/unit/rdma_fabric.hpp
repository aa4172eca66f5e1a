// Ranks on different hosts whose network is RDMA, over a fake for libibverbs, all in this thread.
#pragma once

#include "tests/unit/fake_verbs.hpp"
#include "tests/unit/network_cases.hpp"
#include "transports/rdma/rdma_network.hpp"

namespace tenon::rdma {

inline NetworkKind kind(std::string name, FakeVerbs& fabric) {
    return {std::move(name), [&fabric](NetworkFacts facts, const LinksFor& links_for) {
                facts.rdma = fabric.choices;
                facts.introductions = introductions(links_for);
                return RdmaNetwork::make(std::move(facts), fabric);
            }};
}

// A fabric, and at its end nothing left of what was made on it, and nothing that only a slow fabric would have shown.
class Rdma : public ::testing::Test {
protected:
    ~Rdma() override {
        hosts.reset();
        EXPECT_EQ(fabric.alive, 0U);
        EXPECT_EQ(fabric.ran_dry, 0U) << "sends for which no receive stood";
        EXPECT_EQ(fabric.overruns, 0U);
        EXPECT_TRUE(fabric.registered_too_early == 0 || fabric.refused.contains("fork_init"));
    }
    void make(Rank count, std::uint64_t registered_cap = 64 << 20) {
        hosts.emplace(kind("", fabric), count, 64 << 20, registered_cap);
    }
    // Ranks 0 and 1 have heard of each other, and their rings too.
    void make_acquainted(std::uint64_t registered_cap = 64 << 20) {
        make(2, registered_cap);
        for (const Rank from : {0, 1}) {
            ASSERT_TRUE(try_send(hosts->send_end(from, 1 - from), bytes_of(8, 0)));
            const auto moved =
                hosts->move_until([&] { return try_receive(hosts->receive_end(1 - from, from), 8).has_value(); });
            ASSERT_TRUE(moved) << moved.error().message;
        }
    }
    std::string error_of_moving() {
        const auto moved = hosts->move_until([] { return false; });
        return moved ? "" : moved.error().message;
    }
    Result<std::unique_ptr<Device>> open_device(const Device::Wanted& wanted) {
        auto ports = find_ports(fabric);
        EXPECT_TRUE(ports);
        return Device::open(fabric, std::move(ports->front()), wanted);
    }
    FakeVerbs fabric;
    std::optional<NetworkHosts> hosts;
};

}  // namespace tenon::rdma
