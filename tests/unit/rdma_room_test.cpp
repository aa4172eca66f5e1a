// What a receive has room for, and so what is sent and not written; over a fake for libibverbs.
#include <gmock/gmock.h>

#include "tests/unit/rdma_fabric.hpp"

namespace tenon::rdma {
namespace {

TEST_F(Rdma, WhereThereIsMemoryAReceiveHasRoomForMore) {
    fabric.most_receives = 1 << 20;
    const auto of_few = open_device({.peers = 3, .slots_cap_bytes = 8 << 20});
    const auto of_some = open_device({.peers = 100, .slots_cap_bytes = 8 << 20});
    const auto of_many = open_device({.peers = 1535, .slots_cap_bytes = 8 << 20});
    ASSERT_TRUE(of_few && of_some && of_many);
    EXPECT_EQ((*of_few)->receive_bytes(), sizeof(WireHead) + 4096);
    EXPECT_EQ((*of_some)->receive_bytes(), sizeof(WireHead) + 2048);
    EXPECT_EQ((*of_many)->receive_bytes(), slot_bytes);
    for (const auto* device : {&of_few, &of_some, &of_many}) EXPECT_LE((**device)->slot_memory(), 8U << 20);
}

// A bulk message for which a receive has room is sent with its head; else it is written before.
class RdmaRoom : public Rdma, public ::testing::WithParamInterface<bool> {};

TEST_P(RdmaRoom, DecidesHowABulkMessageGoes) {
    const bool is_roomy = GetParam();
    const NetworkKind usual = kind("", fabric);
    hosts.emplace(NetworkKind{"", [&](NetworkFacts facts, const LinksFor& links_for) {
                                  // What the receiver can take counts, and not the sender.
                                  if (facts.rank == 1 && !is_roomy)
                                      facts.slots = std::make_shared<SlotBudget>(512 << 10);
                                  return usual.make(std::move(facts), links_for);
                              }}, 2);
    for (std::size_t i = 0; i < 20; i++) {
        ASSERT_TRUE(try_send(hosts->send_end(0, 1), bytes_of(2000, i)));
        std::optional<std::vector<std::byte>> got;
        const auto moved =
            hosts->move_until([&] { return (got = try_receive(hosts->receive_end(1, 0), 2000)).has_value(); });
        ASSERT_TRUE(moved) << moved.error().message;
        EXPECT_EQ(*got, bytes_of(2000, i));
    }
    EXPECT_EQ(fabric.writes.size(), is_roomy ? 0U : 20U);
}

INSTANTIATE_TEST_SUITE_P(OfTheReceiver, RdmaRoom, ::testing::Bool());

TEST_F(Rdma, ABulkMessageThatIsSentMustLieInItsRow) {
    make_acquainted();
    constexpr std::uint32_t length = 2000;
    std::vector<std::byte> bytes(sizeof(WireHead) + length);
    const WireHead head{.note = Note::frame, .frame = {.kind = FrameKind::medium, .number = 2, .length = length},
                        .place = network_shape.area_of(Row::medium) + network_shape.area_of(Row::large) - length + 1};
    std::memcpy(bytes.data(), &head, sizeof head);
    fabric.deliver(fabric.pairs().front(), bytes);
    EXPECT_THAT(error_of_moving(), testing::HasSubstr("a message of a wrong length or place"));
}

}  // namespace
}  // namespace tenon::rdma
