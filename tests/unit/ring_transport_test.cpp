// The rings of a host's ranks: what one end needs of the other, whichever of them is used first; and how much they
// take.
#include "transports/rings/ring_transport.hpp"

#include <gtest/gtest.h>

#include "os/memory.hpp"

namespace tenon {
namespace {

class NoReach final : public Reach {
public:
    std::optional<Exposure> expose(const void*, std::size_t) const override { return std::nullopt; }
    bool peer_addresses(const Exposure&) const override { return false; }
    std::byte* address_of(const Exposure&, std::size_t) override { return nullptr; }
    Result<void> read(void*, const Exposure&, std::size_t) override { return fail(Status::system_error, "no"); }
    Result<void> write(const Exposure&, const void*, std::size_t) override { return fail(Status::system_error, "no"); }
    std::string_view name() const override { return "none"; }
};

constexpr std::uint64_t cap = 64 << 20;

// All ranks of a host in this thread.
class Host {
public:
    explicit Host(Rank rank_count)
        : layout_(SegmentLayout::of(rank_count, cap, 4096)),
          memory_(std::move(*os::Mapping::anonymous({layout_.bytes()}))) {
        for (Rank r = 0; r < rank_count; r++)
            ranks.push_back(std::make_unique<RingTransport>(memory_.data(), layout_, r, rank_count,
                                                            std::make_shared<SlotBudget>(cap),
                                                            [](Rank) { return std::make_unique<NoReach>(); },
                                                            [](const void*) { return false; }));
    }

private:
    SegmentLayout layout_;
    os::Mapping memory_;

public:
    std::vector<std::unique_ptr<RingTransport>> ranks;
};

void send(SendEnd& end, std::size_t length) {
    const Row row = end.row_of(length);
    ASSERT_TRUE(end.may_send_bulk(row));
    end.send_staged(row, length, 1);
}

void take(ReceiveEnd& end, std::size_t length, int count) {
    for (int i = 0; i < count; i++) {
        const Row row = end.row_of(length);
        ASSERT_EQ(end.bulk_arrival(row, 1), Arrival::here);
        end.release_bulk(row, false);
    }
}

// One rank sends for long before it receives for the first time; the other tells what it took in what it sends back.
TEST(RingTransport, CreditsInHeadersReachARankThatHasOnlySent) {
    Host host(2);
    constexpr Channel channel = 7;
    constexpr std::size_t length = 20'000;
    SendEnd& out = **host.ranks[0]->connection(1).send_end(channel);
    ReceiveEnd& in = **host.ranks[1]->connection(0).receive_end(channel);
    SendEnd& back = **host.ranks[1]->connection(0).send_end(channel);
    for (int i = 0; i < 8; i++) send(out, length);
    EXPECT_FALSE(out.may_send_bulk(Row::large)) << "as many as may be under way";
    for (int round = 0; round < 2; round++) {
        take(in, length, 3);
        send(back, length);
    }
    EXPECT_TRUE(out.may_send_bulk(Row::large));
    take(in, length, 2);
    for (int i = 0; i < 6; i++) send(out, length);
}

TEST(RingTransport, StaysWithinTheCapOnTheUsualChannelsForEveryNumberOfRanks) {
    for (const Rank ranks : {2, 3, 5, 8, 16, 64, 100, 256, 1000}) {
        Host host(ranks);
        RingTransport& own = *host.ranks[0];
        ASSERT_TRUE(own.board_send_end());
        for (Rank peer = 1; peer < ranks; peer++)
            for (const Channel channel : {0, 1}) {
                const auto end = own.connection(peer).receive_end(channel);
                ASSERT_TRUE(end) << ranks << " ranks: " << end.error().message;
            }
        EXPECT_LE(own.slot_memory().value, cap) << ranks << " ranks";
    }
}

TEST(RingTransport, RefusesTheRingThatWouldExceedTheCapInWords) {
    Host host(8);
    RingTransport& own = *host.ranks[0];
    Status status = Status::success;
    for (Rank peer = 1; peer < 8; peer++)
        for (Channel channel = 0; channel < max_channels; channel++)
            if (const auto end = own.connection(peer).receive_end(channel); !end) {
                status = end.error().status;
                EXPECT_NE(end.error().message.find("TENON_SLOT_MEMORY_BYTES"), std::string::npos)
                    << end.error().message;
            }
    EXPECT_EQ(status, Status::system_error);
    EXPECT_LE(own.slot_memory().value, cap);
}

}  // namespace
}  // namespace tenon
