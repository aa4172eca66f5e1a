// What a communicator knows of the program's memory: what tenonMemAlloc gives out and what is registered; and who is
// told of its end.
#include "communicator/communicator_memory.hpp"

#include <gtest/gtest.h>

namespace tenon {
namespace {

using Range = std::span<std::byte>;

class CommunicatorMemoryTest : public ::testing::Test {
protected:
    static os::SharedArena& arena() { return **os::SharedArena::of_this_process(); }
    static bool same(const std::optional<Range>& found, Range expected) {
        return found && found->data() == expected.data() && found->size() == expected.size();
    }
    std::shared_ptr<void> listen() {
        return memory.tell_ends([this](Range range) { ended.push_back(range); });
    }
    CommunicatorMemory memory{&arena()};
    std::vector<Range> ended;
};

TEST_F(CommunicatorMemoryTest, KnowsAnAllocationUntilItIsFreed) {
    const auto listening = listen();
    std::byte* const first = *arena().allocate({3 << 20});
    std::byte* const second = *arena().allocate({100});
    const auto range = memory.range_of(first + 1000, 1 << 20);
    ASSERT_TRUE(range);
    EXPECT_EQ(range->data(), first);
    EXPECT_GE(range->size(), 3U << 20);
    EXPECT_FALSE(memory.range_of(first + 1000, range->size())) << "not all of it is in one allocation";
    ASSERT_TRUE(arena().release(first));
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_TRUE(same(range, ended[0]));
    EXPECT_FALSE(memory.range_of(first + 1000, 8));
    EXPECT_TRUE(memory.range_of(second, 100));
    ASSERT_TRUE(arena().release(second));
}

// So that nothing of it is prepared any more when its pages are another's.
TEST_F(CommunicatorMemoryTest, TellsBeforeTheMemoryIsGone) {
    std::byte* const allocated = *arena().allocate({4096});
    *allocated = std::byte{7};
    std::byte last{};
    const auto listening = memory.tell_ends([&](Range range) { last = range[0]; });
    ASSERT_TRUE(arena().release(allocated));
    EXPECT_EQ(last, std::byte{7});
}

TEST_F(CommunicatorMemoryTest, KnowsWhatIsRegisteredUntilItIsDeregistered) {
    const auto listening = listen();
    std::vector<std::byte> bytes(1000);
    const Range all(bytes), part = all.subspan(100, 200);
    EXPECT_FALSE(memory.range_of(bytes.data(), 10));
    memory.add(all);
    memory.add(part);
    EXPECT_TRUE(same(memory.range_of(part.data(), 300), all));
    EXPECT_FALSE(memory.range_of(bytes.data() + 1, 1000));
    memory.remove(all);
    EXPECT_TRUE(same(memory.range_of(part.data(), 200), part));
    EXPECT_FALSE(memory.range_of(part.data(), 300));
    memory.remove(part);
    EXPECT_FALSE(memory.range_of(part.data(), 1));
    EXPECT_EQ(ended.size(), 2U);
}

TEST_F(CommunicatorMemoryTest, TellsNobodyWhoListensNoLonger) {
    auto listening = listen();
    listening.reset();
    std::byte* const allocated = *arena().allocate({4096});
    ASSERT_TRUE(arena().release(allocated));
    std::vector<std::byte> bytes(10);
    memory.add(bytes);
    memory.remove(bytes);
    EXPECT_TRUE(ended.empty());
}

}  // namespace
}  // namespace tenon
