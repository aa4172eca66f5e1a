// A rank with peers on several paths: each pair on its own, and none of them forgotten.
#include "library/joined_transport.hpp"

#include <gmock/gmock.h>

#include "library/registry.hpp"
#include "os/memory.hpp"
#include "transports/inproc/inproc.hpp"
#include "transports/mirrors/mirrored.hpp"

namespace tenon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class NamedConnection final : public Connection {
public:
    explicit NamedConnection(std::string_view name) : name_(name) {}
    Result<SendEnd*> send_end(std::uint16_t) override { return fail(Status::system_error, "none"); }
    Result<ReceiveEnd*> receive_end(std::uint16_t) override { return fail(Status::system_error, "none"); }
    std::optional<Exposure> expose(const void*, std::size_t) const override { return std::nullopt; }
    bool peer_addresses(const Exposure&) const override { return false; }
    std::byte* address_of(const Exposure&, std::size_t) override { return nullptr; }
    Result<void> read(void*, const Exposure&, std::size_t) override { return fail(Status::system_error, "no"); }
    Result<void> write(const Exposure&, const void*, std::size_t) override { return fail(Status::system_error, "no"); }
    std::string_view name() const override { return name_; }

private:
    std::string_view name_;
};

// Does what the test says, and counts how often it is asked to.
class PretendedNetwork final : public Network {
public:
    PretendedNetwork(std::string_view name, int descriptor) : connection_(name), descriptor_(descriptor) {}
    Connection& connection(Rank) override { return connection_; }
    Result<bool> progress() override {
        asked++;
        return says;
    }
    int wait_descriptor() const override { return descriptor_; }
    Result<bool> finish_sending() override {
        asked++;
        return says;
    }
    ByteCount slot_memory() const override { return {1000}; }
    std::string in_words() const override { return std::string{connection_.name()}; }
    bool prepare(std::span<std::byte> range) override {
        prepared_bytes += range.size();
        return true;
    }

    std::size_t prepared_bytes = 0;
    Result<bool> says = true;
    int asked = 0;

private:
    NamedConnection connection_;
    int descriptor_;
};

// Rank 0, with rank 1 beside it, rank 2 over one network and ranks 3 and 4 over another.
class Joined : public ::testing::Test {
protected:
    Joined() {
        auto rings = std::make_unique<RingTransport>(
            memory_.data(), layout_, 0, 5, budget_, [](Rank) { return inproc_reach(); }, inproc_shares);
        Networks networks{.made = {}, .by_rank = {nullptr, nullptr, quick_, slow_, slow_}};
        networks.made.emplace_back(quick_);
        networks.made.emplace_back(slow_);
        joined_ = std::make_unique<JoinedTransport>(std::move(rings), std::move(networks), 1 << 16);
    }

    static constexpr std::uint64_t cap = 16 << 20;
    const std::shared_ptr<SlotBudget> budget_ = std::make_shared<SlotBudget>(cap);
    const SegmentLayout layout_ = SegmentLayout::of(5, cap, 0);
    const os::Mapping memory_ = std::move(*os::Mapping::anonymous({layout_.bytes()}));
    PretendedNetwork* const quick_ = new PretendedNetwork("quick", 7);
    PretendedNetwork* const slow_ = new PretendedNetwork("slow", 8);
    std::unique_ptr<JoinedTransport> joined_;
};

TEST_F(Joined, HasEachPairOnItsOwnPath) {
    const auto path_to = [&](Rank peer) { return joined_->connection(peer).name(); };
    EXPECT_EQ(path_to(1), "inproc");
    EXPECT_EQ(path_to(2), "quick");
    EXPECT_EQ(path_to(3), "slow");
    EXPECT_EQ(path_to(4), "slow");
    EXPECT_EQ(joined_->network_in_words(), "quick, slow");
    EXPECT_EQ(joined_->slot_memory().value, 2000U) << "rank 1's rings were never asked for";
}

// Two networks that take all they can, and the memory shared with rank 1, which then finds nothing left.
TEST_F(Joined, HasOneBudgetOfSlotsForAllPaths) {
    const RingShape shape = layout_.pair_shape(0);
    const std::uint64_t of_a_mirror = 2 * shape.bytes();
    MirrorMemory quick{0, [&](std::uint16_t) { return shape; }, budget_};
    MirrorMemory slow{0, [&](std::uint16_t) { return shape; }, budget_};
    std::vector<std::unique_ptr<Mirror>> mirrors;
    std::string refusal;
    while (refusal.empty()) {
        auto made = (mirrors.size() % 3 == 0 ? quick : slow).make(0);
        if (made) mirrors.push_back(std::move(*made));
        else refusal = made.error().message;
    }
    EXPECT_THAT(refusal, HasSubstr("raise TENON_SLOT_MEMORY_BYTES"));
    EXPECT_GT(quick.taken().value, 0U);
    EXPECT_LE(quick.taken().value + slow.taken().value, cap);
    EXPECT_GT(quick.taken().value + slow.taken().value, cap - of_a_mirror) << "nothing of it is kept back";
    Connection& near = joined_->connection(1);
    std::uint16_t channel = 0;
    auto last = near.receive_end(channel++);
    while (last && channel < layout_.channels()) last = near.receive_end(channel++);
    ASSERT_FALSE(last);
    EXPECT_THAT(last.error().message, HasSubstr("raise TENON_SLOT_MEMORY_BYTES"));
}

TEST_F(Joined, EveryNetworkPreparesWhatIsRegistered) {
    std::vector<std::byte> memory(100);
    EXPECT_TRUE(joined_->prepare(memory));
    EXPECT_EQ(quick_->prepared_bytes, 100U);
    EXPECT_EQ(slow_->prepared_bytes, 100U);
}

TEST_F(Joined, SleepsOnEveryNetwork) { EXPECT_THAT(joined_->wait_descriptors(), ElementsAre(7, 8)); }

TEST_F(Joined, IsDoneWhenAllAre) {
    EXPECT_EQ(joined_->progress(), true);
    slow_->says = false;
    EXPECT_EQ(joined_->progress(), false);
    EXPECT_EQ(joined_->finish_sending(), false);
    slow_->says = true;
    EXPECT_EQ(joined_->finish_sending(), true);
}

TEST_F(Joined, AsksTheOthersWhereOneFails) {
    quick_->says = fail(Status::remote_error, "rank 2 is gone");
    const auto moved = joined_->progress();
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().message, "rank 2 is gone");
    EXPECT_FALSE(joined_->finish_sending());
    EXPECT_EQ(slow_->asked, 2) << "its peers are owed their messages and a goodbye";
}

TEST(BestNetwork, IsWhatBothSidesHave) {
    EXPECT_EQ(best_network(1, 1), "rdma");
    EXPECT_EQ(best_network(1, 0), "tcp");
    EXPECT_EQ(best_network(0, 1), "tcp");
    EXPECT_EQ(best_network(0, 0), "tcp");
    EXPECT_EQ(best_network(3, 2), "rdma");
    EXPECT_EQ(best_network(1, 2), "tcp") << "InfiniBand here, Ethernet there";
}

}  // namespace
}  // namespace tenon
